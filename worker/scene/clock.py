"""An event loop whose time is a scene's: it goes on by itself when nothing is left to do, and no real time passes."""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["SceneLoop", "aside"]

T = TypeVar("T")

BEGIN_S = 1000.0
STUCK_S = 5.0
"""Real time without a timer and without an event, after which nothing will happen any more."""


class _Jump(selectors.DefaultSelector):
    """Waits for nothing: lets the time pass that asyncio would wait for."""

    def __init__(self, passes: Callable[[float], None]) -> None:
        super().__init__()
        self._passes = passes

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:  # no timer: only a thread or a socket can bring something
            if not (found := super().select(STUCK_S)):
                raise RuntimeError("the scene waits for something that can't happen any more")
            return found
        if not (found := super().select(0)) and timeout > 0:
            self._passes(timeout)
        return found


class SceneLoop(asyncio.SelectorEventLoop):
    """asyncio's loop on virtual time. What runs in a thread takes none of it: the loop stands still meanwhile."""

    def __init__(self) -> None:
        self._now = BEGIN_S
        super().__init__(_Jump(self._pass))

    def time(self) -> float:
        """The scene's time in s."""
        return self._now

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """Run a function in a thread, to its end."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(aside(lambda: func(*args)))
        except Exception as error:
            future.set_exception(error)
        return future

    def _pass(self, seconds: float) -> None:
        self._now += seconds


def aside(body: Callable[[], T]) -> T:
    """Run a function in a thread of its own and wait for it; what it raises is raised here.

    There it may do what code beside a running loop may not, such as asyncio.run.
    """
    ends: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            ends.append(body())
        except BaseException as error:  # handed over
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return ends[0]
