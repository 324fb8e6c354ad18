"""What is usual for a tool, by its recent runs; and how it is run if it leaves that open (`mode="auto"`). Pure."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

SLOW_MS = 1000  # from here on a tool has to be off the worker's process
QUICK_MS = 500  # and below it may come back
ENOUGH = 3  # runs, before a tool is judged
WINDOW = 20


@dataclass(frozen=True, slots=True)
class Usual:
    """A tool's recent runs: medians of the wait in the queue and of the run, the run's 90 % mark (ms), how many."""

    wait_ms: int
    run_ms: int
    run_p90_ms: int
    runs: int


def usual_of(times: Sequence[tuple[int, int]]) -> Usual | None:
    """Return what is usual by pairs of wait and run in ms; None for no run."""
    if not times:
        return None
    waits, runs = zip(*times, strict=True)
    return Usual(quantile(waits, 0.5), quantile(runs, 0.5), quantile(runs, 0.9), len(times))


def quantile(values: Sequence[int], share: float) -> int:
    """Return the smallest of the values that at least `share` of them don't exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


class ModeChoice:
    """Chooses how an `auto` tool runs: inline at first, queued once its 90 % mark is past 1 s, back below 0.5 s.

    One run past 1 s is enough for the queue while there are few: a slow tool must not hold a thread again and again.
    """

    def __init__(self) -> None:
        """Begin with nothing measured."""
        self._runs: deque[int] = deque(maxlen=WINDOW)
        self.mode: Literal["inline", "queued"] = "inline"

    def note(self, run_ms: int) -> None:
        """Take in how long it ran."""
        self._runs.append(run_ms)
        slowest = quantile(tuple(self._runs), 0.9)
        if slowest > SLOW_MS:
            self.mode = "queued"
        elif slowest < QUICK_MS and len(self._runs) >= ENOUGH:
            self.mode = "inline"
