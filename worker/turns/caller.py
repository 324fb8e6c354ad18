"""The caller's part of the turn machine: they begin to speak, and whom that interrupts; they end; their words. Pure.

An interruption is *exact*: the agent's voice is cut at the heard ms as soon as the provider says that they speak. Or it
is *reversible* (`TurnConfig.reversible`): the voice pauses as soon, and is cut only once it is known that the
caller said something (`backchannel`); else it goes on where it paused, and the barge-in is withdrawn. The provider
neither cancels nor answers by itself then: a cough would cost its response, and an "mhm" would be a second answer.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from worker.realtime import events as realtime
from worker.turns.approvals import ApprovalTurns
from worker.turns.backchannel import Doubt, Sound, Words, due, judge, voiceless, weigh
from worker.turns.events import (
    CallerHeard,
    CallerSounds,
    CallerTyped,
    CancelResponse,
    Command,
    PausePlayout,
    Purpose,
    ResumePlayout,
    StopPlayout,
)
from worker.turns.fillers import FillerTurns
from worker.turns.floor import Floor, FloorEdge, Slot, SlotEdge
from worker.turns.interruptions import SPEECHES, Interruptions
from worker.turns.state import TONE, TurnState
from worker.turns.tools import INTERRUPTED, ToolTurns
from worker.turns.transfer import TransferTurns

__all__ = ["ASSENT_S", "CallerTurns"]

ASSENT_S = 1.5
"""A "yes" that was said so long before the agent's words end may be the answer to them (s)."""


class CallerTurns:
    """Follows what the caller says, and stops or pauses the agent's voice for it."""

    def __init__(
        self,
        state: TurnState,
        tools: ToolTurns,
        fillers: FillerTurns,
        interruptions: Interruptions,
        transfers: TransferTurns,
        approvals: ApprovalTurns,
    ) -> None:
        self._state = state
        self._tools = tools
        self._fillers = fillers
        self._interruptions = interruptions
        self._transfers = transfers
        self._approvals = approvals
        self._sound = Sound()
        self._doubt: Doubt | None = None
        self._open: realtime.SpeechStarted | None = None
        """What was taken for nothing, and the provider has not heard the end of."""
        self._late: deque[str] = deque(maxlen=SPEECHES)
        """Items that were taken for nothing before their words were known."""
        self._assented: float | None = None
        """When the caller last assented in mid sentence of the agent's (s)."""

    # --- speech -------------------------------------------------------------------------------------------------------

    def started(self, event: realtime.SpeechStarted, now: float) -> list[Command]:
        """The caller begins to speak."""
        self._state.speeches += 1
        self._state.unheard = None
        self._interruptions.speech_started(event, now)
        if event.item_id in self._late:
            self._late.remove(event.item_id)
        if self._doubt is not None:
            self._doubt.speech, self._doubt.stopped = event, None
            self._doubt.words[event.item_id] = None
            return []
        if not (self._state.config.reversible and self._is_over_the_agent() and not self._state.asking):
            return self._interrupt(event, now)
        self._doubt = Doubt(event, now, {event.item_id: None})
        self._open = None
        self._state.paused = True
        self._state.move_floor(FloorEdge.CALLER_STARTED)
        return [PausePlayout()]

    def stopped(self, event: realtime.SpeechStopped, now: float) -> list[Command]:
        """The caller's turn is over."""
        self._interruptions.speech_stopped(event, now)
        if self._doubt is not None:
            self._doubt.stopped = event
        elif self._open is not None and self._open.item_id == event.item_id:
            self._open = None
        else:
            self._ended(event, now)
        return []

    def heard(self, event: CallerHeard, now: float) -> list[Command]:
        """Our own ears heard a sound of the caller's begin or end."""
        self._sound.take(event, now)
        opened = self._open
        if opened is None or not event.began or self._state.floor is Floor.CALLER:
            return []
        self._open = None  # it was no more than the beginning of what the caller says
        return self.started(opened, now)

    def sounds(self, event: CallerSounds, now: float) -> list[Command]:
        """By our own ears the caller's line is loud, or has been quiet for a while."""
        if event.loud != self._state.loud:
            self._state.loud = event.loud
            self._state.loud_changes += 1
            if event.loud and self._state.floor is not Floor.CALLER:
                self._state.unheard, self._state.probed = now, False
        return []

    def typed(self, event: CallerTyped, now: float) -> list[Command]:
        """The caller's digits are in the conversation."""
        self._state.turn_over = True
        self._state.patience.heard()
        self._state.owed.drop(Purpose.SILENCE)
        self._state.owed.want(Purpose.RESUME)
        return []

    # --- words --------------------------------------------------------------------------------------------------------

    def transcribed(self, event: realtime.CallerTranscript, now: float) -> list[Command]:
        """The words of a turn are known; there may be none."""
        commands: list[Command] = []
        words = event
        if self._state.config.reversible:
            weighed = weigh(event.text, self._state.config.language)
            commands = self._weighed(event.item_id, weighed, now)
            if weighed is not Words.SPEECH:
                words = replace(event, text="")
        commands += self._interruptions.transcribed(words, now)
        return commands + self._approvals.transcribed(event.item_id, event.text, now)

    def not_transcribed(self, event: realtime.CallerTranscriptFailed, now: float) -> list[Command]:
        """They will never be known."""
        if event.item_id in self._late:
            self._late.remove(event.item_id)  # its length has said that it was nothing
            return self._interruptions.transcribed(realtime.CallerTranscript(event.item_id, ""), now)
        return self._interruptions.not_transcribed(event, now) + self._approvals.transcribed(event.item_id, None, now)

    def _weighed(self, item_id: str, words: Words, now: float) -> list[Command]:
        doubt = self._doubt
        if doubt is not None and item_id in doubt.words:
            doubt.words[item_id] = words
        elif item_id in self._late:
            self._late.remove(item_id)
            if words is Words.ASSENT:
                self._assented = now
            elif words is Words.SPEECH and doubt is not None:
                doubt.words[item_id] = words
            elif words is Words.SPEECH:
                # By its length it was nothing, and the voice goes on: cut it now, and answer.
                commands = self._interrupt(realtime.SpeechStarted(item_id, 0), now)
                self._ended(realtime.SpeechStopped(item_id, 0), now)
                return commands
        return []

    # --- the verdict --------------------------------------------------------------------------------------------------

    def response_done(self, event: realtime.ResponseDone) -> None:
        """A response has ended, perhaps because the provider does not do as it was told."""
        if self._doubt is not None and event.status == "cancelled":
            self._doubt.cut = True

    def expire(self, now: float) -> list[Command]:
        """Say what it was that the caller said over the agent, as soon as that is known."""
        state, doubt = self._state, self._doubt
        if doubt is not None:
            verdict = judge(doubt, self._sound, now)
            if verdict is None:
                return []
            real, by = verdict
            return self._really(doubt, now) if real else self._withdraw(doubt, now, by)
        if self._assented is not None and state.quiet and state.slot.free:
            if self._assented + ASSENT_S > now and state.ending is None and not state.asking:
                state.owed.want(Purpose.RESUME)
            self._assented = None
        return []

    def wakes(self) -> list[float | None]:
        """When that is decided at the latest (s)."""
        return [] if self._doubt is None else [due(self._doubt, self._sound)]

    def session_lost(self, now: float) -> list[Command]:
        """No words will come: who makes a sound now speaks, who is quiet does not."""
        doubt, self._open = self._doubt, None
        self._late.clear()
        if doubt is None:
            return []
        if self._sound.began is not None or Words.SPEECH in doubt.words.values():
            return self._really(doubt, now)
        return self._withdraw(doubt, now, "session lost")

    def _is_over_the_agent(self) -> bool:
        state = self._state
        going = state.slot.state is Slot.ACTIVE and state.slot.response_id in state.spoke
        return state.floor in (Floor.AGENT, Floor.FILLER) or going

    def _withdraw(self, doubt: Doubt, now: float, by: str) -> list[Command]:
        """It was nothing: the voice goes on, and nobody answers."""
        state, self._doubt = self._state, None
        state.paused = False
        state.move_floor(FloorEdge.CALLER_STOPPED)
        if state.playing not in (None, TONE):
            filler = state.fillers.is_filler_item(state.playing)
            state.move_floor(FloorEdge.FILLER_HEARD if filler else FloorEdge.AGENT_HEARD)
        if doubt.stopped is None:
            self._open = doubt.speech
        if not voiceless(doubt, self._sound):  # else there was no word in it, whatever is written down
            self._late.extend(item_id for item_id, words in doubt.words.items() if words is None)
        if Words.ASSENT in doubt.words.values():
            self._assented = now
        if doubt.cut:
            state.owed.want(Purpose.RESUME)  # it said no more than what is still to be heard
        return [ResumePlayout(round((now - doubt.since) * 1000), by)]

    def _really(self, doubt: Doubt, now: float) -> list[Command]:
        """It was an interruption: as it would have been at once."""
        self._doubt = None
        self._state.paused = False
        commands = self._interrupt(doubt.speech, now, paused=True)
        if doubt.stopped is not None:
            self._ended(doubt.stopped, now)
        return commands

    # --- what they come to --------------------------------------------------------------------------------------------

    def _interrupt(self, event: realtime.SpeechStarted, now: float, *, paused: bool = False) -> list[Command]:
        state = self._state
        commands: list[Command] = []
        self._open = self._assented = None
        self._late.clear()  # the answer to this is one to that, too
        speaking = paused or state.floor in (Floor.AGENT, Floor.FILLER)
        state.turn_over = False
        state.move_floor(FloorEdge.CALLER_STARTED)
        if speaking or state.playing is not None or state.slot.state is Slot.ACTIVE:
            # Also where playout has run dry in mid item: what is still to come of it will not be heard.
            commands.append(StopPlayout(barge_in=speaking))
        state.playing = None
        commands += self._fillers.give_up()
        if not state.slot.free:
            response_id = state.slot.cancel(now)
            if response_id is not None and not state.config.server_interrupts:
                commands.append(CancelResponse(response_id))
        state.owed.drop(Purpose.SILENCE)
        if not state.asking:  # who answers a question of ours is still to be greeted
            state.owed.drop(Purpose.GREETING)
        state.patience.heard()
        self._transfers.take_back(INTERRUPTED)
        self._approvals.speech_started(event, now)
        self._into_goodbye(speaking)
        return commands

    def _into_goodbye(self, interrupted: bool) -> None:
        state = self._state
        if state.ending is None:
            return
        if not state.ending.forced:
            state.ending = None
            state.owed.drop(Purpose.GOODBYE)
        elif (interrupted or not state.ending.said) and Purpose.GOODBYE not in state.owed:
            state.ending.said = False
            state.owed.want(Purpose.GOODBYE, state.config.goodbye)

    def _ended(self, event: realtime.SpeechStopped, now: float) -> None:
        state = self._state
        state.move_floor(FloorEdge.CALLER_STOPPED)
        state.turn_over = True
        state.fillers.sound_ended(now, words=True)
        state.fillers.start_over()
        self._tools.still_owed()
        self._approvals.speech_stopped(event, now)
        if state.config.server_responds:
            state.owed.server_answers()
            state.slot.move(SlotEdge.REQUEST, now)
            if state.asking:
                state.slot.cancel(now)  # they were asked by us, and answer us
        elif not state.asking:
            state.owed.want(Purpose.RESUME)
