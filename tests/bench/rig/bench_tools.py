"""The tool of the benches. Loaded by the worker and its tool worker, by path."""

import time
from typing import Any

from tools import tool


@tool(mode="queued", timeout=60, filler="One moment.")
def wait_for(seconds: float) -> dict[str, Any]:
    """Take so long, and tell when it began and was done (monotonic ns)."""
    began = time.monotonic_ns()
    time.sleep(seconds)
    return {"began": began, "done": time.monotonic_ns()}
