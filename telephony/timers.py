"""What is to be done later, on the thread that asks for it and runs it."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable

__all__ = ["Timers"]


class Timers:
    """Things to do, each at its time; those of the same time in the order in which they were asked for."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def later(self, delay_s: float, fn: Callable[[], None]) -> None:
        """Have something done after so many s."""
        heapq.heappush(self._heap, (time.monotonic() + delay_s, next(self._order), fn))

    def run(self, now: float) -> None:
        """Do what has come due by `now` (s, monotonic)."""
        while self._heap and self._heap[0][0] <= now:
            heapq.heappop(self._heap)[2]()

    def clear(self) -> None:
        """Forget all of it."""
        self._heap.clear()
