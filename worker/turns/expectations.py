"""What a call waits for, how long, and what happens when it doesn't come: one table. Pure; time is a parameter (s).

Every peer may go silent at any point. A caller who waits hears words within 5 s, and a new session, or the apology
and its end, within 20 s: the bounds below are made so that they add up to that, whatever does not come.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = [
    "LADDER",
    "TABLE",
    "Bound",
    "Expect",
    "Expectations",
    "StopWatch",
    "Then",
]


class Expect(StrEnum):
    """What is expected of a peer; its name in the log and the record."""

    SESSION = "session"
    RESPONSE_BEGUN = "response begun"
    SLOT_FREED = "active response ended"
    AUDIO_BEGUN = "audio begun"
    AUDIO_GOING_ON = "audio going on"
    RESPONSE_ENDED = "response ended"
    CANCELLED = "response cancelled"
    SPEECH_BEGUN = "beginning of speech"
    SPEECH_ENDED = "end of speech"
    SPEECH_BOUNDED = "end of long speech"
    OUTPUT_TAKEN = "output acknowledged"
    TRANSCRIPT = "transcript"
    FILLER_BEGUN = "filler begun"
    FILLER_ENDED = "filler ended"
    TOOLS_LISTED = "provider's tools listed"
    GREETING_TOOLS = "tools for the greeting"
    REMOTE_CALL = "end of the provider's tool call"
    APPROVAL = "approval"
    TURN = "something due"
    ANSWER = "answer"
    # Not of time: what came was not what was expected.
    SOUND = "response with sound"
    WHOLE = "whole response"
    RESPONSE = "response granted"
    OUTPUT = "output accepted"
    NO_CALL = "no tool call"


class Then(StrEnum):
    """What is done when it does not come."""

    ASK_AGAIN = "asked again"
    NEW_SESSION = "new session"
    APOLOGY = "apology"
    OWN_WORDS = "words of ours"
    WAIT = "waits as told"
    PLACEHOLDERS = "placeholders from now on"
    MESSAGE = "sent as a message"
    DECLINED = "declined"
    GO_ON = "goes on without"
    PROBE = "asked for a sign of life"


LADDER = (Then.ASK_AGAIN, Then.NEW_SESSION, Then.NEW_SESSION, Then.APOLOGY)
"""What is done at the first strike, the second ... : so often nothing came before a whole response was heard."""


@dataclass(frozen=True, slots=True)
class Bound:
    """How long something is waited for."""

    seconds: float
    then: Then | None
    """What is done then; None: a strike, and what the ladder says."""
    why: str
    """Why so long."""


TABLE: Mapping[Expect, Bound] = {
    Expect.SESSION: Bound(13.0, Then.APOLOGY, "the apology takes 6.2 s; a local server is back after 2 to 6"),
    Expect.RESPONSE_BEGUN: Bound(4.0, None, "a service says response.created within a second or two"),
    Expect.SLOT_FREED: Bound(4.0, None, "somebody else's response is a server's own answer: cancelled then"),
    Expect.AUDIO_BEGUN: Bound(6.0, None, "a model that thinks; two of these fit before the apology"),
    Expect.AUDIO_GOING_ON: Bound(4.5, None, "audio comes faster than it plays: a gap is a stall"),
    Expect.RESPONSE_ENDED: Bound(4.5, Then.GO_ON, "all its audio was heard: it counts as said"),
    Expect.CANCELLED: Bound(3.0, Then.GO_ON, "a cancelled response ends within a round trip"),
    Expect.SPEECH_BEGUN: Bound(3.0, Then.PROBE, "told within half a second; noise is kept quiet of"),
    Expect.SPEECH_ENDED: Bound(2.0, None, "a quiet line; with what makes it quiet, five times a service's own silence"),
    Expect.SPEECH_BOUNDED: Bound(60.0, None, "nobody talks longer without a breath: it is noise"),
    Expect.OUTPUT_TAKEN: Bound(4.0, Then.GO_ON, "comes within a round trip, from those that say it"),
    Expect.TRANSCRIPT: Bound(3.0, Then.GO_ON, "comes within a second or two of the end of the speech"),
    Expect.FILLER_BEGUN: Bound(3.0, Then.OWN_WORDS, "with its grace of half a second: words within 4 s"),
    Expect.FILLER_ENDED: Bound(20.0, Then.GO_ON, "it would keep all later ones from being said"),
    Expect.TOOLS_LISTED: Bound(10.0, Then.GO_ON, "an MCP server answers in seconds; the model is told"),
    Expect.GREETING_TOOLS: Bound(1.0, Then.GO_ON, "nobody minds a second before the first word"),
    Expect.REMOTE_CALL: Bound(30.0, Then.GO_ON, "with words meanwhile; the caller's patience is longer"),
    Expect.APPROVAL: Bound(20.0, Then.DECLINED, "a question, and time for an answer: none is a no"),
    Expect.TURN: Bound(2.0, None, "the caller's turn is over, nobody speaks and nothing is due: nobody may stay there"),
    Expect.ANSWER: Bound(13.0, Then.APOLOGY, "of waiting in all; the apology ends within 20 s"),
}
"""Everything that is waited for, each with its bound."""


@dataclass(slots=True)
class Expectations:
    """What is expected now, and since when. Told after each event what there is; counts from what is new."""

    _armed: dict[Expect, tuple[Hashable, float]] = field(default_factory=dict)

    def arm(self, current: Mapping[Expect, Hashable], now: float) -> None:
        """Expect these and nothing else. The same key goes on, another one begins anew."""
        before = self._armed
        self._armed = {
            expect: (key, before[expect][1] if expect in before and before[expect][0] == key else now)
            for expect, key in current.items()
        }

    def expired(self, now: float) -> list[tuple[Expect, float]]:
        """What has not come within its bound, and how long it was waited for (s)."""
        waited = [(expect, now - since) for expect, (_, since) in self._armed.items()]
        return [(expect, seconds) for expect, seconds in waited if self._due(expect) <= now]

    def wakes(self) -> list[float]:
        """When the bounds are over (s)."""
        return [self._due(expect) for expect in self._armed]

    def __contains__(self, expect: Expect) -> bool:
        return expect in self._armed

    def _due(self, expect: Expect) -> float:
        return self._armed[expect][1] + TABLE[expect].seconds


@dataclass(slots=True)
class StopWatch:
    """Time that was waited in all, pauses aside: a caller who asks "hello?" does not begin it anew."""

    _waited: float = 0.0
    _since: float | None = None

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._since is not None

    def run(self, running: bool, now: float) -> None:
        """Let it run or stand still from now on."""
        if self._since is not None and not running:
            self._waited += now - self._since
            self._since = None
        elif self._since is None and running:
            self._since = now

    def reset(self, now: float) -> None:
        """Begin anew."""
        self._waited = 0.0
        self._since = None if self._since is None else now

    def add(self, seconds: float) -> None:
        """Count time that was waited before it ran."""
        self._waited += seconds

    def waited(self, now: float) -> float:
        """How long it ran in all (s)."""
        return self._waited + (0.0 if self._since is None else now - self._since)

    def due(self, seconds: float) -> float | None:
        """When so many seconds will be over (s); None while it stands still."""
        return None if self._since is None else self._since + seconds - self._waited
