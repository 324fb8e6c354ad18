"""When the queue is too long: how long a tool call would wait, and what is to be done about it. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tools.errors import ToolDefinitionError
from tools.tool_call.durations import Usual

UNKNOWN_RUN_S = 2.0  # what a tool that has never run is taken to need

Answer = Literal["ok", "tell", "refuse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """The queue at one moment: waiting jobs of each tool, what is usual for these tools, and how many tool workers.

    depth: all waiting jobs, also those past the ones that were looked at for `depths`.
    """

    depth: int
    depths: Mapping[str, int]
    usual: Mapping[str, Usual]
    workers: int

    @property
    def run_s(self) -> float:
        """How long one of the waiting jobs usually runs, in s."""
        known = sum(self.depths.values())
        if not known:
            return UNKNOWN_RUN_S
        return sum(count * self._run_s(tool) for tool, count in self.depths.items()) / known

    def _run_s(self, tool: str) -> float:
        usual = self.usual.get(tool)
        return UNKNOWN_RUN_S if usual is None else usual.run_ms / 1000


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

    def judge_state(self, state: QueueState) -> Judged:
        """Judge the queue as it is."""
        return self.judge(state.depth, state.workers, state.run_s)

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
