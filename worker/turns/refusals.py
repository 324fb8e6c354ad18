"""Why a provider refused a response, sorted by what helps: to wait, to change the way, or nothing. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

__all__ = ["WAIT_S", "Refusal", "Remedy", "sort"]

WAIT_S = 2.0
"""Before a response that was refused for a limit is asked for again, where the provider does not say how long."""
_LIMITS = frozenset({"rate_limit_exceeded", "rate_limit_error", "rate_limited", "too_many_requests", "overloaded"})
_OPEN_CALL = "function_call_output"
"""Codes of servers that refuse a response while a function call has no output begin so: _pending, _missing."""
_SPAN = re.compile(r"try again in\s+((?:\d+(?:\.\d+)?\s*(?:ms|[hms])\s*)+)", re.IGNORECASE)
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[hms])", re.IGNORECASE)
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


class Remedy(Enum):
    """What helps."""

    WAIT = "wait"
    PLACEHOLDERS = "placeholders"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal, sorted. after_s: for WAIT, how long (s)."""

    remedy: Remedy
    after_s: float = 0.0


def sort(code: str, message: str, *, calls_open: bool = False) -> Refusal:
    """Sort a refusal by the provider's code and words.

    calls_open: a function call is open that has no output, and `response_failed` says no more than that.
    """
    name = code.rpartition(".")[2]
    if name in _LIMITS:
        return Refusal(Remedy.WAIT, _told(message))
    if name.startswith(_OPEN_CALL) or (calls_open and name == "response_failed"):
        return Refusal(Remedy.PLACEHOLDERS)
    return Refusal(Remedy.NONE)


def _told(message: str) -> float:
    """How long the provider says to wait (s): "try again in 6.2s", "in 1m30s", "in 350ms"."""
    found = _SPAN.search(message)
    if found is None:
        return WAIT_S
    return sum(float(number) * _UNITS[unit.lower()] for number, unit in _PART.findall(found[1]))
