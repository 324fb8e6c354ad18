"""What calls are searched by, and what is found, on one worker and on several. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from worker.records.archive import Summary

__all__ = ["Found", "Query", "merged"]


@dataclass(frozen=True, slots=True)
class Query:
    """What calls are searched by; "" for anything. Times are RFC 3339 in UTC, or the beginning of that."""

    caller: str = ""
    since: str = ""
    until: str = ""
    outcome: str = ""

    def fits(self, call: Summary) -> bool:
        """Whether a call is what is searched for. A caller fits by any part of the number or name."""
        return (
            self.caller.lower() in call.caller.lower()
            and self.since <= call.started_at
            and (not self.until or call.started_at[: len(self.until)] <= self.until)
            and self.outcome in ("", call.outcome)
        )


@dataclass(frozen=True, slots=True)
class Found:
    """The calls that were found, the latest first; more: there are others."""

    calls: tuple[Summary, ...]
    more: bool
    worker: str = ""
    """Who found them, by its name at Redis."""
    silent: tuple[str, ...] = ()
    """Which other workers could not be asked, and why."""


def merged(found: Iterable[Found], limit: int, silent: Iterable[str] = ()) -> Found:
    """Put together what several workers have found: those in progress first, then the latest.

    A call that several know (they may share a folder) is listed once: of one in progress its own worker knows best.
    """
    parts = list(found)
    calls: dict[str, Summary] = {}
    for call in (call for part in parts for call in part.calls):
        if call.call_id not in calls or (call.live and not calls[call.call_id].live):
            calls[call.call_id] = call
    ordered = sorted(calls.values(), key=lambda call: (call.live, call.started_at), reverse=True)
    more = len(ordered) > limit or any(part.more for part in parts)
    said = tuple(words for part in parts for words in part.silent)
    return Found(tuple(ordered[:limit]), more, silent=(*said, *silent))
