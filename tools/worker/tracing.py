"""A tool worker's part of a call's trace: a span for each job that has a `traceparent` with it.

It is the worker's own process that tells of a job, not its fork: also of one that was killed, and a fork ends without
waiting for an exporter.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
from redis.exceptions import RedisError
from rq.job import Job

from tools.queue import names
from tools.tool_call.outcome import Status
from tools.traces import names as spans
from tools.traces.otlp import Exporter, below
from tools.traces.span import Attribute, Span, SpanContext, new_id
from tools.worker.running import result_of

__all__ = ["JobTraces"]

log = structlog.get_logger(__name__)

AGAIN = "again"
"""The status of a job that is to be tried again: it has no result yet."""
WENT_WELL: tuple[Status | str, ...] = ("ok", AGAIN)


class JobTraces:
    """Tells of the jobs of one tool worker."""

    def __init__(self, exporter: Exporter) -> None:
        """Take the way out."""
        self._exporter = exporter

    @contextmanager
    def around(self, job: Job) -> Iterator[None]:
        """Run a job within this: what its tool traces hangs below its span, which is told when it is over."""
        payload: Mapping[str, Any] = job.args[0]
        parent = SpanContext.read(payload.get(spans.TRACEPARENT))
        if parent is None:
            yield
            return
        context, start_ns = SpanContext(parent.trace_id, new_id(), parent.sampled), time.time_ns()
        try:
            with below(context):
                yield
        finally:
            self._tell(job, payload, parent, context, start_ns)

    def _tell(
        self, job: Job, payload: Mapping[str, Any], parent: SpanContext, context: SpanContext, start_ns: int
    ) -> None:
        end_ns = time.time_ns()
        status = _status(job)
        attributes: dict[str, Attribute] = {
            spans.MESSAGING_SYSTEM: "rq",
            spans.MESSAGING_DESTINATION_NAME: job.origin,
            spans.MESSAGING_OPERATION_NAME: "process",
            spans.MESSAGING_OPERATION_TYPE: "process",
            spans.MESSAGING_MESSAGE_ID: job.id,
            spans.OFFHOOK_TOOL_STATUS: status,
            spans.GEN_AI_CONVERSATION_ID: str(payload.get("call_id", "")),
            spans.GEN_AI_TOOL_CALL_ID: str(payload.get("tool_call_id", "")),
        }
        if job.func_name == names.ENTRY:
            attributes[spans.GEN_AI_TOOL_NAME] = str(payload.get("tool", ""))
        error = "" if status in WENT_WELL else status
        if error:
            attributes[spans.ERROR_TYPE] = error
        self._exporter.emit(
            Span(
                name=f"process {job.origin}",
                context=context,
                parent=parent,
                start_ns=start_ns,
                end_ns=end_ns,
                kind="consumer",
                attributes=attributes,
                error=error,
            )
        )


def _status(job: Job) -> str:
    """How it ended, by what Redis has of it."""
    try:
        if not job.connection.exists(names.result_key(job.id)):
            return AGAIN
        if job.func_name != names.ENTRY:
            return "failed" if job.get_status() == "failed" else "ok"
        return result_of(job.connection, job.id).status
    except (RedisError, OSError) as error:
        log.warning("job_end_not_traced", job_id=job.id, error=type(error).__name__)
        return "unknown"
