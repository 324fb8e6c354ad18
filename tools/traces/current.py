"""Which span the running code is in, for what is sent on from there: a notice's job, a webhook."""

from __future__ import annotations

from contextvars import ContextVar

from tools.traces.span import SpanContext

__all__ = ["CURRENT", "current_traceparent"]

CURRENT: ContextVar[SpanContext | None] = ContextVar("offhook_span", default=None)


def current_traceparent() -> str:
    """Return the `traceparent` of the running code; "" where there is none."""
    context = CURRENT.get()
    return "" if context is None else context.traceparent
