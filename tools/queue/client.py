"""The calling side's blocking half: puts jobs into Redis, and takes them out again. For threads, never for the loop.

Redis' time-outs are short, and inside the library only what Redis has refused is retried, on a new connection. What was
sent without an answer may be sent again: a job's id is made of the tool call's, and a second one of that id is refused.
"""

from __future__ import annotations

import contextlib
import math
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, WatchError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rq import Queue
from rq.command import send_command
from rq.exceptions import DuplicateJobError, InvalidJobOperation, NoSuchJobError
from rq.job import Dependency, JobStatus, Retry
from rq.serializers import JSONSerializer

from tools.define.chain import Step
from tools.define.spec import ToolSpec
from tools.errors import QueueUnavailable
from tools.mcp.job import PAYLOAD, payload_of
from tools.queue import lifetimes, names
from tools.queue.connect import close, connect, parsed
from tools.queue.job import QueueJob
from tools.queue.refusals import Redial, refusal_of
from tools.queue.sealed_digits import DigitsKey
from tools.tool_call.request import ToolRequest
from tools.traces.names import TRACEPARENT
from tools.traces.span import SpanContext

log = structlog.get_logger(__name__)

STOP_GRACE_S = 5  # RQ's own time-out comes this much after ours, for when nobody is left to stop the job

Stopped = Literal["removed", "stopped", "over", "gone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """How to reach the queue.

    url: redis://, rediss://, unix:// or redis+sentinel:// (`tools.queue.connect`). queue: RQ's name of it.
    result_ttl_s, failure_ttl_s: how long results and failures stay in Redis. timeout_s: the longest that one command
    to Redis may take before Redis counts as away. digits: the key for what callers type (`sealed_digits`), as text;
    None: no job may have any.
    """

    url: str = field(repr=False)  # it may hold a password
    queue: str = names.QUEUE
    result_ttl_s: int = 24 * 3600
    failure_ttl_s: int = 7 * 24 * 3600
    timeout_s: float = 1.0
    digits: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Ticket:
    """One job to be put into the queue. needs: ids of the jobs that have to be over before it starts."""

    job_id: str
    spec: ToolSpec
    payload: dict[str, Any]
    limit_s: float
    needs: tuple[str, ...] = ()


class QueueClient:
    """Blocking calls to the queue; each takes a few ms, and `timeout_s` for each command where Redis is away."""

    def __init__(self, settings: QueueSettings) -> None:
        """Connect to nothing yet."""
        self.settings = settings
        self.redis = connect(
            settings.url,
            socket_timeout=settings.timeout_s,
            socket_connect_timeout=settings.timeout_s,
            retry=Redial(self.drop),
        )
        self._sentinel = parsed(settings.url)
        self._queue = Queue(settings.queue, connection=self.redis, job_class=QueueJob, serializer=JSONSerializer)
        self._health_key = names.health_key(uuid.uuid4().hex)

    def enqueue(self, tickets: Sequence[Ticket], give_up: float) -> bool:
        """Put the jobs of a tool call into Redis, all or none, unless the last one's id is there already.

        False: sent, but no answer came. Raises `QueueUnavailable` where they certainly aren't there. `give_up` is a
        time of time.monotonic() after which nothing is sent any more.
        """
        if time.monotonic() > give_up:
            raise QueueUnavailable("Redis is too slow: the time was up before a thread was free")
        try:
            # Finds out that Redis is away before anything is sent whose fate would be uncertain then.
            self.check()
        except (RedisError, OSError) as error:
            raise QueueUnavailable(reason(error)) from None
        for _attempt in range(2):  # a second time is safe: the job's id is unique
            try:
                if len(tickets) == 1:
                    self._one(tickets[0])
                else:
                    self._chain(tickets)
                self._replicated(tickets[-1])
                return True
            except DuplicateJobError:
                return True
            except WatchError:
                pass  # another one was first, or the connection broke: the second time tells
            except (RedisConnectionError, RedisTimeoutError, OSError):
                time.sleep(0.05)
            except RedisError as error:
                raise QueueUnavailable(reason(error)) from None
        return False

    def check(self) -> None:
        """Find out whether Redis takes what is written to it. Raises a RedisError or OSError where it doesn't."""
        self.redis.set(self._health_key, "1", ex=names.HEALTH_TTL_S)

    def cancel(self, job_id: str) -> Stopped:
        """Take a tool call's jobs out of the queue, or stop them. Raises `QueueUnavailable`."""
        try:
            how, steps = self._cancel(job_id)
            others = {self._cancel(step)[0] for step in steps}
            return "stopped" if "stopped" in others else how
        except (RedisError, OSError) as error:
            raise QueueUnavailable(reason(error)) from None

    def drop(self) -> None:
        """Close the connections that nobody uses at the moment: they lead to a server that refuses."""
        self.redis.connection_pool.disconnect(inuse_connections=False)

    def close(self) -> None:
        """Close the connections."""
        close(self.redis)

    def _replicated(self, ticket: Ticket) -> None:
        """Wait until replicas have the job, where the URL asks for it; too few are told, the job stands anyhow.

        The write before WAIT is this connection's own: what it waits for includes all that came before it, on any.
        """
        if self._sentinel is None or not self._sentinel.wait:
            return
        with self.redis.pipeline(transaction=False) as pipe:
            pipe.set(names.WAIT_KEY, "1", ex=60)
            pipe.execute_command("WAIT", self._sentinel.wait, self._sentinel.wait_ms)  # type: ignore[no-untyped-call]
            reached = pipe.execute()[-1]
        if reached < self._sentinel.wait:
            log.warning("job_not_replicated", job_id=ticket.job_id, replicas=reached, wanted=self._sentinel.wait)

    def _one(self, ticket: Ticket) -> None:
        self._queue.enqueue_call(names.ENTRY, job_id=ticket.job_id, unique=True, **self._options(ticket))
        self._renew()

    def _chain(self, tickets: Sequence[Ticket]) -> None:
        """RQ's `unique` doesn't go with dependencies: the same by a transaction on the last job's key."""
        last = tickets[-1].job_id
        with self.redis.pipeline() as pipe:
            pipe.watch(names.job_key(last))  # type: ignore[no-untyped-call]
            if pipe.exists(names.job_key(last)):
                return
            pipe.multi()
            for ticket in tickets:
                needs = Dependency(list(ticket.needs), allow_failure=True) if ticket.needs else None
                job = QueueJob.create(
                    names.ENTRY,
                    id=ticket.job_id,
                    origin=self.settings.queue,
                    connection=self.redis,
                    serializer=JSONSerializer,
                    depends_on=needs,
                    **self._options(ticket),
                )
                if needs is None:
                    self._queue.enqueue_job(job, pipeline=pipe)
                else:
                    job.set_status(JobStatus.DEFERRED, pipeline=pipe)
                    job.register_dependency(pipeline=pipe)
                    job.save(pipeline=pipe)
            pipe.rpush(names.steps_key(last), *(ticket.job_id for ticket in tickets[:-1]))
            pipe.expire(names.steps_key(last), names.MARK_TTL_S)
            pipe.execute()
        self._renew()

    def _renew(self) -> None:
        """Renew the lifetimes of what all jobs share: a list that ran empty begins without one."""
        with contextlib.suppress(RedisError, OSError):  # the next one does it, too
            lifetimes.renew(self.redis, self.settings.queue, time.time())

    def _options(self, ticket: Ticket) -> dict[str, Any]:
        pauses = [round(delay) for delay in ticket.spec.delays_s]
        return {
            "args": (ticket.payload,),
            "timeout": math.ceil(ticket.limit_s) + STOP_GRACE_S,
            "ttl": names.WAITING_TTL_S,
            "result_ttl": self.settings.result_ttl_s,
            "failure_ttl": self.settings.failure_ttl_s,
            "description": names.description(ticket.spec.name, ticket.spec.summary),
            "meta": _meta(ticket.spec, ticket.payload),
            "retry": Retry(max=len(pauses), interval=pauses) if pauses else None,
        }

    def _cancel(self, job_id: str) -> tuple[Stopped, list[str]]:
        """Cancel one job; returns with it the ids of those that it needs."""
        steps: list[str] = []
        try:
            # The mark comes first: whoever starts the job after we have read its state below sees the mark.
            self.redis.set(names.cancel_key(job_id), "1", ex=names.MARK_TTL_S)
            found: Any = self.redis.lrange(names.steps_key(job_id), 0, -1)
            steps = [step.decode() for step in found]
            job = QueueJob.fetch(job_id, connection=self.redis, serializer=JSONSerializer)
            status = job.get_status(refresh=False)
            if status == JobStatus.STARTED:
                if not job.worker_name:
                    return "over", steps
                send_command(self.redis, job.worker_name, "stop-job", job_id=job_id)
                return "stopped", steps
            if status in (JobStatus.QUEUED, JobStatus.DEFERRED, JobStatus.SCHEDULED, JobStatus.CREATED):
                job.origin = self.settings.queue  # also where it says otherwise
                job.cancel()
                self._renew()
                return "removed", steps
            return "over", steps
        except NoSuchJobError:
            return "gone", steps
        except InvalidJobOperation:
            return "over", steps


def tickets_of(
    steps: Sequence[Step],
    call: ToolRequest,
    now: float,
    deadline: float,
    limit_s: float,
    *,
    paged: bool = False,
    digits: DigitsKey | None = None,
) -> list[Ticket]:
    """Return the jobs of a tool call: the last one is that of the tool which the model called.

    digits: the key for what the caller typed; without one nothing of that is in them.
    """
    ids = {step.key: call.step_id(step.key) for step in steps}
    found = []
    for step in steps:
        payload = _payload(step, call, now, deadline)
        payload["needs"] = {parameter: ids[key] for parameter, key in step.needs.items()}
        payload["paged"] = paged
        if call.typed and not step.key and digits is not None:
            payload[names.TYPED] = digits.seal(ids[step.key], call.typed)
        needed = tuple(dict.fromkeys(payload["needs"].values()))
        found.append(Ticket(ids[step.key], step.spec, payload, limit_s, needed))
    return found


def _payload(step: Step, call: ToolRequest, now: float, deadline: float) -> dict[str, Any]:
    """Return what the tool worker gets; times are Unix times in s.

    A tool that is to be cancelled when the caller hangs up must not start after its deadline either: the caller has
    been told by then that it took too long. The others may, since they are to be finished anyway.
    """
    remote = payload_of(step.spec)
    # Of a remote tool as they were understood here, by its schema: the tool worker does not know that.
    arguments = dict(step.given) if remote is None else step.spec.signature.bind_values(step.given)["arguments"]
    return {
        **({PAYLOAD: remote} if remote is not None else {}),
        "tool": step.spec.name,
        "arguments": arguments,
        "step": step.key,
        "call_id": call.call_id,
        "tool_call_id": call.tool_call_id,
        "caller": call.caller,
        "dialled": call.dialled,
        **({"facts": dict(call.facts)} if call.facts else {}),
        **({TRACEPARENT: call.traceparent} if call.traceparent else {}),
        "enqueued_at": now,
        "deadline": deadline,
        "not_after": deadline if step.spec.on_hangup == "cancel" else None,
    }


def _meta(spec: ToolSpec, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an operator reads of the job in rq-dashboard."""
    found = {
        "call_id": payload["call_id"],
        "tool_call_id": payload["tool_call_id"],
        "tool": spec.name,
        "summary": spec.summary,
    }
    traced = SpanContext.read(payload.get(TRACEPARENT))
    return found if traced is None else {**found, "trace": f"{traced.trace_id:032x}"}


def reason(error: Exception) -> str:
    """Say what is wrong with Redis, and its remedy, without its address, which may hold a password."""
    if refusal := refusal_of(error):
        return f"Redis refuses ({refusal.answer}): {refusal.mend}"
    kind = "does not answer" if isinstance(error, RedisConnectionError | RedisTimeoutError | OSError) else "refuses"
    return f"Redis {kind} ({type(error).__name__})"
