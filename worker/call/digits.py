"""Digits that a caller types, gathered into one item: after `#` or a pause. Pure; time is a parameter (s)."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

__all__ = ["DigitBuffer"]

PAUSE_S = 2.0
"""A caller who types nothing for so long is done; twice the slowest typing heard of in the field."""
LONGEST = 32
"""More than a card number, an IBAN's digits or a phone number; more than that is a stuck key."""


@dataclass(slots=True, repr=False)
class DigitBuffer:
    """The digits typed so far. Its text never goes to a log: there is no repr of it."""

    _digits: str = ""
    _last: float = 0.0

    def add(self, digit: str, now: float) -> str | None:
        """Take one digit (0-9, *, #, A-D); returns the whole text when `#` ends it."""
        if digit == "#":
            return self._take()
        if len(self._digits) < LONGEST:
            self._digits += digit
        self._last = now
        return None

    @property
    def due(self) -> float:
        """When the caller will have paused long enough (s); infinite where nothing is typed."""
        return self._last + PAUSE_S if self._digits else inf

    def poll(self, now: float) -> str | None:
        """Return the whole text when the caller has paused long enough."""
        return self._take() if now >= self.due else None

    def give(self) -> str:
        """Give what is typed so far to somebody else; "" where that is nothing."""
        return self._take() or ""

    def _take(self) -> str | None:
        digits, self._digits = self._digits, ""
        return digits or None
