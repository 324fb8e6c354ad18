"""The spans of a call in which nothing is to be heard, and whom the caller waits for meanwhile. Pure: times in ms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Silence", "Silences", "WaitingFor"]

WaitingFor = Literal["agent", "tool", "caller"]
LEAST_MS = 200.0
"""Below it lies the breath between two sentences."""


@dataclass(frozen=True, slots=True)
class Silence:
    """One silence that is over.

    waiting_for: what most of it was spent on: a tool call without its outcome; else the agent, where the caller spoke
    last or nobody did yet; else the caller.
    """

    lasted_ms: float
    waiting_for: WaitingFor


def _nobody(silence: Silence) -> None:
    pass


@dataclass(slots=True)
class Silences:
    """Finds a call's silences, from the answer to the end; `over` gets each when it is over."""

    over: Callable[[Silence], None] = _nobody
    _spoke_last: Literal["agent", "caller"] = "caller"
    _since: float | None = None
    _waiting_for: WaitingFor = "agent"
    _spent: dict[WaitingFor, float] = field(default_factory=dict)

    def begin(self, now_ms: float) -> None:
        """The call was answered: the caller waits for the first word."""
        self._since = now_ms

    def spoke(self, who: Literal["agent", "caller"]) -> None:
        """Who began to speak. Fillers and tones are no answer: after them it is still the agent's turn."""
        self._spoke_last = who

    def update(self, now_ms: float, *, pending: bool, audible: bool) -> None:
        """Tell how things are from `now_ms` on: whether a tool call is pending, and whether anything is heard."""
        self._spend(now_ms)
        if audible:
            self._end()
        else:
            self._since = now_ms
            self._waiting_for = "tool" if pending else "agent" if self._spoke_last == "caller" else "caller"

    def end(self, now_ms: float) -> None:
        """The call is over."""
        self._spend(now_ms)
        self._end()

    def _spend(self, now_ms: float) -> None:
        if self._since is not None:
            spent = self._spent.get(self._waiting_for, 0.0)
            self._spent[self._waiting_for] = spent + max(0.0, now_ms - self._since)

    def _end(self) -> None:
        self._since = None
        lasted = sum(self._spent.values())
        if lasted >= LEAST_MS:
            self.over(Silence(lasted, max(self._spent, key=lambda who: self._spent[who])))
        self._spent.clear()
