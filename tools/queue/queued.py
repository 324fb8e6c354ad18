"""Tools that run as RQ jobs on tool workers: enqueued at most once, awaited by push, within a deadline of our own.

RQ's client is a blocking one and runs in a few threads with short time-outs; the loop never waits for Redis longer
than that. See results.py for how results come.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar, TypeVarTuple, Unpack

import structlog
from redis import Redis
from redis.exceptions import RedisError

from tools.define.chain import Step
from tools.define.schema import values_of
from tools.define.spec import ToolSpec
from tools.errors import QueueUnavailable
from tools.queue import names, notices
from tools.queue.backlog import QueueState
from tools.queue.client import QueueClient, QueueSettings, Stopped, reason, tickets_of
from tools.queue.finished import STOPPED, Finished
from tools.queue.results import ResultReader
from tools.queue.sealed_digits import DigitsKey
from tools.queue.store import late, times
from tools.queue.store import remainder as rest
from tools.queue.store.late import LateResult, Orphan
from tools.tool_call.durations import Usual
from tools.tool_call.outcome import Outcome, Status, failure
from tools.tool_call.request import ToolRequest

__all__ = ["QueueSettings", "QueuedRunner", "Stopped"]

log = structlog.get_logger(__name__)

ENQUEUERS = 4  # threads; an enqueue takes about 1 ms
RESULT_GRACE_S = 0.2

T = TypeVar("T")
P = ParamSpec("P")
Ts = TypeVarTuple("Ts")


class QueuedRunner:
    """Enqueues tool calls and waits for their outcomes. Its methods are for the event loop."""

    def __init__(self, settings: QueueSettings) -> None:
        """Connect to nothing yet. Close it with `aclose`."""
        self._settings = settings
        self._digits = None if settings.digits is None else DigitsKey.read(settings.digits)
        self._client = QueueClient(settings)
        self._reader = ResultReader(settings.url, timeout_s=settings.timeout_s, on_refused=self._client.drop)
        self._threads = ThreadPoolExecutor(ENQUEUERS, thread_name_prefix="offhook-queue")

    @property
    def takes_digits(self) -> bool:
        """Whether what callers type may go into the queue: there is a key to seal it with."""
        return self._digits is not None

    async def run(
        self,
        spec: ToolSpec,
        call: ToolRequest,
        *,
        timeout_s: float | None = None,
        on_queued: Callable[[str], None] | None = None,
        on_progress: Callable[[str], None] | None = None,
        steps: Sequence[Step] | None = None,
        paged: bool = False,
    ) -> Outcome:
        """Enqueue the tool call, or join its job where there is one, and wait for the outcome.

        steps: the chain of tools that it needs, from `needs.chain`; the last one is the tool itself. paged: a result
        that is too large can be read with `more`. `timeout_s` bounds all of it. `on_queued` gets the job's id once
        Redis has it. Cancelling this leaves the job as it is.
        """
        loop = asyncio.get_running_loop()
        limit = timeout_s if timeout_s is not None else spec.timeout_s
        began, wall = loop.time(), time.time()
        job_id = call.job_id
        future = self._reader.watch(job_id, on_progress)
        try:
            found = steps or (Step("", spec, values_of(call.arguments), {}),)
            tickets = tickets_of(found, call, wall, wall + limit, limit, paged=paged, digits=self._digits)
            try:
                certain = await self._in_thread(self._client.enqueue, tickets, time.monotonic() + limit)
            except QueueUnavailable as error:
                log.warning("tool_not_queued", call_id=call.call_id, tool=spec.name, reason=str(error))
                return failure("unavailable", detail=str(error)).of_job(job_id)
            self._reader.enqueued(job_id, certain=certain)
            if on_queued:
                on_queued(job_id)
            await asyncio.wait({future}, timeout=max(0.0, began + limit - loop.time()))
            if future.done():
                end = future.result()
                if end.how == "never_queued":
                    await self._forbid(job_id)
                return _outcome(spec, end).of_job(job_id)
            return (await self._overdue(spec, job_id, future)).of_job(job_id)
        finally:
            self._reader.forget(job_id)

    async def cancel(self, job_id: str) -> Stopped:
        """Take a queued job out of the queue, or stop a running one; whoever waits for it gets the outcome.

        Returns removed (it never started), stopped (it was running), over, or gone (Redis has no such job). Raises
        `QueueUnavailable` where Redis can't be reached.
        """
        how = await self._in_thread(self._client.cancel, job_id)
        if how == "gone" and self._reader.is_being_enqueued(job_id):
            how = "removed"  # the mark is there before the job: whoever takes the job up doesn't run it
        if how == "removed":
            self._reader.resolve(job_id, Finished("cancelled", reason="removed"))
        elif how == "stopped":
            self._reader.resolve(job_id, Finished("cancelled", reason=STOPPED))
        return how

    async def depth(self) -> int:
        """Return the number of jobs that wait in the queue. Raises `QueueUnavailable`."""
        try:
            return await self._reader.length(names.queue_key(self._settings.queue))
        except (RedisError, OSError) as error:
            raise QueueUnavailable(reason(error)) from None

    async def ask(self, function: Callable[Concatenate[Redis, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call one of `tools.store`'s functions off the loop. Raises `QueueUnavailable`."""

        def body() -> T:
            try:
                return function(self._client.redis, *args, **kwargs)
            except (RedisError, OSError) as error:
                raise QueueUnavailable(reason(error)) from None

        return await self._in_thread(body)

    def keep_rest(self, call_id: str, text: str) -> tuple[str, int]:
        """Keep a result that is too large. For threads. Returns its handle and pages; raises `QueueUnavailable`."""
        try:
            return rest.keep(self._client.redis, call_id, text)
        except (RedisError, OSError) as error:
            raise QueueUnavailable(reason(error)) from None

    async def depths(self) -> Mapping[str, int]:
        """Return the number of waiting jobs of each tool that has any. Raises `QueueUnavailable`."""
        return await self.ask(times.depths, self._settings.queue)

    async def state(self) -> QueueState:
        """Return what `Backlog` judges: the waiting jobs, the tool workers, usual times. Raises `QueueUnavailable`."""
        return await self.ask(times.state, self._settings.queue)

    async def workers(self) -> int:
        """Return the number of tool workers. Raises `QueueUnavailable`."""
        return await self.ask(times.workers, self._settings.queue)

    async def usual(self, tool: str) -> Usual | None:
        """Return a tool's usual wait and run time; None where it has not run lately. Raises `QueueUnavailable`."""
        return await self.ask(times.usual, tool)

    async def hung_up(self, orphan: Orphan) -> None:
        """Write down that a running tool's caller has hung up: its end is kept, and told. Raises `QueueUnavailable`."""
        await self.ask(notices.hung_up, self._settings.queue, orphan)

    async def settle(self, job_id: str, outcome: Outcome) -> None:
        """Write down the end of a tool call whose caller has hung up. Raises `QueueUnavailable`."""
        await self.ask(notices.settle, self._settings.queue, job_id, outcome)

    async def late_results(self, call_id: str) -> list[LateResult]:
        """Return what came after a call's end, in that order. Raises `QueueUnavailable`."""
        return await self.ask(late.results, call_id)

    async def healthy(self, timeout_s: float = 0.5) -> bool:
        """Tell whether Redis takes what is written to it, in time: a replica and a full one answer PING, too."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._reader.check()
                return True
        except TimeoutError:
            return False
        except (RedisError, OSError) as error:
            log.debug("redis_unhealthy", reason=reason(error))
            return False

    async def aclose(self) -> None:
        """Stop waiting and close all connections. Jobs go on."""
        await self._reader.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._client.close)

    async def _forbid(self, job_id: str) -> None:
        """Make sure that a job which Redis did not have can't come late and run."""
        with contextlib.suppress(QueueUnavailable):
            await self._in_thread(self._client.cancel, job_id)

    async def _overdue(self, spec: ToolSpec, job_id: str, future: asyncio.Future[Finished]) -> Outcome:
        """Stop a job whose time is up, and say what that leaves us with."""
        try:
            how = await self.cancel(job_id)
        except QueueUnavailable as error:
            return _in_doubt(spec, "timeout", f"time-out, and {error}")
        if how == "removed":
            return failure("timeout", detail="time-out in the queue; it never started")
        if how == "stopped":
            return _in_doubt(spec, "timeout", "time-out; a stop was sent to the tool worker")
        await asyncio.wait({future}, timeout=RESULT_GRACE_S)  # it ended in this very moment
        if future.done():
            return _outcome(spec, future.result())
        return _in_doubt(spec, "timeout", f"time-out; the job is {how}")

    async def _in_thread(self, function: Callable[[Unpack[Ts]], T], *arguments: *Ts) -> T:
        try:
            working = asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        except RuntimeError:  # closed meanwhile: a tool call ended in that very moment
            raise QueueUnavailable("this process is about to end") from None
        return await working


def _outcome(spec: ToolSpec, finished: Finished) -> Outcome:
    match finished.how:
        case "returned":
            return Outcome.from_dict(finished.value)
        case "never_queued":
            return failure("unavailable", detail=finished.reason)
        case "never_ran":
            return failure("failed", detail=finished.reason)
        case "cancelled" if finished.reason == STOPPED:
            return _in_doubt(spec, "cancelled", "stopped while it was running")
        case "cancelled":
            return failure("cancelled", detail=finished.reason)
        case _:
            return _in_doubt(spec, "failed", f"the tool worker lost the job: {finished.reason}")


def _in_doubt(spec: ToolSpec, status: Status, detail: str) -> Outcome:
    """Return `status`; or `unknown` for a tool whose effect counts, which may have taken place."""
    return failure("unknown" if spec.effects == "once" else status, detail=detail)
