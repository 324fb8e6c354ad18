"""Edges to read: what `Journal` has kept, with times and plain values. Pure; apart from the call, in its own time."""

from __future__ import annotations

import base64
import functools
from collections.abc import Mapping
from enum import Enum
from typing import Any

import orjson
from pydantic import Base64Bytes, BaseModel, Field, JsonValue

from worker.records.envelope import LOUDEST, Levels
from worker.records.journal import SAFE, Raw, Shape, Taken
from worker.records.record import wall

__all__ = ["Edge", "JournalFile", "journal_bytes", "journal_of"]

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


class EnvelopeFile(BaseModel):
    """How loud both voices were, without a word of them: a byte for each column, in base64."""

    start_ms: int = Field(description="where the first column begins, in ms since the answer")
    column_ms: int = Field(gt=0, description="how wide one is")
    caller: Base64Bytes = Field(default=b"", description=f"RMS, linear; {LOUDEST}: -12 dB of full scale and more")
    agent: Base64Bytes = b""


class JournalFile(BaseModel):
    """A call's journal as it is kept in `<call id>.journal`."""

    version: int = VERSION
    call_id: str
    zero_at: str = Field(default="", description="the wall clock at ms 0 (RFC 3339)")
    end_ms: int = Field(default=0, description="how far the edges reach")
    counted: dict[str, int] = Field(default={}, description="events that are not listed, by type")
    left_out: dict[str, int] = Field(default={}, description="edges that were let go, the oldest of each kind")
    edges: list[Edge] = []
    envelope: EnvelopeFile | None = Field(default=None, description="None: it was not kept")


def journal_of(call_id: str, taken: Taken) -> JournalFile:
    """Return the journal of a call that is in progress, or has just ended."""
    plain = _plain_journal(call_id, taken)
    edges = [Edge.model_construct(**edge) for edge in plain.pop("edges")]  # ours: there is nothing to validate
    envelope = plain.pop("envelope")
    known = None if envelope is None else EnvelopeFile(**envelope)
    return JournalFile.model_construct(**plain, edges=edges, envelope=known)


def journal_bytes(call_id: str, taken: Taken) -> bytes:
    """Return the same as JSON, for a fifth of the time: it is made at the end of every call."""
    return orjson.dumps(_plain_journal(call_id, taken), option=orjson.OPT_APPEND_NEWLINE)


def _plain_journal(call_id: str, taken: Taken) -> dict[str, Any]:
    zero = taken.invited_s if taken.answered_s is None else taken.answered_s
    unix = taken.started_at - taken.invited_s
    return {
        "version": VERSION,
        "call_id": call_id,
        "zero_at": wall(unix + zero),
        "end_ms": round((taken.now_s - zero) * 1000),
        "counted": dict(taken.counted),
        "left_out": dict(taken.left_out),
        "edges": [_edge(raw, zero, unix) for raw in taken.raw],
        "envelope": None if taken.levels is None else _envelope(taken.levels, zero),
    }


def _envelope(levels: Levels, zero: float) -> dict[str, Any]:
    voices = {"caller": levels.caller, "agent": levels.agent}
    return {
        "start_ms": round((levels.began_s - zero) * 1000),
        "column_ms": levels.column_ms,
        **{name: base64.b64encode(voice).decode("ascii") for name, voice in voices.items()},
    }


def _edge(raw: Raw, zero: float, unix: float) -> dict[str, Any]:
    at, _, kind, shape, values, told, floor, slot = raw
    data = _data(shape, values)
    if kind == "turn":
        data["commands"] = [{"command": of.what, **_data(of, read)} for of, read in told]
        data["floor"], data["slot"] = _plain(floor), _plain(slot)
    second, ms = divmod(round((unix + at) * 1000), 1000)
    wall_clock = f"{_second(second)}.{ms:03d}Z"
    return {"ms": round((at - zero) * 1000), "at": wall_clock, "kind": kind, "what": shape.what, "data": data}


@functools.lru_cache(maxsize=256)
def _second(unix_s: int) -> str:
    """A second as RFC 3339 has it: an edge has it in common with many others."""
    return wall(unix_s)[:19]


def _data(shape: Shape, values: Any) -> dict[str, JsonValue]:
    if len(shape.names) == 1:
        values = (values,)
    found: dict[str, JsonValue] = {}
    for name, value in zip(shape.names, values or (), strict=True):
        if value is None or value == "":
            continue
        if name == "metadata":
            if isinstance(value, Mapping) and value.get("purpose"):
                found["purpose"] = _plain(value["purpose"])
        else:
            found[name] = _plain(value)
    return found


def _plain(value: Any) -> JsonValue:
    kind = type(value)
    if kind is str:
        return str(value) if len(value) <= LONGEST else value[:LONGEST]
    if kind in (int, float, bool) or value is None:
        return value  # type: ignore[no-any-return]
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, BaseModel):  # a part of the record
        return {name: _plain(one) for name, one in value if name in SAFE and one is not None and one != ""}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value[:50]]
    return kind.__name__
