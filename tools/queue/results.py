"""Results of jobs, as they come: one blocking XREAD over the result streams of all jobs that are waited for.

RQ appends a job's result to the stream `rq:results:<job>`, so that one connection can wait for any number of jobs. The
blocked read is woken through a stream of our own when a job is added. Once a second some jobs are looked over: that
finds those that were cancelled or deleted elsewhere, which write no result. Where a Redis forbids XREAD, looking over
is all there is, every 50 ms. While Redis is away the waiting goes on: results that come with it are found.

A demoted master goes on to answer whoever reads, so that nobody who only waits would notice: the same look writes, too,
and where that is refused all connections are dialled again.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from tools.queue import names
from tools.queue.connect import aclose, connect_async
from tools.queue.finished import RETRIED, Finished, How, finished, kind_of
from tools.queue.refusals import AsyncRedial, is_away, refusal_of

log = structlog.get_logger(__name__)

BLOCK_MS = 1000
AUDIT_S = 1.0
AUDIT_JOBS = 50  # at once: a question for 300 holds the loop for some 10 ms
POLL_S = 0.05
_WRONG_TYPE = "WRONGTYPE"
RECONNECT_S = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)


@dataclass(slots=True)
class _Watch:
    future: asyncio.Future[Finished]
    users: int = 0
    after: str = "0-0"
    heard: str = "0-0"
    enqueued: bool | None = None  # None: not yet; False: sent, but Redis went away before it answered
    on_progress: list[Callable[[str], None]] = field(default_factory=list)


def client(url: str, timeout_s: float, on_refused: Callable[[], None]) -> Redis:
    """Return an async client that retries nothing but refusals: waiting is decided here, not inside the library."""
    return connect_async(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=min(timeout_s, 1.0),
        retry=AsyncRedial(on_refused),
        protocol=2,
    )


class ResultReader:
    """Waits for the results of many jobs with one connection. All methods are for the event loop's thread."""

    def __init__(self, url: str, *, timeout_s: float = 1.0, on_refused: Callable[[], None] = lambda: None) -> None:
        """Connect to nothing yet: the reading task starts with the first job.

        on_refused: told when Redis refuses what it is asked, so that others, too, may dial anew.
        """
        self._control = client(url, timeout_s, self._found_refusal)
        self._blocking = client(url, BLOCK_MS / 1000 + 2.0, self._found_refusal)
        self._on_refused = on_refused
        runner = uuid.uuid4().hex
        self._wake_key = names.wake_key(runner)
        self._health_key = names.health_key(runner)
        self._audited = float("-inf")
        self._stale = False  # what is dialled leads to a server that refuses
        self._woken = "0-0"
        self._next = 0
        self._watched: dict[str, _Watch] = {}
        self._some = asyncio.Event()
        self._blocked = False
        self._push = True
        self._closed = False
        self._task: asyncio.Task[None] | None = None
        self._waking: asyncio.Task[None] | None = None

    def watch(self, job: str, on_progress: Callable[[str], None] | None = None) -> asyncio.Future[Finished]:
        """Wait for a job from now on; give it back with `forget`. The future is shared: don't cancel it."""
        watch = self._watched.get(job)
        if watch is None:
            watch = self._watched[job] = _Watch(asyncio.get_running_loop().create_future())
        watch.users += 1
        if on_progress:
            watch.on_progress.append(on_progress)
        self._some.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="tool-results")
        elif self._blocked and self._waking is None:
            self._waking = asyncio.create_task(self._wake(), name="tool-results-wake")
        return watch.future

    def enqueued(self, job: str, *, certain: bool) -> None:
        """Tell that a job is in Redis, or (not `certain`) that it may be."""
        if watch := self._watched.get(job):
            watch.enqueued = certain or watch.enqueued is True

    def is_being_enqueued(self, job: str) -> bool:
        """Tell whether a job is waited for which has not been put into Redis yet."""
        watch = self._watched.get(job)
        return watch is not None and watch.enqueued is None

    def resolve(self, job: str, finished: Finished) -> None:
        """End the waiting for a job with what is known from elsewhere."""
        if (watch := self._watched.get(job)) and not watch.future.done():
            watch.future.set_result(finished)

    def forget(self, job: str) -> None:
        """Give back what `watch` took."""
        if watch := self._watched.get(job):
            watch.users -= 1
            if watch.users <= 0:
                del self._watched[job]
        if not self._watched:
            self._some.clear()

    async def check(self) -> None:
        """Find out whether Redis takes what is written to it. Raises a RedisError or OSError where it doesn't."""
        await self._command("SET", self._health_key, "1", "EX", str(names.HEALTH_TTL_S))

    async def length(self, key: str) -> int:
        """Return the length of a list."""
        return int(await self._command("LLEN", key))

    async def aclose(self) -> None:
        """Stop reading and close the connections; what is waited for stays unresolved."""
        self._closed = True
        self._some.set()
        for task in (self._task, self._waking):
            while task is not None and not task.done():
                # Again and again: a cancel that meets an answer is swallowed (wait_for before Python 3.12).
                task.cancel()
                await asyncio.wait({task}, timeout=0.1)
        self._task = self._waking = None
        await aclose(self._blocking)
        await aclose(self._control)

    async def _command(self, *words: str) -> Any:
        return await self._control.execute_command(*words)  # type: ignore[no-untyped-call]

    async def _wake(self) -> None:
        try:
            async with self._control.pipeline(transaction=False) as pipe:
                pipe.xadd(self._wake_key, {"": ""}, maxlen=1)
                pipe.expire(self._wake_key, 60)
                await pipe.execute()
        except (RedisError, OSError):
            pass  # the read notices by itself, at the latest after BLOCK_MS
        finally:
            self._waking = None

    async def _run(self) -> None:
        failures = 0
        while not self._closed:
            await self._some.wait()
            try:
                await self._look()
                if failures:
                    log.info("redis_is_back", waiting=len(self._watched))
                failures = 0
            except (RedisError, OSError) as error:
                if not is_away(error) or isinstance(error, NoPermissionError):
                    await self._refused(error)
                    continue
                failures += 1
                if failures == 1:
                    self._tell(error)
                await asyncio.sleep(RECONNECT_S[min(failures, len(RECONNECT_S)) - 1])
            except Exception:
                log.exception("result_reader_failed")  # our bug: waiting for the others has to go on
                await asyncio.sleep(1.0)

    async def _look(self) -> None:
        """Read once what comes, and now and then look some jobs over."""
        if self._stale:
            self._stale = False
            await self._control.connection_pool.disconnect(inuse_connections=False)
            await self._blocking.connection_pool.disconnect()
        if self._push:
            await self._read()
        now = asyncio.get_running_loop().time()
        due = now - self._audited >= AUDIT_S
        if due:
            self._audited = now
            await self.check()
        if due or not self._push:
            await self._look_over()
            await asyncio.sleep(0 if self._push else POLL_S)

    def _found_refusal(self) -> None:
        self._stale = True
        self._on_refused()

    def _tell(self, error: Exception) -> None:
        if refusal := refusal_of(error):
            log.error("redis_refuses", answer=refusal.answer, mend=refusal.mend, waiting=len(self._watched))
        else:
            log.warning("redis_is_away", waiting=len(self._watched), error=type(error).__name__)

    async def _refused(self, error: Exception) -> None:
        if _WRONG_TYPE in str(error):  # one job's key is no stream: that one is told, the others go on
            try:
                await self._look_over()
            except RedisError:
                await asyncio.sleep(POLL_S)
            return
        if self._push and isinstance(error, ResponseError):
            self._push = False
            log.warning("results_are_polled", reason="this Redis does not let us XREAD", error=type(error).__name__)
            return
        log.warning("results_unreadable", error=type(error).__name__)
        await asyncio.sleep(1.0)

    async def _read(self) -> None:
        """Block until a result, a report or a new job; at most BLOCK_MS."""
        streams: dict[Any, Any] = {self._wake_key: self._woken}
        owners: dict[str, tuple[str, bool]] = {}
        for job, watch in self._watched.items():
            if watch.future.done():
                continue
            streams[names.result_key(job)] = watch.after
            owners[names.result_key(job)] = (job, False)
            if watch.on_progress:
                streams[names.progress_key(job)] = watch.heard
                owners[names.progress_key(job)] = (job, True)
        self._blocked = True
        try:
            # A list of [key, [(entry, fields)]] in protocol 2, which `client` asks for.
            answer: Any = await self._blocking.xread(streams, block=BLOCK_MS)
        finally:
            self._blocked = False
        for raw_key, entries in answer:
            key = raw_key.decode()
            if key == self._wake_key:
                self._woken = entries[-1][0].decode()
                continue
            job, is_progress = owners[key]
            for entry, fields in entries:
                if is_progress:
                    self._progress(job, entry.decode(), fields)
                else:
                    self._result(job, entry.decode(), fields)

    async def _look_over(self) -> None:
        """Ask for jobs' first results and their status: the fallback, and what no stream tells.

        Only for jobs that were in Redis before this was asked: the others may come between question and answer.
        """
        jobs = [job for job, watch in self._watched.items() if not watch.future.done() and watch.enqueued is not None]
        if self._push and len(jobs) > AUDIT_JOBS:
            self._next = (self._next + AUDIT_JOBS) % len(jobs)
            jobs = [*jobs[self._next :], *jobs[: self._next]][:AUDIT_JOBS]
        if not jobs:
            return
        async with self._control.pipeline(transaction=False) as pipe:
            for job in jobs:
                pipe.hget(names.job_key(job), "status")
                pipe.xrange(names.result_key(job), min=f"({self._watched[job].after}", count=1)
                # After the result: what was reported before it is in this answer, too.
                pipe.xrange(names.progress_key(job), min=f"({self._watched[job].heard}")
            answers = await pipe.execute(raise_on_error=False)
        for job, status, results, reports in zip(jobs, answers[::3], answers[1::3], answers[2::3], strict=True):
            if unreadable := next((one for one in (results, status, reports) if isinstance(one, Exception)), None):
                if _WRONG_TYPE not in str(unreadable):
                    raise unreadable
                self.resolve(job, Finished("died", reason="what is in Redis in its place can't be read"))
                continue
            for entry, fields in reports:
                self._progress(job, entry.decode(), fields)
            for entry, fields in results:
                self._result(job, entry.decode(), fields)
            if not results:
                self._missing(job, status)

    def _missing(self, job: str, status: bytes | None) -> None:
        """Judge a job without a result by its status."""
        watch = self._watched.get(job)
        if watch is None:
            return
        if status == b"canceled":
            self.resolve(job, Finished("cancelled", reason="cancelled in the queue"))
        elif status is None:
            how: How = "gone" if watch.enqueued else "never_queued"
            self.resolve(job, Finished(how, reason="the job is not in Redis (any more)"))
        else:
            watch.enqueued = True

    def _progress(self, job: str, entry: str, fields: dict[bytes, bytes]) -> None:
        watch = self._watched.get(job)
        if watch is None:
            return
        watch.heard = entry
        text = fields.get(b"text", b"").decode(errors="replace")
        for listener in watch.on_progress:
            listener(text)

    def _result(self, job: str, entry: str, fields: dict[bytes, bytes]) -> None:
        watch = self._watched.get(job)
        if watch is None:
            return
        watch.after = entry
        kind = kind_of(fields)
        if kind != RETRIED:
            self.resolve(job, finished(kind, fields))
