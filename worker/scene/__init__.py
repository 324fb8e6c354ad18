"""A dialogue against a tool with no audio: a scripted model and a clock of its own, for tests of tools.

`Scene` is what the author of a tool uses (tools/WRITING.md).
"""

from worker.scene.scene import Scene

__all__ = ["Scene"]
