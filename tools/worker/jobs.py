"""What a tool worker runs: two entry points, and a job class that knows no other.

An RQ worker runs whatever importable function a job names, so that who can write to Redis could run anything. Ours
takes jobs of `run_tool` and `deliver_notice` only; these run tools which the worker was started with, and tell ends to
those whom its settings name. Callbacks and webhooks, which a job could name too, are not run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq import Queue
from rq.job import Job, JobStatus

from tools.define.spec import ToolSpec
from tools.mcp.server import McpServer
from tools.queue import names, notices
from tools.queue.job import QueueJob
from tools.queue.sealed_digits import DigitsKey
from tools.tool_call.outcome import Status, failure
from tools.worker.delivery import deliver
from tools.worker.notify import Channels
from tools.worker.running import Kit, attempt, number

log = structlog.get_logger(__name__)

_kit = Kit()
_channels = Channels()


class ForbiddenJob(Exception):
    """A job in the queue names a function other than our entry points: who else writes to this Redis?"""


class OffhookJob(QueueJob):
    """A job that runs one of our entry points and nothing else, whatever Redis says."""

    @property
    def func(self) -> Callable[..., Any]:
        """Return the entry point. Raises `ForbiddenJob` for any other function name."""
        entries = {names.ENTRY: run_tool, names.NOTICE_ENTRY: deliver_notice}
        if self.func_name not in entries:
            raise ForbiddenJob("a job names another function than the tool worker's entry points; it was not run")
        return entries[self.func_name]

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

    def retry(self, queue: Queue, pipeline: Pipeline) -> None:
        """Have it tried again after its pause.

        RQ cuts the time to the whole second, so that a pause of a second would be none, and writes it down before the
        rest: another worker could begin the next try while this one is not yet over.
        """
        pause_s = self.get_retry_interval()
        if not pause_s:
            super().retry(queue, pipeline)
            return
        assert self.retries_left
        self.retries_left -= 1
        self.set_status(JobStatus.SCHEDULED, pipeline=pipeline)
        self.save(pipeline=pipeline)
        pipeline.zadd(queue.scheduled_job_registry.key, {self.id: time.time() + pause_s})

    def _handle_failure(self, *args: Any, **kwargs: Any) -> None:
        """RQ's, for a job that was stopped or whose process died: its caller may have hung up and want to know."""
        super()._handle_failure(*args, **kwargs)
        try:
            if self.damage or self.func_name == names.ENTRY:
                _settle_lost(self)
        except Exception:  # RQ is in the middle of its own books
            log.exception("job_not_settled", job_id=self.id)


def install(
    specs: Iterable[ToolSpec],
    secrets: Mapping[str, str] | None = None,
    channels: Channels | None = None,
    servers: Iterable[McpServer] = (),
    digits: DigitsKey | None = None,
) -> None:
    """Make these the tools of this process, in the place of any before, with the secrets and channels there are.

    servers: those whose tools it runs. digits: the key for what callers type.

    Raises `ToolDefinitionError` where a secret is wanted that isn't there.
    """
    global _kit, _channels
    _kit = Kit.of(specs, secrets or {}, servers, digits)
    _channels = channels or Channels()


def run_tool(payload: Mapping[str, Any], *, job: Job) -> dict[str, Any]:
    """Run one tool call in this process and return its outcome as a dict. Does not raise for the tool's fault.

    Raises `TryAgain` where it is to be tried again.
    """
    started_at = time.time()
    outcome = attempt(_kit, payload, job)
    # The clocks of two machines may differ: a start before the tool call is a start at once.
    wait_ms = max(0, round((started_at - number(payload, "enqueued_at", started_at)) * 1000))
    outcome = outcome.of_job(job.id).with_times(wait_ms=wait_ms, run_ms=0 if outcome.cached else outcome.run_ms)
    bound = {"call_id": payload.get("call_id"), "tool": payload.get("tool"), "job_id": job.id}
    log.info("tool_ran", **bound, status=outcome.status, detail=outcome.detail, wait_ms=wait_ms, run_ms=outcome.run_ms)
    if _is_the_models(payload):
        notices.settle(job.connection, job.origin, job.id, outcome)
    return outcome.as_dict()


def deliver_notice(payload: Mapping[str, Any], *, job: Job) -> dict[str, Any]:
    """Tell how a tool call ended whose caller had hung up. Raises to be tried again."""
    return deliver(payload, job.connection, _channels)


def _is_the_models(payload: Mapping[str, Any]) -> bool:
    """Whether the end of this job is a tool call's: of interest whatever the tool declares, for it may be promised."""
    return _kit.find(payload) is not None and not payload.get("step")


def _settle_lost(job: OffhookJob) -> None:
    try:
        if job.damage:  # whose it is can't be read: the mark of a hang-up, if there is one, says so
            how: Status = "unknown" if job.connection.exists(names.ran_key(job.id)) else "failed"
            notices.settle(job.connection, job.origin, job.id, failure(how, detail="its record was damaged"))
            return
        payload = job.args[0]
        spec = _kit.find(payload)
        if spec is None or payload.get("step"):
            return
        cancelled = job.connection.get(names.cancel_key(job.id)) is not None
        status: Status = "unknown" if spec.effects == "once" else "cancelled" if cancelled else "failed"
        lost = failure(status, detail="stopped" if cancelled else "its process died")
        notices.settle(job.connection, job.origin, job.id, lost)
    except (RedisError, OSError) as error:
        log.warning("job_not_settled", job_id=job.id, error=type(error).__name__)
