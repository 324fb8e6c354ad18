"""Tools that run as RQ jobs on tool workers: enqueued at most once, awaited by push, within a deadline of our own.

RQ's client is a blocking one and runs in a few threads with short time-outs; the loop never waits for Redis longer
than that. See results.py for how results come.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, TypeVarTuple, Unpack

import structlog
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from rq import Queue
from rq.command import send_stop_job_command
from rq.exceptions import DuplicateJobError, InvalidJobOperation, NoSuchJobError
from rq.job import JobStatus
from rq.serializers import JSONSerializer

from tools import names
from tools.errors import QueueUnavailable
from tools.finished import STOPPED, Finished
from tools.jobs import OffhookJob
from tools.outcome import Outcome, Status, failure
from tools.request import ToolRequest
from tools.results import ResultReader
from tools.spec import ToolSpec

log = structlog.get_logger(__name__)

ENQUEUERS = 4  # threads; an enqueue takes about 1 ms
RESULT_GRACE_S = 0.2
STOP_GRACE_S = 5  # RQ's own time-out comes this much after ours, for when nobody is left to stop the job

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

Stopped = Literal["removed", "stopped", "over", "gone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """How to reach the queue.

    url: redis://, rediss:// or unix://. queue: RQ's name of it. result_ttl_s, failure_ttl_s: how long results and
    failures stay in Redis. timeout_s: the longest that one command to Redis may take before Redis counts as away.
    """

    url: str = field(repr=False)  # it may hold a password
    queue: str = names.QUEUE
    result_ttl_s: int = 24 * 3600
    failure_ttl_s: int = 7 * 24 * 3600
    timeout_s: float = 1.0


class QueuedRunner:
    """Enqueues tool calls and waits for their outcomes. Its methods are for the event loop."""

    def __init__(self, settings: QueueSettings) -> None:
        """Connect to nothing yet. Close it with `aclose`."""
        self._settings = settings
        self._redis = Redis.from_url(
            settings.url,
            socket_timeout=settings.timeout_s,
            socket_connect_timeout=settings.timeout_s,
            retry=Retry(NoBackoff(), 0),
        )
        self._queue = Queue(settings.queue, connection=self._redis, job_class=OffhookJob, serializer=JSONSerializer)
        self._reader = ResultReader(settings.url, timeout_s=settings.timeout_s)
        self._threads = ThreadPoolExecutor(ENQUEUERS, thread_name_prefix="offhook-queue")

    async def run(
        self,
        spec: ToolSpec,
        call: ToolRequest,
        *,
        timeout_s: float | None = None,
        on_queued: Callable[[str], None] | None = None,
        on_progress: Callable[[str], None] | None = None,
    ) -> Outcome:
        """Enqueue the tool call, or join its job where there is one, and wait for the outcome.

        `timeout_s` bounds all of it. Cancelling this leaves the job as it is. `on_queued` gets the job's id once Redis
        has it.
        """
        loop = asyncio.get_running_loop()
        limit = timeout_s if timeout_s is not None else spec.timeout_s
        began, wall = loop.time(), time.time()
        job_id = call.job_id
        future = self._reader.watch(job_id, on_progress)
        try:
            payload = _payload(spec, call, wall, wall + limit)
            try:
                certain = await self._in_thread(self._enqueue, spec, job_id, payload, limit, time.monotonic() + limit)
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
        how = await self._in_thread(self._cancel, job_id)
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
            raise QueueUnavailable(_reason(error)) from None

    async def healthy(self, timeout_s: float = 0.5) -> bool:
        """Tell whether Redis answers a PING in time."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._reader.ping()
        except (RedisError, OSError, TimeoutError):
            return False

    async def aclose(self) -> None:
        """Stop waiting and close all connections. Jobs go on."""
        await self._reader.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._redis.close)

    async def _forbid(self, job_id: str) -> None:
        """Make sure that a job which Redis did not have can't come late and run."""
        with contextlib.suppress(QueueUnavailable):
            await self._in_thread(self._cancel, job_id)

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
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def _enqueue(self, spec: ToolSpec, job_id: str, payload: dict[str, Any], limit_s: float, give_up: float) -> bool:
        """Put the job into Redis, unless one of its id is there. False: sent, but no answer came.

        Raises `QueueUnavailable` where it certainly isn't there.
        """
        if time.monotonic() > give_up:
            raise QueueUnavailable("Redis is too slow: the time was up before a thread was free")
        try:
            # Finds out that Redis is away before anything is sent whose fate would be uncertain then.
            self._redis.ping()
        except (RedisError, OSError) as error:
            raise QueueUnavailable(_reason(error)) from None
        for _attempt in range(2):  # a second time is safe: the job's id is unique
            try:
                self._queue.enqueue_call(
                    names.ENTRY,
                    args=(payload,),
                    timeout=math.ceil(limit_s) + STOP_GRACE_S,
                    result_ttl=self._settings.result_ttl_s,
                    failure_ttl=self._settings.failure_ttl_s,
                    description=names.DESCRIPTION,
                    job_id=job_id,
                    meta=_meta(spec, payload),
                    unique=True,
                )
                return True
            except DuplicateJobError:
                return True
            except (RedisConnectionError, RedisTimeoutError, OSError):
                time.sleep(0.05)
            except RedisError as error:
                raise QueueUnavailable(_reason(error)) from None
        return False

    def _cancel(self, job_id: str) -> Stopped:
        try:
            # The mark comes first: whoever starts the job after we have read its state below sees the mark.
            self._redis.set(names.cancel_key(job_id), "1", ex=names.MARK_TTL_S)
            job = OffhookJob.fetch(job_id, connection=self._redis, serializer=JSONSerializer)
            status = job.get_status(refresh=False)
            if status == JobStatus.STARTED:
                send_stop_job_command(self._redis, job_id, serializer=JSONSerializer)
                return "stopped"
            if status in (JobStatus.QUEUED, JobStatus.DEFERRED, JobStatus.SCHEDULED, JobStatus.CREATED):
                job.cancel()
                return "removed"
            return "over"
        except NoSuchJobError:
            return "gone"
        except InvalidJobOperation:
            return "over"
        except (RedisError, OSError) as error:
            raise QueueUnavailable(_reason(error)) from None


def _payload(spec: ToolSpec, call: ToolRequest, now: float, deadline: float) -> dict[str, Any]:
    """Return what the tool worker gets; times are Unix times in s.

    A tool that is to be cancelled when the caller hangs up must not start after its deadline either: the caller has
    been told by then that it took too long. The others may, since they are to be finished anyway.
    """
    return {
        "tool": spec.name,
        "arguments": call.arguments,
        "call_id": call.call_id,
        "tool_call_id": call.tool_call_id,
        "caller": call.caller,
        "dialled": call.dialled,
        "enqueued_at": now,
        "deadline": deadline,
        "not_after": deadline if spec.on_hangup == "cancel" else None,
    }


def _meta(spec: ToolSpec, payload: dict[str, Any]) -> dict[str, Any]:
    """Return what an operator reads of the job in rq-dashboard."""
    return {
        "call_id": payload["call_id"],
        "tool_call_id": payload["tool_call_id"],
        "tool": spec.name,
        "summary": spec.summary,
    }


def _outcome(spec: ToolSpec, finished: Finished) -> Outcome:
    match finished.how:
        case "returned":
            return Outcome.from_dict(finished.value)
        case "never_queued":
            return failure("unavailable", detail=finished.reason)
        case "cancelled" if finished.reason == STOPPED:
            return _in_doubt(spec, "cancelled", "stopped while it was running")
        case "cancelled":
            return failure("cancelled", detail=finished.reason)
        case _:
            return _in_doubt(spec, "failed", f"the tool worker lost the job: {finished.reason}")


def _in_doubt(spec: ToolSpec, status: Status, detail: str) -> Outcome:
    """Return `status`; or `unknown` for a tool whose effect counts, which may have taken place."""
    return failure("unknown" if spec.effects == "once" else status, detail=detail)


def _reason(error: Exception) -> str:
    """Say what is wrong with Redis without its address, which may hold a password."""
    kind = "does not answer" if isinstance(error, RedisConnectionError | RedisTimeoutError | OSError) else "refuses"
    return f"Redis {kind} ({type(error).__name__})"
