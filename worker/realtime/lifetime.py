"""When a session is to be replaced before its provider ends it: pure; time is a parameter (s).

From a certain age on, or once the provider says that it goes away: at the next moment in which nobody speaks and
nothing is open. Shortly before its end also with tools open: they are carried over, what a caller says is not. After
its end in any case: a provider that forgot to close it may have forgotten to listen, too.
"""

from __future__ import annotations

from typing import Final

__all__ = ["HURRY_S", "Lifetime"]

HURRY_S: Final = 15.0
"""So long before the end a quiet moment will do. A long turn of the caller's, and its answer, fit in."""


class Lifetime:
    """One session's time, from its beginning."""

    def __init__(self, began: float, recycle_s: float | None, max_s: float | None) -> None:
        """recycle_s: the age from which it is replaced at the next chance; max_s: at which its provider ends it."""
        self._due = None if recycle_s is None else began + recycle_s
        self._end = None if max_s is None else began + max_s

    def going_away(self, now: float, left_s: float) -> None:
        """The provider says how long it has left."""
        self._due = now if self._due is None else min(self._due, now)
        self._end = now + left_s if self._end is None else min(self._end, now + left_s)

    def over(self, now: float, *, idle: bool, quiet: bool) -> bool:
        """Whether it is to be replaced now. idle: between turns, with nothing open; quiet: nobody speaks."""
        if self._end is not None and now >= self._end:
            return True
        if quiet and self._end is not None and now >= self._end - HURRY_S:
            return True
        return idle and self._due is not None and now >= self._due
