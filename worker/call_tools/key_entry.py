"""What a caller types for a tool alone, key by key: # ends it, * begins anew, silence ends it or is asked again. Pure.

Time is a parameter (s). Of what was typed there is no repr, and too much of it is counted, not kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Final, Literal

from tools.define.digits import Digits

__all__ = ["TRIES", "Again", "Entered", "GivenUp", "KeyEntry", "Step", "Why"]

TRIES: Final = 3
Why = Literal["nothing", "short", "long"]


@dataclass(frozen=True, slots=True)
class Entered:
    """It is whole."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Again:
    """It was none, or has the wrong length: the caller is asked once more."""

    why: Why


@dataclass(frozen=True, slots=True)
class GivenUp:
    """That was so too often."""

    why: Why


Step = Entered | Again | GivenUp


class KeyEntry:
    """One parameter's."""

    def __init__(self, rules: Digits) -> None:
        self.due = inf
        """When the caller has said by silence that there is no more (s)."""
        self._rules = rules
        self._typed = ""
        self._count = 0
        self._failed = 0

    def heard(self, now: float) -> None:
        """The caller has heard what they are asked: their time begins, unless they have typed already."""
        if self.due == inf:
            self.due = now + self._rules.seconds

    def key(self, key: str, now: float) -> Step | None:
        """Take a key (0-9, *, #; others are none)."""
        self.due = now + self._rules.seconds
        if key == "#":
            return self._end()
        if key == "*":
            self._clear()
        elif key.isdecimal():
            self._count += 1
            if self._count <= self._rules.most:
                self._typed += key
        return None

    def poll(self, now: float) -> Step | None:
        """Look whether the caller has been silent for long enough."""
        return self._end() if now >= self.due else None

    def _end(self) -> Step:
        typed, count = self._typed, self._count
        self._clear()
        self.due = inf
        if self._rules.least <= count <= self._rules.most:
            return Entered(typed)
        why: Why = "nothing" if not count else "short" if count < self._rules.least else "long"
        self._failed += 1
        return Again(why) if self._failed < TRIES else GivenUp(why)

    def _clear(self) -> None:
        self._typed, self._count = "", 0
