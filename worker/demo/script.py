"""How the demo's caller behaves: what is said when, as a pure machine. Time is a parameter (s)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

__all__ = ["DEMO", "CallerScript", "Finish", "Line", "Say", "When"]

PAUSE_S = 0.8
"""A person answers some 0.8 s after the other has stopped."""
INTERRUPT_S = 2.2
"""An interruption comes after so much of an answer."""
PATIENCE_S = 30.0
"""A caller who waits so long for the other's word gives up."""


class When(Enum):
    """What a line waits for."""

    PAUSE = "pause"
    """The agent has spoken and is quiet again."""
    ANSWERED = "answered"
    """The agent has said something that fits the last line's `expects`, and is quiet again."""
    INTERRUPTING = "interrupting"
    """The agent is in the middle of its answer."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the caller's."""

    text: str
    when: When
    expects: str | None = None
    """What the answer sounds like: a regular expression on the recogniser's words."""


@dataclass(frozen=True, slots=True)
class Say:
    """Speak this line now."""

    line: Line


@dataclass(frozen=True, slots=True)
class Finish:
    """Hang up: the agent did not say what was waited for, or never hung up after the goodbye."""

    reason: str


DEMO = (
    Line("what is the status of order four two seven", When.PAUSE, expects=r"\border four two seven\b"),
    Line("tell me about your delivery terms", When.ANSWERED),
    Line("what time is it", When.INTERRUPTING, expects=r"\bit is\b"),
    Line("thank you goodbye", When.ANSWERED),
)


class CallerScript:
    """Goes through the lines. Told of edges: the agent's voice, what was understood of it, the caller's own voice."""

    def __init__(self, lines: tuple[Line, ...] = DEMO) -> None:
        self.lines = lines
        self._next = 0
        self._speaking = False
        self._agent_since: float | None = None
        self._quiet_since: float | None = None
        self._waiting_since = 0.0
        self._answered = False
        self.wake: float | None = None

    def begin(self, now: float) -> None:
        """The call was answered."""
        self._waiting_since = now
        self._rearm(now)

    def agent_speaks(self, now: float) -> None:
        """The agent's voice is heard."""
        self._agent_since, self._quiet_since = now, None
        self._rearm(now)

    def agent_quiet(self, now: float) -> None:
        """The agent's voice has stopped."""
        self._agent_since, self._quiet_since = None, now
        self._rearm(now)

    def understood(self, text: str, now: float) -> None:
        """The recogniser's words for what the agent has said."""
        expects = self.lines[self._next - 1].expects if self._next else None
        if not self._speaking and (expects is None or re.search(expects, text)):
            self._answered = True
        self._rearm(now)

    def said(self, now: float) -> None:
        """Our own line is spoken to its end."""
        self._speaking = False
        self._waiting_since = now
        self._rearm(now)

    def tick(self, now: float) -> Say | Finish | None:
        """What to do now, if anything; `wake` says when to ask again."""
        due = self._due(now)
        if due is not None and due <= now:
            line = self.lines[self._next]
            self._next += 1
            self._speaking, self._answered = True, False
            self._quiet_since = None
            self._rearm(now)
            return Say(line)
        if not self._speaking and now >= self._waiting_since + PATIENCE_S:
            return Finish("waited too long for the agent")
        return None

    @property
    def done(self) -> bool:
        """Whether every line was said: what is left is for the agent to hang up."""
        return self._next == len(self.lines)

    def _due(self, now: float) -> float | None:
        if self._speaking or self.done:
            return None
        when = self.lines[self._next].when
        if when is When.INTERRUPTING:
            return None if self._agent_since is None else self._agent_since + INTERRUPT_S
        if self._quiet_since is None or (when is When.ANSWERED and not self._answered):
            return None
        return max(self._quiet_since, self._waiting_since) + PAUSE_S

    def _rearm(self, now: float) -> None:
        due = self._due(now)
        patience = None if self._speaking else self._waiting_since + PATIENCE_S
        self.wake = min((time for time in (due, patience) if time is not None), default=None)
