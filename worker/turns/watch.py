"""The watch over a call's silence: arms what is expected as things stand, and sees to it when it does not come. Pure.

Above the table of `expectations` there are two rules, and so no state in which a caller waits for ever: where it is the
agent's turn, nobody speaks and nothing is due, something becomes due (`Expect.TURN`); and who waits for the provider
hears words of ours every few seconds, until it is of use, or for `Expect.ANSWER` in all.
"""

from __future__ import annotations

from collections.abc import Hashable

from worker.turns.events import Command, ProbeSession, Purpose, Words
from worker.turns.expectations import TABLE, Expect, Expectations, Then
from worker.turns.floor import Floor, FloorEdge, Slot
from worker.turns.remedies import OWN_WORDS_S, Remedies
from worker.turns.responses import ResponseTurns
from worker.turns.state import TurnState
from worker.turns.tools import ToolTurns

__all__ = ["GOODBYE_WORDS_S", "Watch"]

GOODBYE_WORDS_S = 4.5
"""A goodbye that the provider has not begun after so long without a word is ours."""
GOODBYE_FIRST_S = 0.5
"""So long it has in any case."""
OF_THE_SLOT = {Slot.REQUESTED: Expect.RESPONSE_BEGUN, Slot.CANCELLING: Expect.CANCELLED}


class Watch:
    """Looks at the state after every event."""

    def __init__(self, state: TurnState, responses: ResponseTurns, tools: ToolTurns, remedies: Remedies) -> None:
        self._state = state
        self._responses = responses
        self._tools = tools
        self._remedies = remedies
        self._expectations = Expectations()
        self._waits_since: float | None = None
        self._goodbye: str | None = None
        """The item of our own goodbye."""

    def arm(self, now: float) -> None:
        """Expect what is to be expected as things stand."""
        state = self._state
        waits = self._waits()
        self._waits_since = (self._from(now) if self._waits_since is None else self._waits_since) if waits else None
        state.waiting.run(waits and state.floor is not Floor.CALLER and state.told_until <= now, now)
        self._expectations.arm({} if state.over else self._current(), now)

    def expire(self, now: float) -> list[Command]:
        """See to what has not come."""
        state = self._state
        commands: list[Command] = []
        for expect, waited_s in self._expectations.expired(now):
            commands += self._not_come(expect, waited_s, now)
            if state.over:
                return commands
        due = state.waiting.due(TABLE[Expect.ANSWER].seconds)
        if due is not None and due <= now and state.ending is None:
            return commands + self._remedies.apologise(Expect.ANSWER, state.waiting.waited(now))
        self.arm(now)
        return commands

    def speak(self, now: float) -> list[Command]:
        """Say something ourselves, where it is due."""
        state, due = self._state, self._words_due()
        if due is None or due > now or not state.quiet:
            return []
        if state.ending is None:
            return [self._remedies.say(Words.MOMENT, now)]
        command = self._remedies.say(Words.GOODBYE, now)
        self._goodbye = state.playing
        return [command]

    def played(self, before: str | None) -> None:
        """Another item, or none, is being sent after `before`."""
        state = self._state
        if before is not None and before == self._goodbye and state.floor is not Floor.CALLER:
            if state.ending is not None:
                state.ending.said = True
            self._goodbye = None

    def wakes(self, now: float) -> list[float | None]:
        """When something of this is due (s)."""
        state = self._state
        if state.over:
            return []
        times: list[float | None] = list(self._expectations.wakes())
        if state.ending is None:
            times.append(state.waiting.due(TABLE[Expect.ANSWER].seconds))
        if state.quiet:
            times.append(self._words_due())
        if state.told_until > now:
            times.append(state.told_until)
        return times

    # --- as things stand ----------------------------------------------------------------------------------------------

    def _waits(self) -> bool:
        """Whether the caller waits for the provider, and for no tool."""
        state = self._state
        if not state.media or state.over or state.listening:
            return False
        if not state.connected:
            return True
        busy = not state.slot.free or bool(state.owed) or state.turn_over or bool(state.pending.held())
        busy = busy or state.model_goes_on
        return busy and state.silent and all(tool.held for tool in state.pending.running())

    def _from(self, now: float) -> float:
        """Since when a caller waits who begins to (s): into a session that is lost they may have spoken before."""
        since = None if self._state.connected else self._state.unheard_since(now)
        if since is None:
            return now
        self._state.waiting.add(now - since)
        return since

    def _words_due(self) -> float | None:
        """When words of ours are due (s), while nothing plays."""
        state = self._state
        if not state.media:
            return None
        wordless = state.fillers.wordless_since
        if state.ending is not None:
            if state.ending.said or self._goodbye is not None or state.ending.quiet_since is not None:
                return None
            since = state.ending.since if self._waits_since is None else self._waits_since
            return max(max(wordless, since) + GOODBYE_WORDS_S, state.ending.since + GOODBYE_FIRST_S)
        if state.fill_in and state.pending.running():
            return wordless
        if self._waits_since is None:
            return None
        return max(wordless, self._waits_since) + OWN_WORDS_S

    def _current(self) -> dict[Expect, Hashable]:
        state = self._state
        if not state.connected:
            return {Expect.SESSION: ""} if state.media and state.ending is None else {}
        found: dict[Expect, Hashable] = {}
        slot = state.slot
        if slot.state in OF_THE_SLOT:
            found[OF_THE_SLOT[slot.state]] = slot.since
        elif slot.state is Slot.ACTIVE:
            found.update(self._of_the_response())
        if state.floor is Floor.CALLER and not state.paused:
            expect = Expect.SPEECH_ENDED if state.loud is False else Expect.SPEECH_BOUNDED
            found[expect] = (state.speeches, state.loud_changes if expect is Expect.SPEECH_ENDED else 0)
        elif state.idle and state.turn_over:
            found[Expect.TURN] = ""
        elif state.idle and state.unheard is not None and not state.probed:
            found[Expect.SPEECH_BEGUN] = state.unheard
        if self._tools.unacknowledged:
            found[Expect.OUTPUT_TAKEN] = ""
        return found

    def _of_the_response(self) -> dict[Expect, Hashable]:
        """What is expected of the response in the slot."""
        state, response_id = self._state, self._state.slot.response_id
        key = (response_id, state.progress)
        if response_id is None:
            return {Expect.SLOT_FREED: state.slot.since}
        if state.pending.remote_of(response_id):
            return {}  # it waits for a tool, which has a bound of its own
        if response_id not in state.spoke:
            return {Expect.AUDIO_BEGUN: key}
        if not state.silent:
            return {}  # it is heard
        return {Expect.RESPONSE_ENDED if state.all_sent else Expect.AUDIO_GOING_ON: key}

    # --- what did not come --------------------------------------------------------------------------------------------

    def _not_come(self, expect: Expect, waited_s: float, now: float) -> list[Command]:
        state = self._state
        if expect is Expect.SESSION:
            return self._remedies.apologise(expect, waited_s)
        if expect is Expect.SPEECH_BEGUN:
            state.probed = True
            return [ProbeSession()]
        if expect is Expect.OUTPUT_TAKEN:
            self._tools.not_acknowledged()
            return [self._remedies.told(expect, Then.GO_ON, waited_s)]
        if expect in (Expect.SPEECH_ENDED, Expect.SPEECH_BOUNDED):
            state.move_floor(FloorEdge.CALLER_STOPPED)
            state.turn_over = True
            state.owed.want(Purpose.RESUME)
            self._tools.still_owed()
            if expect is Expect.SPEECH_ENDED:  # since the line is quiet, the caller waits
                self._waits_since = now - waited_s
                state.waiting.add(waited_s)
            return self._remedies.strike(expect, now, waited_s)
        if expect is Expect.TURN:
            state.owed.want(Purpose.RESUME)
            return self._remedies.strike(expect, now, waited_s)
        return self._responses.not_come(expect, waited_s, now)
