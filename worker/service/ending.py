"""How a worker's process ends: what each signal asks for, and that it ends whatever hangs.

The first SIGTERM or SIGINT asks for a polite end, the second for one at once, the third takes the process down. Each
arms `LastResort`, a thread that takes it down when the bound has passed: a tool that blocks the event loop, a library
that never returns or a thread that Python waits for at its exit must not keep a supervisor waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

__all__ = ["Asked", "LastResort", "end_at_once_on_sigterm"]

STOP_S = 25.0
"""For undoing all that was started. Container platforms kill after 30 s unless told otherwise."""
THREADS_S = 1.0
"""For threads that still run when all is undone, such as one that imports a library: nobody needs their results."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class LastResort:
    """Takes the process down when it has not ended by itself."""

    def __init__(self, what: Callable[[], str], leave: Callable[[int], object] = os._exit) -> None:
        """what: says at which step it stands, for the last line."""
        self._what = what
        self._leave = leave
        self._lock = threading.Lock()
        self._deadline = 0.0
        self._over = False
        self._thread: threading.Thread | None = None

    def arm(self, seconds: float, *, over: bool = False) -> None:
        """Leave so many s from now; the last word counts. over: all is well and undone, so leave with 0 and no word."""
        with self._lock:
            self._over = over
            self._deadline = time.monotonic() + seconds
            if self._thread is None:
                self._thread = threading.Thread(target=self._wait, name="last-resort", daemon=True)
                self._thread.start()

    def _wait(self) -> None:
        while (left := self._deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))
        if self._over:
            self._leave(0)
        self.leave(1)

    def leave(self, code: int) -> None:
        """End the process now. Its children end with it (`worker.embedded.tether`)."""
        step = self._what()
        # Past print's lock: the thread that hangs may have it.
        line = f"offhook: did not end in time{f' ({step})' if step else ''}: taken down\n"
        with contextlib.suppress(OSError):
            os.write(sys.__stderr__.fileno() if sys.__stderr__ is not None else 2, line.encode())
        self._leave(code)


class Asked:
    """What signals have asked for so far. To be made on the main thread, in the loop that is to hear of it.

    The handlers are Python's own and not the loop's: where a tool blocks the loop they still run, and arm the thread.
    """

    def __init__(self, last: LastResort, drain_s: float) -> None:
        """drain_s: how long a polite end may take, but for the stop that follows it."""
        self.to_end, self.at_once = asyncio.Event(), asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._last = last
        self._bounds = (drain_s + STOP_S, STOP_S)
        self._count = 0
        for number in SIGNALS:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        """On the main thread, between any two steps of it."""
        if self._count == len(self._bounds):
            self._last.leave(128 + number)
            return
        event = (self.to_end, self.at_once)[self._count]
        self._last.arm(self._bounds[self._count])
        self._count += 1
        with contextlib.suppress(RuntimeError):  # the loop is closed: there is nothing left but to leave
            self._loop.call_soon_threadsafe(event.set)


def end_at_once_on_sigterm() -> None:
    """Until there is something to undo SIGTERM ends the process where it stands, as the first one of a container, too.

    The kernel keeps a signal without a handler from a process whose id is 1.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(128 + number))
