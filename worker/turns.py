"""The turn machine: who may speak, and what has to be answered.

`handle(event, now)` takes an edge (the provider's, the playout's, a tool's) and returns commands. It does no I/O and
reads no clock; it never sees a frame of audio. It is the one place that decides on model responses, fillers, results
and goodbyes, so that the caller hears one voice at a time, every tool call is answered exactly once and no response
is requested while one is active.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from worker.ending import Ending
from worker.fillers import Filler, FillerConfig, FillerVoice
from worker.floor import FLOOR, Floor, FloorEdge, Slot, SlotEdge
from worker.patience import Patience, SilenceConfig
from worker.pending import PendingTool, PendingTools
from worker.realtime import base
from worker.slot import ResponseSlot
from worker.turn_events import (
    Apologise,
    AudioStarted,
    CallerTyped,
    CancelResponse,
    Command,
    GoodbyeWanted,
    HangUp,
    MediaReady,
    NoticeWanted,
    PlayoutChanged,
    PlayTone,
    Purpose,
    RequestResponse,
    SendOutput,
    SendResult,
    SpeakFiller,
    StartTool,
    StopPlayout,
    Tick,
    ToolFinished,
    ToolProgress,
)

__all__ = ["END_CALL", "TONE", "TurnConfig", "TurnMachine", "say_exactly"]

END_CALL = "end_call"
"""The function with which the model ends the call: it belongs to the call itself and never becomes a job."""
TONE = "tone"
"""Item id of the soft tone."""
FAILURES_IN_A_ROW = 3
"""So many failed responses in a row, and the provider can't speak any more."""
RETRY_S = 0.7
"""Pause before a failed response is asked for again, times the failures so far."""
INTERRUPTED = '{"status":"not_started","reason":"The caller interrupted. Call it again if it is still wanted."}'


PLACEHOLDER_S = 0.4
"""A tool that took so long is answered with a placeholder, where the model can't speak while a call is open."""
PLACEHOLDER = '{"status":"pending"}'
"""No more than this: a placeholder that describes the result to come makes models call again."""


def say_exactly(text: str) -> str:
    """Instructions that make a model (and the local server) say this text and nothing else."""
    return f"Say exactly: {text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnConfig:
    """What the machine has to know of the agent and the provider."""

    greeting: str | None = None
    goodbye: str = "Goodbye."
    fillers: FillerConfig = FillerConfig()
    server_responds: bool = True
    """The server creates a response at the end of the caller's turn (create_response)."""
    server_interrupts: bool = True
    """The server cancels its response when the caller begins to speak (interrupt_response)."""
    silence: SilenceConfig = SilenceConfig()
    talks_while_call_pending: bool = True
    """The model may respond while a tool call is open. False: a call that takes long is answered with a placeholder."""


class TurnMachine:
    """The turns of one call. `wake` is the time (s) at which it wants a Tick, None for never."""

    def __init__(self, config: TurnConfig) -> None:
        self.config = config
        self.floor = Floor.NOBODY
        self.slot = ResponseSlot()
        self.pending = PendingTools()
        self.fillers = FillerVoice(config.fillers)
        self.patience = Patience(config.silence)
        self.ending: Ending | None = None
        self.over = False
        self.wake: float | None = None
        self._connected = False
        self._media = False
        self._greeted = False
        self._playing: str | None = None
        self._wanted: dict[Purpose, str | None] = {}
        self._asked: tuple[Purpose, str | None] | None = None
        self._not_before = 0.0
        self._unacknowledged = 0
        self._failures = 0
        self._spoke: set[str] = set()
        self._handlers: dict[type[Any], Callable[[Any, float], list[Command]]] = {
            MediaReady: self._media_ready,
            AudioStarted: self._audio_started,
            PlayoutChanged: self._playout_changed,
            ToolFinished: self._tool_finished,
            ToolProgress: self._tool_progress,
            NoticeWanted: self._notice_wanted,
            CallerTyped: self._caller_typed,
            GoodbyeWanted: self._goodbye_wanted,
            Tick: lambda event, now: [],
            base.SessionReady: self._session_ready,
            base.ConnectionLost: self._connection_lost,
            base.SpeechStarted: self._speech_started,
            base.SpeechStopped: self._speech_stopped,
            base.ResponseStarted: self._response_started,
            base.ResponseDone: self._response_done,
            base.ToolCallRequested: self._tool_call_requested,
            base.ItemCreated: self._item_created,
            base.ProviderError: self._provider_error,
        }

    def handle(self, event: object, now: float) -> list[Command]:
        """Take one event at `now` (s, any monotonic clock); events of no interest give no commands."""
        handler = self._handlers.get(type(event))
        if handler is None or self.over:
            return []
        commands = handler(event, now)
        commands += self._advance(now)
        self.wake = None if self.over else self._next_wake(now)
        return commands

    def wants_audio(self, response_id: str) -> bool:
        """Whether audio of this response may be queued: not of a discarded one, and never over the caller."""
        return not self.over and self.floor is not Floor.CALLER and not self.slot.discarded(response_id)

    @property
    def idle(self) -> bool:
        """Whether nobody speaks, nothing is being generated and nothing is owed: a moment between turns."""
        quiet = self.floor is Floor.NOBODY and self._playing is None and self.slot.free
        return quiet and self._connected and not self.pending and not self._wanted and self.ending is None

    # --- call and session ---------------------------------------------------------------------------------------------

    def _media_ready(self, event: MediaReady, now: float) -> list[Command]:
        self._media = True
        self.fillers.sound_ended(now, words=True)
        return []

    def _session_ready(self, event: base.SessionReady, now: float) -> list[Command]:
        self._connected = True
        if not self._greeted and self.config.greeting:
            # before whatever else the caller has to be told
            self._wanted = {Purpose.GREETING: say_exactly(self.config.greeting), **self._wanted}
        self._greeted = True
        return [command for tool in self.pending.held() for command in self._answer(tool)]

    def _connection_lost(self, event: base.ConnectionLost, now: float) -> list[Command]:
        self._connected = False
        owed = self.slot.lost(now)
        self.pending.session_lost()
        self.fillers.drop()
        self._unacknowledged = 0
        if self.floor is Floor.CALLER:
            # No speech_stopped will come for what was said into the lost session.
            self._move_floor(FloorEdge.CALLER_STOPPED)
            owed = True
        if owed:
            self._want_again()
        return []

    def _notice_wanted(self, event: NoticeWanted, now: float) -> list[Command]:
        self._want(Purpose.NOTICE, say_exactly(event.text))
        return []

    def _goodbye_wanted(self, event: GoodbyeWanted, now: float) -> list[Command]:
        if self.ending is None or not self.ending.forced:
            self.ending = Ending(event.reason, forced=True, since=now)
            self._want(Purpose.GOODBYE, say_exactly(event.text))
        return self._give_up(self.fillers.drop())

    # --- the caller ---------------------------------------------------------------------------------------------------

    def _speech_started(self, event: base.SpeechStarted, now: float) -> list[Command]:
        commands: list[Command] = []
        speaking = self.floor in (Floor.AGENT, Floor.FILLER)
        self._move_floor(FloorEdge.CALLER_STARTED)
        if speaking or self._playing is not None or self.slot.state is Slot.ACTIVE:
            # Also where playout has run dry in mid item: what is still to come of it will not be heard.
            commands.append(StopPlayout(barge_in=speaking))
        self._playing = None
        commands += self._give_up(self.fillers.drop())
        if not self.slot.free:
            response_id = self.slot.cancel(now)
            if response_id is not None and not self.config.server_interrupts:
                commands.append(CancelResponse(response_id))
        for purpose in (Purpose.GREETING, Purpose.SILENCE):
            self._wanted.pop(purpose, None)
        self.patience.heard()
        self._speech_into_goodbye(speaking)
        return commands

    def _speech_into_goodbye(self, interrupted: bool) -> None:
        if self.ending is None:
            return
        if not self.ending.forced:
            self.ending = None
            self._wanted.pop(Purpose.GOODBYE, None)
        elif (interrupted or not self.ending.said) and Purpose.GOODBYE not in self._wanted:
            self.ending.said = False
            self._want(Purpose.GOODBYE, say_exactly(self.config.goodbye))

    def _speech_stopped(self, event: base.SpeechStopped, now: float) -> list[Command]:
        self._move_floor(FloorEdge.CALLER_STOPPED)
        self.fillers.sound_ended(now, words=True)
        self.fillers.start_over()
        if self.config.server_responds:
            self._asked = None
            self.slot.move(SlotEdge.REQUEST, now)
        else:
            self._want(Purpose.RESUME)
        return []

    def _caller_typed(self, event: CallerTyped, now: float) -> list[Command]:
        self.patience.heard()
        self._want(Purpose.RESUME)
        return []

    # --- responses ----------------------------------------------------------------------------------------------------

    def _response_started(self, event: base.ResponseStarted, now: float) -> list[Command]:
        purpose = event.metadata.get("purpose")
        if purpose == Purpose.FILLER:
            return self._filler_started(event)
        kept = self.slot.created(event.response_id, now)
        if not kept or self.floor is Floor.CALLER:
            # Created while the caller speaks: nobody would hear it. What it should have said stays in the conversation.
            self.slot.cancel(now)
            return [CancelResponse(event.response_id)]
        self._wanted.pop(Purpose.RESUME, None)
        if self._unacknowledged == 0:
            # Every output that was sent is in the conversation that this response answers.
            self._wanted.pop(Purpose.TOOL_RESULT, None)
        if self.ending is not None and purpose == Purpose.GOODBYE:
            self.ending.response_id = event.response_id
        return self._silence_filler_not_yet_heard()

    def _response_done(self, event: base.ResponseDone, now: float) -> list[Command]:
        if self.fillers.speaks(event.response_id):
            self.fillers.generated(self._playing)
            return []
        if event.metadata.get("purpose") == Purpose.FILLER:
            return []
        given_up = self.slot.discarded(event.response_id)
        self.slot.done(event.response_id, now)
        if self.pending.response_done(event.response_id) and not given_up:
            self._want(Purpose.TOOL_RESULT)
        self._goodbye_done(event, given_up)
        if event.status == "failed" and not given_up:
            return self._response_failed(event.error_code or event.reason, now)
        self._failures = 0
        return []

    def _response_failed(self, reason: str, now: float) -> list[Command]:
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW:
            self.over = True
            return [Apologise(reason or "response failed")]
        self._want_again()
        self._not_before = now + RETRY_S * self._failures
        return []

    def _goodbye_done(self, event: base.ResponseDone, given_up: bool) -> None:
        if self.ending is None or self.ending.response_id != event.response_id or given_up:
            return
        asked = event.metadata.get("purpose") == Purpose.GOODBYE and event.status != "failed"
        if event.response_id in self._spoke or asked:
            # A model that has no words for the goodbye it was asked for is not asked over and over.
            self.ending.said = True
        else:
            # end_call without a word: the caller is owed a goodbye.
            self._want(Purpose.GOODBYE, say_exactly(self.config.goodbye))

    def _provider_error(self, event: base.ProviderError, now: float) -> list[Command]:
        if event.metadata.get("purpose") == Purpose.FILLER:
            self.fillers.drop()
        elif event.code == "conversation_already_has_active_response":
            # Somebody else's response holds the slot. What we asked for is still owed; its done frees the slot.
            self._want_again()
            self.slot.move(SlotEdge.REFUSED, now)
        elif event.request == "create_response" and self.slot.state in (Slot.REQUESTED, Slot.CANCELLING):
            self.slot.move(SlotEdge.EXPIRED, now)
            return self._response_failed(event.code, now)
        return []

    def _item_created(self, event: base.ItemCreated, now: float) -> list[Command]:
        if event.kind == "function_call_output" and self._unacknowledged > 0:
            self._unacknowledged -= 1
        return []

    # --- playout ------------------------------------------------------------------------------------------------------

    def _audio_started(self, event: AudioStarted, now: float) -> list[Command]:
        if self.fillers.speaks(event.response_id):
            self.fillers.heard(event.item_id)
        else:
            self._spoke.add(event.response_id)
        if self._playing in (None, TONE):
            return self._playout_changed(PlayoutChanged(event.item_id), now)
        return []

    def _playout_changed(self, event: PlayoutChanged, now: float) -> list[Command]:
        before, self._playing = self._playing, event.item_id
        if before is not None:
            self.fillers.sound_ended(now, words=before != TONE)
        self.fillers.played(event.item_id)
        if event.item_id is None:
            self._move_floor(FloorEdge.PLAYOUT_DRY)
        elif self.fillers.is_filler_item(event.item_id):
            self._move_floor(FloorEdge.FILLER_HEARD)
        elif event.item_id != TONE:
            self.fillers.start_over()
            self._move_floor(FloorEdge.AGENT_HEARD)
        return []

    def _move_floor(self, edge: FloorEdge) -> None:
        self.floor = FLOOR[(self.floor, edge)]

    # --- tools --------------------------------------------------------------------------------------------------------

    def _tool_call_requested(self, event: base.ToolCallRequested, now: float) -> list[Command]:
        tool = PendingTool(event.tool_call_id, event.name, event.arguments, event.response_id, now)
        if not self.pending.add(tool):
            return []
        if self.slot.discarded(event.response_id):
            # The caller spoke while this was generated: it may not be what they want any more.
            tool.output = INTERRUPTED
            return self._answer(tool)
        if event.name == END_CALL:
            tool.output = '{"status":"ending"}'
            if self.ending is None:
                self.ending = Ending("agent", forced=False, since=now, response_id=event.response_id)
            return self._answer(tool)
        if self._playing is None and self.floor is Floor.NOBODY:
            self.fillers.sound_ended(now, words=True)
        return [StartTool(tool.tool_call_id, tool.name, tool.arguments)]

    def _tool_finished(self, event: ToolFinished, now: float) -> list[Command]:
        tool = self.pending.get(event.tool_call_id)
        if tool is None or tool.output is not None:
            return []
        tool.output = event.output
        return self._answer(tool)

    def _tool_progress(self, event: ToolProgress, now: float) -> list[Command]:
        tool = self.pending.get(event.tool_call_id)
        if tool is not None:
            tool.progress = tool.news = event.text
        return []

    def _hold_places(self, now: float) -> list[Command]:
        """Where the model can't speak while a call is open, close those that take long: their outcomes follow."""
        commands: list[Command] = []
        for tool in self._without_place():
            if tool.started_at + PLACEHOLDER_S <= now:
                tool.placeholder = True
                self._unacknowledged += 1
                commands.append(SendOutput(tool.tool_call_id, PLACEHOLDER))
        return commands

    def _without_place(self) -> list[PendingTool]:
        if self.config.talks_while_call_pending or not self._connected:
            return []
        return [tool for tool in self.pending.running() if not tool.placeholder]

    def _answer(self, tool: PendingTool) -> list[Command]:
        """Answer a call, or hold the outcome until there is a session again."""
        if not self._connected or tool.output is None:
            return []
        self.pending.answer(tool.tool_call_id)
        self._unacknowledged += not tool.placeholder
        given_up = self.slot.discarded(tool.response_id) and tool.output == INTERRUPTED
        if tool.name != END_CALL and not given_up and self.pending.complete(tool.response_id):
            self._want(Purpose.TOOL_RESULT)
        if not self.pending.running():
            self.fillers.start_over()
        if tool.placeholder:
            return [SendResult(tool.tool_call_id, tool.name, tool.output)]
        return [SendOutput(tool.tool_call_id, tool.output)]

    # --- fillers ------------------------------------------------------------------------------------------------------

    def _filler_started(self, event: base.ResponseStarted) -> list[Command]:
        filler = self.fillers.current
        if filler is None or event.metadata.get("number") != str(filler.number):
            # Given up before the server had created it.
            self.slot.discard(event.response_id)
            return [CancelResponse(event.response_id)]
        filler.response_id = event.response_id
        return []

    def _give_up(self, filler: Filler | None) -> list[Command]:
        """Take a filler back; what it has queued for playout is the playout's matter."""
        if filler is None or filler.response_id is None:
            return []
        self.slot.discard(filler.response_id)
        return [] if filler.generated else [CancelResponse(filler.response_id)]

    def _silence_filler_not_yet_heard(self) -> list[Command]:
        """The model is about to speak: a filler that has not begun would be a second voice."""
        filler = self.fillers.current
        return self._give_up(self.fillers.drop()) if filler is not None and filler.item_id is None else []

    def _may_fill(self) -> bool:
        """Whether the caller waits in silence, for a tool or for a new session."""
        waiting = bool(self.pending.running()) or not self._connected
        quiet = self.floor is Floor.NOBODY and self._playing is None and self._media
        return waiting and quiet and self.ending is None

    def _may_speak_filler(self) -> bool:
        free = self.slot.free and not self._wanted and self.fillers.current is None
        return self.config.fillers.spoken and self._connected and free and bool(self.pending.running())

    def _fill(self, now: float) -> list[Command]:
        if not self._may_fill():
            return []
        commands: list[Command] = []
        tools = self.pending.running()
        if self._may_speak_filler() and self._sentence_due() <= now:
            news = next((tool for tool in tools if tool.news), None)
            asked = self.fillers.ask([(tool.name, tool.fillers) for tool in tools], now, news.news if news else None)
            if news is not None:
                news.news = None
            if asked is not None:
                for tool in tools:
                    tool.fillers += 1
                metadata = {"purpose": Purpose.FILLER.value, "number": str(asked[0].number)}
                commands.append(SpeakFiller(asked[1], metadata, tuple(tool.tool_call_id for tool in tools)))
        due = self.fillers.tone_due()
        if due is not None and due <= now:
            # A tone is no voice: the floor stays nobody's. Its end comes as PlayoutChanged.
            self._playing = TONE
            commands.append(PlayTone())
        return commands

    def _sentence_due(self) -> float:
        tools = self.pending.running()
        return self.fillers.sentence_due(tools[0].name, news=any(tool.news for tool in tools))

    # --- what is due --------------------------------------------------------------------------------------------------

    def _want(self, purpose: Purpose, instructions: str | None = None) -> None:
        self._wanted[purpose] = instructions

    def _want_again(self) -> None:
        """What was asked for last was not said: it is owed still."""
        purpose, instructions = self._asked or (Purpose.RESUME, None)
        self._want(purpose, instructions)

    def _advance(self, now: float) -> list[Command]:
        if self.over:
            return []
        commands = self._expire(now)
        if self.ending is not None:
            self.ending.settle(self._playing is None and self.floor is Floor.NOBODY, now)
            if self.ending.due() <= now:
                self.over = True
                return [*commands, HangUp(self.ending.reason)]
        commands += self._hold_places(now)
        self._prompt(now)
        return commands + self._request(now) + self._fill(now)

    def _prompt(self, now: float) -> None:
        """Ask a caller who says nothing, and end the call politely when that was in vain."""
        due = self._prompt_due()
        if due is None or due > now:
            return
        text = self.patience.ask()
        if text is not None:
            self._want(Purpose.SILENCE, say_exactly(text))
        else:
            self.ending = Ending("silence", forced=False, since=now)
            self._want(Purpose.GOODBYE, say_exactly(self.config.goodbye))

    def _prompt_due(self) -> float | None:
        return self.patience.due(self.fillers.wordless_since) if self.idle and self._media else None

    def _expire(self, now: float) -> list[Command]:
        commands: list[Command] = []
        deadline, bound = self.slot.deadline, self.fillers.bound()
        if deadline is not None and deadline <= now:
            if self.slot.state is Slot.REQUESTED and self._asked is not None:
                self._want_again()
            elif self.slot.state is Slot.ACTIVE and (response_id := self.slot.cancel(now)) is not None:
                commands.append(CancelResponse(response_id))
            self.slot.move(SlotEdge.EXPIRED, now)
        if bound is not None and bound <= now:
            commands += self._give_up(self.fillers.drop())
        return commands

    def _request(self, now: float) -> list[Command]:
        may = self._connected and self._media and self.slot.free and self.floor is not Floor.CALLER
        if not may or not self._wanted or now < self._not_before:
            return []
        if self.ending is not None and Purpose.GOODBYE not in self._wanted:
            return []
        purpose = Purpose.GOODBYE if Purpose.GOODBYE in self._wanted else next(iter(self._wanted))
        self._asked = (purpose, self._wanted.pop(purpose))
        self.slot.move(SlotEdge.REQUEST, now)
        return [*self._silence_filler_not_yet_heard(), RequestResponse(*self._asked)]

    def _next_wake(self, now: float) -> float | None:
        times = [self.slot.deadline, self.fillers.bound()]
        if self.ending is not None:
            times.append(self.ending.due())
        if self._wanted and self._not_before > now:
            times.append(self._not_before)
        times.append(self._prompt_due())
        times += [tool.started_at + PLACEHOLDER_S for tool in self._without_place()]
        if self._may_fill():
            times.append(self.fillers.tone_due())
            if self._may_speak_filler():
                times.append(self._sentence_due())
        return min((time for time in times if time is not None), default=None)
