"""Code of others in this process: tools, hooks, observers. Whatever it raises is its own failure, and ends nothing.

`sys.exit` in a coroutine leaves the event loop with all that runs on it: asyncio (and uvloop) hand SystemExit and
KeyboardInterrupt on to whoever runs the loop. So whoever calls such code catches BaseException, and asks here.
"""

from __future__ import annotations

import asyncio


def is_our_stop(error: BaseException) -> bool:
    """Tell whether what others' code raised is our own wish: the task that awaits it was cancelled.

    A CancelledError that nobody asked for (the code cancelled what it awaits itself) is a failure as any other.
    """
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
