"""Glare: our offer in mid call met one of the other side's, and was refused with 491 (RFC 3261 section 14.1). Pure.

It is made again after a time by chance, in which the other side's usually comes: then ours is needless, since that
exchange has settled the media anew.
"""

from __future__ import annotations

import random

__all__ = ["MOST", "Glare", "wait_s"]

MOST = 5
"""So often an offer is made again; then the call goes on as it is."""


def wait_s(*, owner: bool, chance: random.Random | None = None) -> float:
    """Seconds to wait, in steps of 10 ms: 2.1 to 4 for who made the Call-ID, else 0 to 2."""
    draw = (chance or random).randrange
    return draw(210, 401) / 100 if owner else draw(0, 201) / 100


class Glare:
    """One call's. owner: the call is of our making."""

    def __init__(self, *, owner: bool) -> None:
        self._owner = owner
        self._refused = 0
        self._number: int | None = None

    def refused(self) -> tuple[int, float] | None:
        """Our offer was. Returns the number of the next try and the s until it, or None: there is none."""
        self._refused += 1
        self._number = self._refused if self._refused <= MOST else None
        return None if self._number is None else (self._number, wait_s(owner=self._owner))

    def due(self, number: int) -> bool:
        """Whether that try is to be made: nothing has settled it, and no later one is to come."""
        return self._number == number

    def settled(self) -> None:
        """An offer was answered, the other side's or ours."""
        self._refused, self._number = 0, None
