"""When the queue is too long: how long a tool call would wait, and what is to be done about it. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from tools.errors import ToolDefinitionError

Answer = Literal["ok", "tell", "refuse"]


@dataclass(frozen=True, slots=True)
class Judged:
    """What to do with a new call (or tool call), and the wait in s that it would have to expect (inf: for ever)."""

    answer: Answer
    wait_s: float

    @property
    def retry_after_s(self) -> int:
        """For SIP's Retry-After: when it is worth another try, whole s from 5 to 300."""
        return min(300, max(5, math.ceil(self.wait_s))) if math.isfinite(self.wait_s) else 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The limits in s of expected wait: from `tell_s` on callers are told, from `refuse_s` on calls are refused.

    None: never. Raises `ToolDefinitionError` where refusing would come before telling.
    """

    tell_s: float | None = 15.0
    refuse_s: float | None = None

    def __post_init__(self) -> None:
        if self.tell_s is not None and self.refuse_s is not None and self.refuse_s < self.tell_s:
            raise ToolDefinitionError(
                f"backlog: refuse_s={self.refuse_s:g} is under tell_s={self.tell_s:g}: make it the larger one"
            )

    def judge(self, depth: int, workers: int, run_s: float) -> Judged:
        """Judge a queue of `depth` jobs before `workers` tool workers that need `run_s` for each.

        Without a tool worker the wait is endless: callers are told, and refused if there is such a limit.
        """
        wait = expected_wait_s(depth, workers, run_s)
        if self.refuse_s is not None and wait >= self.refuse_s:
            return Judged("refuse", wait)
        if self.tell_s is not None and wait >= self.tell_s:
            return Judged("tell", wait)
        return Judged("ok", wait)


def expected_wait_s(depth: int, workers: int, run_s: float) -> float:
    """Return how long a new job would wait: all that are before it, shared among the workers."""
    if workers <= 0:
        return math.inf
    return depth * run_s / workers
