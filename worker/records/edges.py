"""Edges to read: what `Journal` has kept, with times and plain values. Pure; apart from the call, in its own time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from pydantic import BaseModel, Field, JsonValue

from worker.records.journal import SAFE, Raw, Shape, Taken
from worker.records.record import wall

__all__ = ["Edge", "JournalFile", "edges_of", "journal_of"]

LONGEST = 200
"""Characters of a value: names and reasons come from others."""

VERSION = 1


class Edge(BaseModel):
    """One edge of a call."""

    ms: int = Field(description="since the answer, negative before it; since the INVITE where there was no answer")
    at: str = Field(description="the wall clock (RFC 3339)")
    kind: str = Field(description="record, turn, provider, phone, sip, rtp, line")
    what: str = Field(description="the event's name")
    data: dict[str, JsonValue] = {}


class JournalFile(BaseModel):
    """A call's journal as it is kept in `<call id>.journal`."""

    version: int = VERSION
    call_id: str
    zero_at: str = Field(default="", description="the wall clock at ms 0 (RFC 3339)")
    end_ms: int = Field(default=0, description="how far the edges reach")
    counted: dict[str, int] = Field(default={}, description="events that are not listed, by type")
    left_out: dict[str, int] = Field(default={}, description="edges that were let go, the oldest of each kind")
    edges: list[Edge] = []


def journal_of(call_id: str, taken: Taken) -> JournalFile:
    """Return the journal of a call that is in progress, or has just ended."""
    zero = _zero(taken)
    return JournalFile(
        call_id=call_id,
        zero_at=wall(taken.started_at + zero - taken.invited_s),
        end_ms=round((taken.now_s - zero) * 1000),
        counted=dict(taken.counted),
        left_out=dict(taken.left_out),
        edges=edges_of(taken),
    )


def edges_of(taken: Taken) -> list[Edge]:
    """Return the edges, in order of time."""
    zero = _zero(taken)
    unix = taken.started_at - taken.invited_s
    return [_edge(raw, zero, unix) for raw in taken.raw]


def _zero(taken: Taken) -> float:
    return taken.invited_s if taken.answered_s is None else taken.answered_s


def _edge(raw: Raw, zero: float, unix: float) -> Edge:
    at, _, kind, shape, values, told, floor, slot = raw
    data = _data(shape, values)
    if kind == "turn":
        data["commands"] = [{"command": of.what, **_data(of, read)} for of, read in told]
        data["floor"], data["slot"] = _plain(floor), _plain(slot)
    # No validation: it is ours, and there may be thousands.
    return Edge.model_construct(ms=round((at - zero) * 1000), at=wall(unix + at), kind=kind, what=shape.what, data=data)


def _data(shape: Shape, values: Any) -> dict[str, JsonValue]:
    if len(shape.names) == 1:
        values = (values,)
    pairs: Iterable[tuple[str, Any]] = zip(shape.names, values or (), strict=True)
    found: dict[str, JsonValue] = {}
    for name, value in pairs:
        if name == "metadata":
            name, value = "purpose", value.get("purpose") if isinstance(value, Mapping) else None
        if value is not None and value != "":
            found[name] = _plain(value)
    return found


def _plain(value: Any) -> JsonValue:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, str):
        return value[:LONGEST]
    if isinstance(value, bool | int | float) or value is None:
        return value
    if isinstance(value, BaseModel):  # a part of the record
        return {name: _plain(one) for name, one in value if name in SAFE and one is not None and one != ""}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value[:50]]
    return type(value).__name__
