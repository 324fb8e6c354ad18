"""A dialogue against a tool with no audio: a scripted model and a clock of its own, for tests of tools.

What the author of a tool needs of it is handed out here (tools/WRITING.md).
"""

from worker.scene.call import SceneFailed
from worker.scene.scene import Call, Line, Run, Scene

__all__ = ["Call", "Line", "Run", "Scene", "SceneFailed"]
