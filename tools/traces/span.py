"""A span that is over, and the W3C trace context by which others hang their own below it. Pure values.

A `traceparent` is `00-<trace id, 32 hex>-<parent id, 16 hex>-<flags, 2 hex>` (W3C Trace Context, section 3.2).
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Attribute", "Kind", "Span", "SpanContext", "SpanEvent", "derived_id", "new_id", "trace_id_of"]

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Attribute = str | bool | int | float | tuple[str, ...]

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_CALL = re.compile(r"[0-9a-f]{32}")
_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class SpanContext:
    """Which span of which trace. trace_id: 128 bits, span_id: 64 bits; neither is 0."""

    trace_id: int
    span_id: int
    sampled: bool = True

    @property
    def traceparent(self) -> str:
        """It as a `traceparent`."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{int(self.sampled):02x}"

    @classmethod
    def read(cls, text: object) -> SpanContext | None:
        """Read a `traceparent` of anybody's; None where it is none. A later version's may have more behind it."""
        found = _TRACEPARENT.fullmatch(text) if isinstance(text, str) else None
        if found is None or found[1] == "ff" or (found[1] == "00" and found[5]):
            return None
        trace_id, span_id = int(found[2], 16), int(found[3], 16)
        return cls(trace_id, span_id, bool(int(found[4], 16) & _SAMPLED)) if trace_id and span_id else None


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """Something within a span. at_ns: Unix time in ns."""

    name: str
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One span that is over. Times are Unix times in ns; error: its kind in a word, "" where it went well."""

    name: str
    context: SpanContext
    parent: SpanContext | None
    start_ns: int
    end_ns: int
    kind: Kind = "internal"
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    events: tuple[SpanEvent, ...] = ()
    error: str = ""


Emit = Callable[[Span], None]
"""Takes a span that is over. Returns at once and raises nothing."""


def trace_id_of(call_id: str) -> int:
    """Return the trace of a call: its id itself, where that is 32 hex digits, so that who has the one has the other."""
    if _CALL.fullmatch(call_id) and int(call_id, 16):
        return int(call_id, 16)
    return _number(call_id, 16)


def derived_id(*parts: str) -> int:
    """Return the id of a span that several places have to know without asking each other."""
    return _number("\0".join(parts), 8)


def new_id() -> int:
    """Return a span id by chance."""
    return secrets.randbits(64) or 1


def _number(text: str, size: int) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()
    return int.from_bytes(digest, "big") or 1
