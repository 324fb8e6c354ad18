"""What is done when a provider does not do its part: asked again, a new session, words of ours, an apology. Pure."""

from __future__ import annotations

from worker.turns.events import Apologise, Command, NewSession, OwnWords, Unmet, Words
from worker.turns.expectations import LADDER, Expect, Then
from worker.turns.floor import FloorEdge
from worker.turns.sessions import SessionTurns
from worker.turns.state import OWN, TurnState

__all__ = ["OWN_WORDS_S", "Remedies"]

OWN_WORDS_S = 4.0
"""Time without a word before words of ours, where the caller waits for the provider."""


class Remedies:
    """Carries out what `expectations` says is done, and tells of each."""

    def __init__(self, state: TurnState, sessions: SessionTurns) -> None:
        self._state = state
        self._sessions = sessions
        self._said = 0

    def of_use(self, now: float) -> None:
        """The provider does its part: the caller hears the model, or it has called a tool."""
        self._state.waiting.reset(now)
        self._state.told_until = 0.0

    def whole(self) -> None:
        """A whole response was heard, or was all tool calls."""
        self._state.strikes = 0

    def told(self, expect: Expect, then: Then, waited_s: float = 0.0, detail: str = "") -> Command:
        """Return what log and record are told."""
        return Unmet(expect.value, waited_s, then.value, detail)

    def strike(self, expect: Expect, now: float, waited_s: float = 0.0, detail: str = "") -> list[Command]:
        """Something did not come that has to: the next step of the ladder. What is asked again then is owed already."""
        state = self._state
        then = LADDER[min(state.strikes, len(LADDER) - 1)]
        if state.ending is not None or not state.connected:
            then = Then.ASK_AGAIN  # an end has a bound of its own, and so has a session that is to come
        else:
            state.strikes += 1
        if then is Then.APOLOGY:
            return self.apologise(expect, waited_s, detail)
        commands = [self.told(expect, then, waited_s, detail)]
        if then is Then.NEW_SESSION:
            commands.append(NewSession(f"given up by us: no {expect.value}"))
            commands += self._sessions.lost(now)
        return commands

    def apologise(self, expect: Expect, waited_s: float = 0.0, detail: str = "") -> list[Command]:
        """The provider can't be had: the caller hears it, and the call ends."""
        self._state.over = True
        reason = detail or f"no {expect.value} from the provider within {waited_s:.1f} s"
        return [self.told(expect, Then.APOLOGY, waited_s, detail), Apologise(reason)]

    def say(self, words: Words, now: float) -> Command:
        """Say something ourselves. To be done while nothing plays but the tone."""
        state = self._state
        self._said += 1
        state.fill_in = False
        item_id = f"{OWN}{self._said}"
        state.fillers.sound_ended(now, words=True)
        state.fillers.mark(item_id)
        state.playing = item_id
        state.move_floor(FloorEdge.FILLER_HEARD)
        return OwnWords(item_id, words)
