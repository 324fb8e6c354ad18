"""What a tool worker runs: one entry point, and a job class that knows no other.

An RQ worker runs whatever importable function a job names, so that who can write to Redis could run anything. Ours
takes jobs of `tools.jobs.run_tool` only, and that runs only tools which the worker was started with. Callbacks and
webhooks, which a job could name too, are not run.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog
from redis import Redis
from redis.exceptions import RedisError
from rq.job import Job
from rq.timeouts import JobTimeoutException

from tools import names
from tools.context import ToolContext
from tools.errors import InvalidArguments
from tools.outcome import Outcome, failure, raised, returned
from tools.spec import ToolSpec

log = structlog.get_logger(__name__)

_tools: dict[str, ToolSpec] = {}


class ForbiddenJob(Exception):
    """A job in the queue names a function other than our entry point: who else writes to this Redis?"""


class OffhookJob(Job):
    """A job that runs `run_tool` and nothing else, whatever Redis says."""

    @property
    def func(self) -> Callable[..., Any]:
        """Return the entry point. Raises `ForbiddenJob` for any other function name."""
        if self.func_name != names.ENTRY:
            raise ForbiddenJob("a job names another function than the tool worker's entry point; it was not run")
        return run_tool

    @property
    def success_callback(self) -> None:
        """None: callbacks are imported by name from Redis."""
        return None

    @property
    def failure_callback(self) -> None:
        """None: see success_callback."""
        return None

    @property
    def stopped_callback(self) -> None:
        """None: see success_callback."""
        return None

    def send_webhooks(self, *_args: Any, **_kwargs: Any) -> None:
        """Send none: their addresses would come from Redis."""

    def _execute(self) -> Any:
        function = self.func  # checked there
        return function(self.args[0], job=self)


def install(specs: Iterable[ToolSpec]) -> None:
    """Make these the tools of this process, in the place of any before."""
    _tools.clear()
    _tools.update({spec.name: spec for spec in specs})


def run_tool(payload: Mapping[str, Any], *, job: Job) -> dict[str, Any]:
    """Run one tool call in this process and return its outcome as a dict. Does not raise for the tool's fault."""
    started_at = time.time()
    began = time.monotonic()
    bound = {"call_id": payload.get("call_id"), "tool": payload.get("tool"), "job_id": job.id}
    outcome = _refused(payload, job) or _run(payload, job)
    run_ms = round((time.monotonic() - began) * 1000)
    # The clocks of two machines may differ: a start before the tool call is a start at once.
    wait_ms = max(0, round((started_at - float(payload.get("enqueued_at", started_at))) * 1000))
    log.info("tool_ran", **bound, status=outcome.status, detail=outcome.detail, wait_ms=wait_ms, run_ms=run_ms)
    return outcome.of_job(job.id).with_times(wait_ms=wait_ms, run_ms=run_ms).as_dict()


def _refused(payload: Mapping[str, Any], job: Job) -> Outcome | None:
    """Return the outcome of a job that must not run (any more), None for one that may."""
    not_after = payload.get("not_after")
    if not_after is not None and time.time() > float(not_after):
        return failure("timeout", detail="its time was up before a tool worker was free; it did not start")
    connection: Redis = job.connection
    if connection.get(names.cancel_key(job.id)) is not None:
        return failure("cancelled", detail="cancelled before it started")
    # A job can be requeued by hand, and delivered twice after a crash. A token of our own, since the command itself
    # may be sent twice when the connection breaks.
    token = uuid.uuid4().hex
    if connection.set(names.ran_key(job.id), token, nx=True, ex=names.MARK_TTL_S):
        return None
    if connection.get(names.ran_key(job.id)) == token.encode():
        return None
    return failure("unknown", detail="a job of this id has been started before; it is not run again")


def _run(payload: Mapping[str, Any], job: Job) -> Outcome:
    spec = _tools.get(str(payload.get("tool")))
    if spec is None:
        return failure("failed", detail=f"this tool worker has no such tool; it has {', '.join(_tools) or 'none'}")
    try:
        arguments = spec.signature.bind(str(payload.get("arguments", "")))
    except InvalidArguments as error:
        return failure("invalid", str(error), detail=error.reason)
    if spec.signature.context:
        arguments[spec.signature.context] = _context(payload, job)
    try:
        value = spec.function(**arguments)
        if spec.is_async:
            value = asyncio.run(value)
        return returned(value)
    except JobTimeoutException:
        return failure("unknown" if spec.effects == "once" else "timeout", detail="time-out in the tool worker")
    except (Exception, SystemExit) as error:
        log.warning("tool_raised", job_id=job.id, tool=spec.name, error=type(error).__name__, exc_info=error)
        return raised(error)


def _context(payload: Mapping[str, Any], job: Job) -> ToolContext:
    return ToolContext(
        call_id=str(payload.get("call_id", "")),
        tool_call_id=str(payload.get("tool_call_id", "")),
        caller=str(payload.get("caller", "")),
        dialled=str(payload.get("dialled", "")),
        deadline=float(payload.get("deadline", "inf")),
        report=lambda text: _report(job.connection, job.id, text),
    )


def _report(connection: Redis, job_id: str, text: str) -> None:
    key = names.progress_key(job_id)
    try:
        with connection.pipeline(transaction=False) as pipe:
            pipe.xadd(key, {"text": text[: names.PROGRESS_LENGTH]}, maxlen=names.PROGRESS_KEPT)
            pipe.expire(key, names.PROGRESS_TTL_S)
            pipe.execute()
    except (RedisError, OSError) as error:
        log.warning("progress_lost", job_id=job_id, error=type(error).__name__)
