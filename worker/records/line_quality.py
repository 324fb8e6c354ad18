"""How the telephone line was from report to report, out of the journal's edges. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, Field

from telephony.quality import FRAME_MS, mos
from worker.records.edges import Edge

__all__ = ["LineQuality", "Span", "line_quality", "span_of"]


class Span(BaseModel):
    """The line between two reports. MOS by `telephony.quality`: an estimate, of loss and delay alone."""

    start_ms: int
    end_ms: int
    received: int = Field(description="packets of the caller's that came")
    lost: int = Field(description="that did not come, or too late")
    jitter_ms: float
    mos: float | None = Field(description="of the caller's voice as it came to us; None: nothing came")
    sent: int
    their_lost: int | None = Field(description="of what we sent, by the other side's RTCP; None: it says nothing")
    their_mos: float | None = Field(description="of the agent's voice as it came to the caller; None: not known")
    round_trip_ms: float | None


class LineQuality(BaseModel):
    """The line of a whole call."""

    received: int = 0
    lost: int = 0
    jitter_ms: float = Field(default=0.0, description="the worst of the reports'")
    mos: float | None = None
    least_mos: float | None = Field(default=None, description="of the worst span")
    sent: int = 0
    their_lost: int | None = None
    their_mos: float | None = None
    spans: list[Span] = []


def line_quality(edges: Iterable[Edge]) -> LineQuality | None:
    """Return how the line was; None where nobody has measured it."""
    reports = [edge for edge in edges if edge.kind == "rtp" and edge.what == "RtpReport"]
    if not reports:
        return None
    spans = []
    before: Edge | None = None
    for report in reports:
        spans.append(span_of(before, report))
        before = report
    spans = [span for span in spans if span.received or span.sent]
    known = [span.mos for span in spans if span.mos is not None]
    lost, received = sum(span.lost for span in spans), sum(span.received for span in spans)
    theirs = [span.their_lost for span in spans if span.their_lost is not None]
    their_mos = [span.their_mos for span in spans if span.their_mos is not None]
    return LineQuality(
        received=received,
        lost=lost,
        jitter_ms=max((span.jitter_ms for span in spans), default=0.0),
        mos=_mean(known),
        least_mos=min(known, default=None),
        sent=sum(span.sent for span in spans),
        their_lost=sum(theirs) if theirs else None,
        their_mos=_mean(their_mos),
        spans=spans,
    )


def span_of(before: Edge | None, now: Edge) -> Span:
    """Return how the line was from one report to the next. before: None at the first."""
    if before is not None and _of(now, "received") < _of(before, "received"):
        before = None  # a new stream, after a new offer, counts from nought

    def grown(*names: str) -> int:
        return max(0, sum(round(_of(now, name) - (0 if before is None else _of(before, name))) for name in names))

    received, lost, sent = grown("received"), grown("lost", "discarded"), grown("sent")
    trip = now.data.get("round_trip_ms")
    way = trip / 2 if isinstance(trip, int | float) else 0.0
    theirs = grown("their_lost") if now.data.get("their_lost") is not None else None
    came = received + grown("lost")
    return Span(
        start_ms=0 if before is None else before.ms,
        end_ms=now.ms,
        received=received,
        lost=lost,
        jitter_ms=_of(now, "jitter_ms"),
        mos=round(mos(lost / came, way + _of(now, "buffer_ms") + FRAME_MS), 2) if came else None,
        sent=sent,
        their_lost=theirs,
        their_mos=round(mos(theirs / sent, way + FRAME_MS), 2) if sent and theirs is not None else None,
        round_trip_ms=float(trip) if isinstance(trip, int | float) else None,
    )


def _mean(values: list[float]) -> float | None:
    return round(sum(values) / len(values), 2) if values else None


def _of(edge: Edge, name: str) -> float:
    value = edge.data.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
