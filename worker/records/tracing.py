"""Tells calls as traces: the shell around `traces`, which has the clock and the way out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from tools.traces.span import Span
from worker.records.record import RecordEvent
from worker.records.traces import CallTrace, OfCall, root_context, tells, tool_context

__all__ = ["Tracing", "Traced", "WayOut"]

log = structlog.get_logger(__name__)


class WayOut(Protocol):
    """Where spans go (`tools.traces.otlp.Exporter`). Neither waits for anything."""

    def sampled(self, trace_id: int, name: str) -> bool:
        """Tell whether a trace that begins here is to be told."""
        ...

    def emit(self, span: Span) -> None:
        """Take a span that is over. Raises nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Tracing:
    """Begins the traces of a worker's calls."""

    out: WayOut

    def begin(self, call: OfCall, clock: Callable[[], float]) -> Traced | None:
        """Begin a call's trace at its INVITE, now; None: the sampler has left it out."""
        if not self.out.sampled(root_context(call.call_id).trace_id, "invoke_agent"):
            return None
        return Traced(call, clock, self.out)


class Traced:
    """One call's trace. On the event loop only."""

    def __init__(self, call: OfCall, clock: Callable[[], float], out: WayOut) -> None:
        """Begin now by the clock (s)."""
        self._call_id = call.call_id
        self._trace = CallTrace(call)
        self._clock = clock
        self._invited = clock()
        self._emit = out.emit

    def recorded(self, event: RecordEvent) -> None:
        """Take an edge of the record: to be subscribed to the recorder, which bears what is raised here."""
        for span in self._trace.recorded(event, self._now_ms):
            self._emit(span)

    def provided(self, event: object) -> None:
        """Take an event of the realtime session: many come each second, and most are left. Raises nothing."""
        if not tells(event):
            return
        try:
            for span in self._trace.provided(event, self._now_ms):
                self._emit(span)
        except Exception:  # whoever looks on does no harm to the call
            log.exception("trace_failed", call_id=self._call_id, edge=type(event).__name__)

    def traceparent(self, tool_call_id: str) -> str:
        """Return what a tool call's job takes along, so that its span hangs below the tool call's."""
        return tool_context(self._call_id, tool_call_id).traceparent

    @property
    def _now_ms(self) -> float:
        return (self._clock() - self._invited) * 1000
