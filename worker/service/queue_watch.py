"""Looks at the tools' queue: is Redis there, how long would a tool call wait, and what does that mean for new calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import structlog

from tools.errors import QueueUnavailable
from tools.queue.backlog import Backlog, Judged
from tools.tool_call.durations import Usual
from worker.call_tools.durations import FEWEST, UsualTimes
from worker.records.metrics import Metrics

__all__ = ["QueueWatch"]

log = structlog.get_logger(__name__)

LOOK_S = 2.0
UNKNOWN_RUN_S = 5.0
"""For a tool of which nothing is known yet."""
OTHER = "(other)"
"""Jobs of tools that no agent here has: another worker's, on the same queue."""
FINE = Judged("ok", 0.0)


class Queue(Protocol):
    """What `QueuedRunner` tells of the queue."""

    async def healthy(self) -> bool:
        """Whether Redis answers."""
        ...

    async def depths(self) -> Mapping[str, int]:
        """Waiting jobs by tool."""
        ...

    async def workers(self) -> int:
        """Tool workers."""
        ...

    async def usual(self, tool: str) -> Usual | None:
        """A tool's usual times."""
        ...


class QueueWatch:
    """Keeps `judged` and the metrics up to date.

    tools: those that may be queued, read anew at each look; without any, nothing can wait. in_use: whether any of them
    would be queued now: as long as all the `auto` ones run inline, a long queue or the want of a tool worker is no
    caller's matter.
    """

    def __init__(
        self,
        queue: Queue,
        tools: Iterable[str],
        backlog: Backlog,
        usual: UsualTimes,
        metrics: Metrics,
        in_use: Callable[[], bool] = lambda: True,
    ) -> None:
        """Take the parts; nothing is looked at yet."""
        self.up = True
        self.judged = FINE
        self._queue = queue
        self._tools = tools
        self._backlog = backlog
        self._usual = usual
        self._metrics = metrics
        self._in_use = in_use

    async def run(self) -> None:
        """Look every few seconds until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Look once."""
        up = await self._queue.healthy()
        try:
            tools = tuple(self._tools)
            judged = await self._judge(tools) if up and tools else FINE
        except QueueUnavailable:
            up, judged = False, FINE  # calls go on without their queued tools: that is told where it matters
        if up != self.up:
            if up:
                log.info("redis_back")
            else:
                log.error("redis_gone", meanwhile="slow tools are declined, quick ones and calls go on")
        if judged.answer != self.judged.answer:
            tell = log.info if judged.answer == "ok" else log.warning
            tell("backlog", answer=judged.answer, wait_s=round(judged.wait_s, 1))
        self.up, self.judged = up, judged
        self._metrics.redis_up.set(up)
        self._usual.queue_s = judged.wait_s
        self._metrics.tool_queue_wait.set(judged.wait_s)

    async def _judge(self, tools: tuple[str, ...]) -> Judged:
        depths, workers = await self._queue.depths(), await self._queue.workers()
        for tool in tools:
            if (found := await self._queue.usual(tool)) is not None and found.runs >= FEWEST:
                self._usual.heard(tool, found.run_ms / 1000)
        for tool in tools:
            self._metrics.tool_queue_depth.labels(tool).set(depths.get(tool, 0))
        others = sum(count for tool, count in depths.items() if tool not in tools)
        self._metrics.tool_queue_depth.labels(OTHER).set(others)
        self._metrics.tool_workers.set(workers)
        depth = sum(depths.values())
        work_s = sum(count * self._run_s(tool) for tool, count in depths.items())
        judged = self._backlog.judge(depth, workers, work_s / depth if depth else 0.0)
        return judged if self._in_use() else FINE

    def _run_s(self, tool: str) -> float:
        return self._usual.run_s(tool) or self._usual.mean_run_s() or UNKNOWN_RUN_S
