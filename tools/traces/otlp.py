"""Hands spans to OpenTelemetry's SDK, which sends them by OTLP over HTTP from a thread of its own.

The only room that imports the SDK; who has no endpoint never imports this one. The SDK reads its own variables
(OTEL_EXPORTER_OTLP_*, OTEL_BSP_*, OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES ...). Its queue is bounded and lets the
oldest spans go: an exporter that is down holds nobody up.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from opentelemetry import trace as api
from opentelemetry.context import Context, attach, detach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanKind, Status, StatusCode, TraceFlags, set_span_in_context

from tools.traces.current import CURRENT
from tools.traces.span import Span, SpanContext

__all__ = ["CLOSE_S", "Exporter", "below"]

log = structlog.get_logger(__name__)

CLOSE_S = 2.0
"""So long the end of a process waits for its last spans to be sent."""
_KINDS = {kind.name.lower(): kind for kind in SpanKind}


class Exporter:
    """The spans' way out of this process. For any thread."""

    def __init__(self, service: str) -> None:
        """service: the `service.name` where OTEL_SERVICE_NAME names none. Raises ValueError for a wrong OTEL_*."""
        self._ids = _Ids()
        resource = Resource.create()
        if str(resource.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: service}))
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("offhook")
        self._lock = threading.Lock()

    def sampled(self, trace_id: int, name: str) -> bool:
        """Tell whether a trace that begins here is to be told, by OTEL_TRACES_SAMPLER."""
        return self._provider.sampler.should_sample(None, trace_id, name).decision is not Decision.DROP

    def emit(self, span: Span) -> None:
        """Take a span that is over; it is sent later, or never. Raises nothing."""
        try:
            with self._lock:
                self._ids.next = span.context
                made = self._tracer.start_span(
                    span.name,
                    _context(span.parent) if span.parent is not None else Context(),
                    _KINDS[span.kind],
                    dict(span.attributes),
                    start_time=span.start_ns,
                )
            for event in span.events:
                made.add_event(event.name, timestamp=event.at_ns)
            if span.error:
                made.set_status(Status(StatusCode.ERROR, span.error))
            made.end(span.end_ns)
        except Exception:  # whoever has something to tell has more to do than that
            log.exception("span_lost", span=span.name)

    def close(self, within_s: float = CLOSE_S) -> None:
        """Send what is left, and wait for that no longer than `within_s`. A second time it does nothing."""
        ending = threading.Thread(target=self._provider.shutdown, name="traces-close", daemon=True)
        ending.start()
        ending.join(within_s)


@contextmanager
def below(context: SpanContext) -> Iterator[None]:
    """Make this the current span, of OpenTelemetry's API, too: what tools and libraries trace hangs below it.

    The MCP SDK puts it into the `_meta` of its requests.
    """
    ours, token = CURRENT.set(context), attach(_context(context))
    try:
        yield
    finally:
        detach(token)
        CURRENT.reset(ours)


def _context(context: SpanContext) -> Context:
    flags = TraceFlags(TraceFlags.SAMPLED if context.sampled else TraceFlags.DEFAULT)
    remote = api.SpanContext(context.trace_id, context.span_id, is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(remote), Context())


class _Ids(IdGenerator):
    """Gives the SDK the ids that a span has already: others were told of them before it was over."""

    next = SpanContext(1, 1)

    def generate_span_id(self) -> int:
        return self.next.span_id

    def generate_trace_id(self) -> int:
        return self.next.trace_id
