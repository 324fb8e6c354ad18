"""The turn machine: who may speak, and what has to be answered.

`handle(event, now)` takes an edge (the provider's, the playout's, a tool's) and returns commands. It does no I/O and
reads no clock; it never sees a frame of audio. It is the one place that decides on model responses, fillers, results
and goodbyes, so that the caller hears one voice at a time, every tool call is answered exactly once and no response
is requested while one is active.

Its parts share one `TurnState`: the caller, responses, tools and fillers have a module each; the call and the playout
are here, and what is due after each event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from worker.realtime import events as realtime
from worker.realtime import remote
from worker.turns.approvals import ApprovalTurns
from worker.turns.caller import CallerTurns
from worker.turns.ending import Ending
from worker.turns.events import (
    ApprovalAwaited,
    ApprovalEnded,
    ApprovalGiven,
    AudioStarted,
    CallerHeard,
    CallerPressed,
    CallerSounds,
    CallerTyped,
    Command,
    GoodbyeWanted,
    HangUp,
    MediaReady,
    NoticeWanted,
    PlayoutChanged,
    Purpose,
    QuestionUnsaid,
    StartTool,
    Tick,
    ToolFinished,
    ToolProgress,
)
from worker.turns.filler_voice import FillerVoice
from worker.turns.fillers import FillerTurns
from worker.turns.floor import Floor, FloorEdge
from worker.turns.interruptions import Interruptions
from worker.turns.pending import PendingTools
from worker.turns.remedies import Remedies
from worker.turns.remote import RemoteTurns
from worker.turns.responses import ResponseTurns
from worker.turns.sessions import SessionTurns
from worker.turns.slot import ResponseSlot
from worker.turns.state import END_CALL, TONE, TurnConfig, TurnState
from worker.turns.tools import INTERRUPTED, ToolTurns
from worker.turns.transfer import ENDING, TransferTurns
from worker.turns.watch import Watch

__all__ = ["END_CALL", "TONE", "TurnConfig", "TurnMachine"]


class TurnMachine:
    """The turns of one call. `wake` is the time (s) at which it wants a Tick, None for never."""

    def __init__(self, config: TurnConfig) -> None:
        self.state = TurnState(config)
        self.wake: float | None = None
        self._fillers = FillerTurns(self.state)
        self._transfers = TransferTurns(self.state)
        self._tools = ToolTurns(self.state, self._transfers)
        self._interruptions = Interruptions(self.state)
        self._remote = RemoteTurns(self.state, self._tools, self._fillers)
        self._approvals = ApprovalTurns(self.state)
        self._caller = CallerTurns(
            self.state, self._tools, self._fillers, self._interruptions, self._transfers, self._approvals
        )
        self._sessions = SessionTurns(
            self.state, self._tools, self._remote, self._interruptions, self._approvals, self._caller
        )
        remedies = Remedies(self.state, self._sessions)
        self._responses = ResponseTurns(self.state, self._fillers, self._tools, self._remote, self._approvals, remedies)
        self._watch = Watch(self.state, self._responses, self._tools, remedies)
        self._handlers: dict[type[Any], Callable[[Any, float], list[Command]]] = {
            MediaReady: self._media_ready,
            AudioStarted: self._audio_started,
            PlayoutChanged: self._playout_changed,
            ToolFinished: self._tools.finished,
            ToolProgress: self._tools.progress,
            NoticeWanted: self._notice_wanted,
            CallerSounds: self._caller.sounds,
            CallerHeard: self._caller.heard,
            CallerTyped: self._caller.typed,
            CallerPressed: self._approvals.pressed,
            ApprovalAwaited: self._approvals.awaited,
            ApprovalEnded: self._approvals.ended,
            QuestionUnsaid: self._approvals.unsaid,
            GoodbyeWanted: self._goodbye_wanted,
            Tick: lambda event, now: [],
            realtime.SessionReady: self._sessions.ready,
            realtime.ConnectionLost: self._sessions.connection_lost,
            realtime.SpeechStarted: self._caller.started,
            realtime.SpeechStopped: self._caller.stopped,
            realtime.CallerTranscript: self._caller.transcribed,
            realtime.CallerTranscriptFailed: self._caller.not_transcribed,
            realtime.AgentTranscript: self._approvals.spoken,
            realtime.ResponseStarted: self._responses.started,
            realtime.AudioDone: self._responses.audio_done,
            realtime.ResponseDone: self._response_done,
            realtime.ToolCallRequested: self._tool_requested,
            realtime.ItemCreated: self._tools.item_created,
            realtime.ToolCallsWithdrawn: self._withdrawn,
            realtime.ProviderError: self._responses.provider_error,
            remote.RemoteToolsListed: self._remote.listed,
            remote.RemoteToolsFailed: self._remote.failed,
            remote.RemoteToolStarted: self._remote_started,
            remote.RemoteToolEnded: self._remote.ended,
            remote.ApprovalWanted: self._approval_wanted,
            ApprovalGiven: self._remote.approval_given,
        }

    def handle(self, event: object, now: float) -> list[Command]:
        """Take one event at `now` (s, any monotonic clock); events of no interest give no commands."""
        handler = self._handlers.get(type(event))
        if handler is None or self.over:
            return []
        if isinstance(event, realtime.AgentTranscript) and not self.state.asking:
            return []  # words are of interest to a question alone; they come just before their sound
        commands = handler(event, now)
        commands += self._advance(now)
        self.wake = None if self.over else self._next_wake(now)
        return commands

    def bring(self, tool_call_id: str, name: str, arguments: str, output: str) -> None:
        """Begin with a tool call of an earlier conversation that has its outcome, and is to be told in this one."""
        self._tools.bring(tool_call_id, name, arguments, output)

    # --- how things stand ---------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether the call is hung up or can't be saved: no further event counts."""
        return self.state.over

    @over.setter
    def over(self, over: bool) -> None:
        self.state.over = over

    @property
    def floor(self) -> Floor:
        """Who is speaking."""
        return self.state.floor

    @property
    def slot(self) -> ResponseSlot:
        """The provider's one in-band response."""
        return self.state.slot

    @property
    def pending(self) -> PendingTools:
        """The tool calls that are open."""
        return self.state.pending

    @property
    def fillers(self) -> FillerVoice:
        """The filler in flight, and when the next is due."""
        return self.state.fillers

    @property
    def ending(self) -> Ending | None:
        """How the call is about to end; None where it isn't."""
        return self.state.ending

    @property
    def takes_keys(self) -> bool:
        """Whether a key that the caller presses now belongs to a question of ours, and not to the conversation."""
        return not self.over and self._approvals.takes_keys

    @property
    def entry_heard(self) -> bool:
        """Whether the caller has heard what they are to type for a tool alone, or types already."""
        return not self.over and self._approvals.entry_heard

    def asks(self, item_id: str) -> bool:
        """Whether the question that was to be asked in a voice of ours, as this item, is still to be asked."""
        return not self.over and self._approvals.wants(item_id)

    @property
    def quiet(self) -> bool:
        """Whether nobody speaks and nothing plays."""
        return self.state.quiet

    @property
    def idle(self) -> bool:
        """Whether nobody speaks, nothing is being generated and nothing is owed: a moment between turns."""
        return self.state.idle

    def wants_audio(self, response_id: str) -> bool:
        """Whether audio of this response may be queued: not of a discarded one, and never over the caller.

        While the voice is paused it is: it waits with the rest.
        """
        may = self.floor is not Floor.CALLER or self.state.paused
        return may and not (self.over or self.slot.discarded(response_id))

    # --- call and session ---------------------------------------------------------------------------------------------

    def _media_ready(self, event: MediaReady, now: float) -> list[Command]:
        if not self.state.media:
            self._remote.media_ready(now)
        self.state.media = True
        self.state.fillers.sound_ended(now, words=True)
        return []

    def _notice_wanted(self, event: NoticeWanted, now: float) -> list[Command]:
        self.state.owed.want(Purpose.NOTICE, event.text)
        return []

    def _goodbye_wanted(self, event: GoodbyeWanted, now: float) -> list[Command]:
        state = self.state
        if state.ending is None or not state.ending.forced:
            state.ending = Ending(event.reason, forced=True, since=now)
            state.owed.want(Purpose.GOODBYE, event.text)
            self._transfers.take_back(ENDING)
        return self._fillers.give_up()

    # --- playout ------------------------------------------------------------------------------------------------------

    def _audio_started(self, event: AudioStarted, now: float) -> list[Command]:
        state = self.state
        self._approvals.sounds(event.response_id, event.item_id)
        if state.fillers.speaks(event.response_id):
            commands = self._fillers.heard(event.item_id)
        else:
            commands = self._responses.heard(event.response_id, now)
        if state.playing in (None, TONE):
            commands += self._playout_changed(PlayoutChanged(event.item_id), now)
        return commands

    def _playout_changed(self, event: PlayoutChanged, now: float) -> list[Command]:
        state = self.state
        before, state.playing = state.playing, event.item_id
        if before is not None:
            state.fillers.sound_ended(now, words=before != TONE)
        state.fillers.played(event.item_id)
        self._watch.played(before)
        if event.item_id is None:
            state.move_floor(FloorEdge.PLAYOUT_DRY)
        elif state.fillers.is_filler_item(event.item_id):
            state.move_floor(FloorEdge.FILLER_HEARD)
        elif event.item_id != TONE:
            state.fillers.start_over()
            state.move_floor(FloorEdge.AGENT_HEARD)
            state.progress += 1
        return self._approvals.played(before, event.item_id, now)

    def _tool_requested(self, event: realtime.ToolCallRequested, now: float) -> list[Command]:
        commands = self._tools.requested(event, now)
        if self._transfers.held or any(isinstance(command, StartTool) for command in commands):
            self._responses.of_use(now)
        return commands

    def _response_done(self, event: realtime.ResponseDone, now: float) -> list[Command]:
        self._caller.response_done(event)
        return self._responses.done(event, now)

    def _withdrawn(self, event: realtime.ToolCallsWithdrawn, now: float) -> list[Command]:
        self._transfers.withdrawn(event, INTERRUPTED)
        return self._interruptions.withdrawn(event, now)

    def _remote_started(self, event: remote.RemoteToolStarted, now: float) -> list[Command]:
        self._responses.of_use(now)
        return self._remote.started(event, now)

    def _approval_wanted(self, event: remote.ApprovalWanted, now: float) -> list[Command]:
        self._responses.of_use(now)
        return self._remote.approval_wanted(event, now)

    # --- what is due --------------------------------------------------------------------------------------------------

    def _advance(self, now: float) -> list[Command]:
        state = self.state
        if state.over:
            return []
        self._watch.arm(now)
        commands = self._remote.expire(now, self._responses.give_up)
        commands += self._watch.expire(now) + self._fillers.expire(now)
        if state.over:
            return commands
        if state.ending is not None:
            waits = state.pending.remote and now < state.ending.remote_until
            state.ending.settle(state.quiet and not waits, now)
            if state.ending.due() <= now:
                state.over = True
                return [*commands, HangUp(state.ending.reason)]
        commands += self._caller.expire(now)
        commands += self._transfers.expire(now) + self._interruptions.expire(now) + self._approvals.expire(now)
        commands += self._tools.hold_places(now) + self._tools.release(now)
        self._prompt(now)
        commands += self._responses.request(now) + self._approvals.speak(now)
        commands += self._watch.speak(now) + self._fillers.fill(now)
        self._watch.arm(now)
        return commands

    def _prompt(self, now: float) -> None:
        """Ask a caller who says nothing, and end the call politely when that was in vain."""
        state, due = self.state, self._prompt_due()
        if due is None or due > now:
            return
        text = state.patience.ask()
        if text is not None:
            state.owed.want(Purpose.SILENCE, text)
        else:
            state.ending = Ending("silence", forced=False, since=now)
            state.owed.want(Purpose.GOODBYE, state.config.goodbye)

    def _prompt_due(self) -> float | None:
        state = self.state
        return state.patience.due(state.fillers.wordless_since) if state.idle and state.media else None

    def _next_wake(self, now: float) -> float | None:
        parts = (
            self._responses.wakes(now),
            self._fillers.wakes(now),
            self._tools.wakes(),
            self._caller.wakes(),
            self._interruptions.wakes(),
            self._transfers.wakes(),
            self._remote.wakes(now),
            self._approvals.wakes(),
            self._watch.wakes(now),
        )
        times = [*(time for part in parts for time in part), self._prompt_due()]
        if (ending := self.state.ending) is not None:
            times.append(ending.due())
            if self.state.pending.remote and ending.remote_until > now:
                times.append(ending.remote_until)
        return min((time for time in times if time is not None), default=None)
