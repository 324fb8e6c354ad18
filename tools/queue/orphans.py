"""What becomes of a call's tools that outlive it, seen from the call's own process. For the event loop.

Each gets a mark in Redis when the call ends, so that its end is kept and told, and its end is written down here too,
should no tool worker be there to do it. What the caller was promised before is kept ready from then on.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools

import structlog

from tools.errors import QueueUnavailable
from tools.queue.promises import Promises
from tools.queue.queued import QueuedRunner
from tools.queue.store import late
from tools.queue.store.late import Orphan
from tools.tool_call.outcome import Outcome

log = structlog.get_logger(__name__)

CLOSE_S = 5.0
AGAIN_S = 0.5  # between two tries to reach a Redis that is away


class Orphans:
    """Those of one catalog."""

    def __init__(self, queued: QueuedRunner) -> None:
        """Begin with none."""
        self._queued = queued
        self._promises = Promises(queued)
        self._known: dict[str, Orphan] = {}
        """Of calls that are on: what is to be told after them, and has ended already. By job."""
        self._settling: set[asyncio.Task[None]] = set()
        self._stopping: set[asyncio.Task[None]] = set()

    async def promise(self, orphan: Orphan) -> bool:
        """Promise that a tool's end will be told after the call. False where that can't be written down."""
        try:
            await self._promises.make(orphan)
        except QueueUnavailable as error:
            log.warning("promise_not_made", call_id=orphan.call_id, tool=orphan.tool, reason=str(error))
            return False
        return True

    async def promise_known(self, orphan: Orphan, outcome: Outcome) -> bool:
        """Promise that an outcome which is known is told after the call. False where that can't be written down."""
        self._known[orphan.job_id] = orphan  # before it is written: the call may end meanwhile
        try:
            await self._queued.ask(late.known, orphan.job_id, outcome)
        except QueueUnavailable as error:
            log.warning("promise_not_made", call_id=orphan.call_id, tool=orphan.tool, reason=str(error))
            del self._known[orphan.job_id]
            return False
        if not await self.promise(orphan):
            self._known.pop(orphan.job_id, None)
            return False
        return True

    async def leave_known(self, call_id: str) -> None:
        """A call is over: what was promised of what had ended in it is told from now on."""
        for orphan in [one for one in self._known.values() if one.call_id == call_id]:
            del self._known[orphan.job_id]
            if await self._mark(orphan):
                await self._promises.forget(orphan.job_id)
            else:
                self._promises.let_lapse(orphan.job_id)

    async def forget(self, job_id: str) -> None:
        """What was promised is done, or not wanted any more."""
        self._known.pop(job_id, None)
        await self._promises.forget(job_id)

    async def leave(self, orphan: Orphan, task: asyncio.Task[Outcome]) -> None:
        """The call is over, and the tool call `task` goes on, or its end was not told."""
        task.add_done_callback(functools.partial(self._ended, orphan))
        if await self._mark(orphan):
            await self._promises.forget(orphan.job_id)
        else:
            self._promises.let_lapse(orphan.job_id)

    def stop_later(self, job_id: str, task: asyncio.Task[Outcome]) -> None:
        """Redis is away, and a queued tool call is to be cancelled: do it once Redis is back, if it still runs then."""
        stopping = asyncio.create_task(self._stop(job_id, task), name=f"stop-{job_id}")
        self._stopping.add(stopping)
        stopping.add_done_callback(self._stopping.discard)

    async def aclose(self) -> None:
        """Wait until the ends that have come are written down."""
        for stopping in self._stopping:
            stopping.cancel()
        if self._settling:
            await asyncio.wait(self._settling, timeout=CLOSE_S)
        await self._promises.aclose()

    async def _stop(self, job_id: str, task: asyncio.Task[Outcome]) -> None:
        while not task.done():
            await asyncio.sleep(AGAIN_S)
            with contextlib.suppress(QueueUnavailable):
                await self._queued.cancel(job_id)
                return

    async def _mark(self, orphan: Orphan) -> bool:
        try:
            await self._queued.hung_up(orphan)
            return True
        except QueueUnavailable as error:
            log.warning("hang_up_not_written_down", call_id=orphan.call_id, tool=orphan.tool, reason=str(error))
            return False

    def _ended(self, orphan: Orphan, task: asyncio.Task[Outcome]) -> None:
        """A tool whose caller has hung up is over; the tool worker may have written it down, or not live any more."""
        if task.cancelled():
            return
        settling = asyncio.create_task(self._settle(orphan, task.result()), name=f"settle-{orphan.tool}")
        self._settling.add(settling)
        settling.add_done_callback(self._settling.discard)

    async def _settle(self, orphan: Orphan, outcome: Outcome) -> None:
        if await self._mark(orphan):
            try:
                await self._queued.settle(orphan.job_id, outcome)
            except QueueUnavailable as error:
                log.warning("late_result_lost", call_id=orphan.call_id, tool=orphan.tool, reason=str(error))
