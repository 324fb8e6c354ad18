"""The shell of one call: events go into the turn machine, its commands come out, audio passes by.

Everything here runs on the event loop and nothing here waits: what does (the realtime link, tools) is a task of its
own and comes back as an event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from telephony import events as phone
from worker.agent.agent import Agent
from worker.call.agent_voice import AgentVoice
from worker.call.answering import Answering
from worker.call.audio import Uplink
from worker.call.canned import CannedFillers, OwnQuestions, canned_voice, own_voice
from worker.call.conversation import Conversation
from worker.call.digits import DigitBuffer
from worker.call.ears import CloseEars, Ears
from worker.call.hangup import HangUp
from worker.call.info import CallInfo, PhoneLine, Services
from worker.call.media import CallMedia
from worker.call.recording import CONSENT, CallRecording
from worker.call.remote import RemoteTools
from worker.call.remote_servers import ServersAfter, wanted_of
from worker.call.screener import Screener
from worker.call.sounds import APOLOGY, OWN_WORDS, load_prompt
from worker.call.transcript import Transcript
from worker.call.transfer import Lines, Transfers
from worker.call_tools.entries import DIGITS
from worker.call_tools.offer import ToolOffer
from worker.call_tools.runs import CallTools, ToolCalls
from worker.realtime import base
from worker.realtime import events as realtime
from worker.realtime.link import Link
from worker.records.dialling import Dialling
from worker.records.record import AnsweredBy
from worker.records.telemetry import Telemetry
from worker.turns import events as turn
from worker.turns.machine import TurnMachine

__all__ = ["CallInfo", "CallSession", "PhoneLine", "Services", "SessionTools"]

HANDED_OVER = (
    "The caller's side has put somebody else on the line in the caller's place. Greet them in one short sentence when"
    " they have spoken, find out who they are, and tell them nothing that is private to the caller before."
)
LOOK_S = 1.0
"""Time limits are looked after so often."""


@dataclass(frozen=True, slots=True)
class SessionTools:
    """A call's tools, the offer that keeps what the session is told of them up to date, transfers and recording.

    after: the MCP servers that a response may have for itself.
    """

    tools: CallTools
    offer: ToolOffer
    transfers: Transfers
    after: ServersAfter
    recording: CallRecording


class CallSession:
    """One call from the INVITE to its record. The line is hung up once, by the machine or a fault."""

    def __init__(
        self, call: Telemetry, agent: Agent, machine: TurnMachine, line: PhoneLine, link: Link, tools: SessionTools
    ) -> None:
        """Take the parts of a call that begins; nothing starts by itself."""
        self.info = call.info
        self.agent = agent
        self.machine = machine
        self.recorder = call.recorder
        self.journal = call.journal
        self.bridge = line.bridge
        self.offer = tools.offer
        self.watch: Callable[[phone.CallEvent], None] = tools.transfers.on_phone
        """Gets the telephone's events of this call."""
        self.ended = asyncio.Event()
        self._call = call
        self._clock = call.clock
        self._link = link
        self._late = line.late
        self._hangup = HangUp(line.hang_up)
        self._media = CallMedia(line.bridge, link.input_format, link.output_format, call.recorder)
        self._digits = DigitBuffer()
        self._ears = Ears()
        self._close = CloseEars(line.bridge.rate_hz) if machine.state.config.reversible else None
        self._conversation = Conversation(link, tools.tools.view, tools.after)
        self._transcript = Transcript(call, self._conversation.history, self._media.playout)
        self._voice = AgentVoice(call, machine, self._media, self._conversation, self._transcript, self._feed)
        self.recording = tools.recording
        self.recording.attach(self._feed)
        self._tools = ToolCalls(call, tools.tools, machine.pending, self._feed, self._cover)
        self._entries = self._tools.entries
        self.approvals = self._tools.approvals
        self._remote = RemoteTools(
            call,
            self._conversation,
            tools.tools.usual,
            self._feed,
            approvals=self.approvals,
            wanted=lambda ask: wanted_of(agent, ask),
        )
        self._canned = self._canned_fillers()
        self._transfers = tools.transfers
        self._transfers.attach(self._handed_on, self.step_aside, self._feed)
        self._closing: asyncio.Task[None] | None = None
        self._dialling = Dialling() if call.info.outbound else None
        self._began_ms = call.now_ms
        self._screener = Screener(call, self._hangup, self._begin_talk, self._feed)
        self._questions = OwnQuestions(own_voice(agent), machine, self._media, call.log, self._feed)
        self._answered: float | None = None
        self._flows = False
        """Audio flows both ways."""
        self._aside = False
        """Others talk on this line: the agent says and hears nothing."""
        self._secret = False
        """What is on the line is for a tool alone."""
        self._warned = False
        self._looked = 0.0
        self._edges = -1
        self._due = 0.0
        self._commands = self._handlers()
        link.attach(self.on_provider_event, self._replay, self.fail)
        self._look()  # levels are kept from the first time on that somebody looks

    def _canned_fillers(self) -> CannedFillers | None:
        voice = canned_voice(self.agent, self._link.codec.capabilities)
        if voice is None:
            return None
        return CannedFillers(voice, self.machine, self._media, self._transcript, self._call.log, self._feed)

    def _handlers(self) -> dict[type[Any], Callable[[Any], None]]:
        """What each command of the machine comes to."""
        return {
            turn.StartTool: self._start_tool,
            turn.CancelTool: self._tools.cancel,
            turn.SendOutput: self._conversation.answer,
            turn.SendResult: self._conversation.tell_result,
            turn.RequestResponse: self._conversation.request_response,
            turn.SpeakFiller: self._speak_filler,
            turn.OfferSpoken: self._conversation.offered,
            turn.ResultsTold: self._told,
            turn.AskApproval: self._remote.ask,
            turn.AnswerApproval: self._remote.answer,
            turn.RemoteGivenUp: self._remote.given_up,
            turn.TellModel: self._conversation.tell_model,
            turn.PlayTone: lambda command: self._media.playout.play_tone(),
            turn.OwnWords: self._speak_own,
            turn.AskOurselves: self._questions.ask,
            turn.ApprovalAnswered: self._answered_us,
            turn.NewSession: lambda command: self._link.recycle(command.reason),
            turn.ProbeSession: lambda command: self._link.probe(),
            turn.Unmet: self._transcript.unmet,
            turn.CancelResponse: self._conversation.cancel_response,
            turn.StopPlayout: lambda command: self._voice.stop(barge_in=command.barge_in),
            turn.PausePlayout: lambda command: self._voice.pause(),
            turn.ResumePlayout: self._resume,
            turn.Apologise: self._apologise_for,
            turn.HangUp: lambda command: self._hangup.leave(command.reason),
        }

    @property
    def uplink(self) -> Uplink:
        """What makes the session's format of the caller's audio."""
        return self._media.uplink

    @property
    def now_ms(self) -> float:
        """The time by the call's clock, as its recorder wants it."""
        return self._call.now_ms

    # --- from the telephone -------------------------------------------------------------------------------------------

    def phoned(self, event: phone.CallEvent) -> None:
        """Take note of an event of the call, whatever else comes of it."""
        self.journal.phoned(event)
        if self._dialling is not None:
            self._dialling.take(event, self._call.now_ms - self._began_ms)
            self.recorder.dialling = self._dialling.record

    def answered(self) -> None:
        """200 was sent: the record's zero."""
        self._answered = self._clock()
        self.recorder.answered(self._answered * 1000)

    async def open(self) -> None:
        """Open the realtime session; a fault is told to the caller once there is media. Never raises for one."""
        if self._aside:
            return
        await self.offer.begin()
        await self._link.open()

    def bring(self, tool_call_id: str, tool: str, arguments: str, output: str, note: str) -> None:
        """Begin with what came of a tool call of an earlier call, to be told after the greeting.

        arguments, output: JSON text. note: tells the model what it is about. To be called before `open`.
        """
        self._conversation.history.noted("brought", note)
        self._conversation.tool_asked(turn.StartTool(tool_call_id, tool, arguments))
        self.machine.bring(tool_call_id, tool, arguments, output)

    @property
    def answered_by(self) -> AnsweredBy | None:
        """Who answered a call of ours, as far as it is known."""
        return self.recorder.answered_by

    def screen(self, answering: Answering) -> None:
        """Find out who answers before the agent speaks. To be called before `open`."""
        self._screener.answering = answering

    def start_media(self) -> bool:
        """Audio flows both ways. False if it did already (a re-INVITE)."""
        if self._flows:
            return False
        self._flows = True
        self.bridge.take()  # what came in before the answer is not for the session
        self.recording.media()
        if self._screener.answering is None:
            self._begin_talk()
        if self._hangup.fault:
            self._apologise(self._hangup.fault)
        return True

    def _begin_talk(self) -> None:
        """The agent may speak: first to ask whether the call may be recorded."""
        self.recording.talk()
        self._feed(turn.MediaReady())

    def use_lines(self, lines: Lines) -> None:
        """What this call may ask of the telephone beside its own line."""
        self._transfers.lines = lines

    def step_aside(self, reason: str) -> None:
        """Leave the line to others: from now on the agent says and hears nothing on it, and the session ends.

        reason: why the call will have ended, for the record.
        """
        if self._aside:
            self._hangup.reason = reason
            return
        self._look()
        self._aside = self.machine.over = True
        self.journal.stepped_aside()
        self._hangup.reason = reason
        self._media.playout.flush(self._clock())
        self.bridge.take()
        self._link.attach(lambda event: None, list, lambda reason: None)  # what is on its way is for nobody
        if self._answered is not None:
            self._closing = asyncio.get_running_loop().create_task(self._link.close())

    def digit(self, digit: str) -> None:
        """The caller typed a digit: an answer to a question of ours, or a word to the model."""
        if self._aside:
            return  # it goes to the other side
        now = self._clock()
        if self._entries.takes(now):
            self._entries.key(digit, now)
            self._due = min(self._due, self._entries.due)
            return
        if self.machine.takes_keys:
            self._feed(turn.CallerPressed(digit))
            return
        self._typed(self._digits.add(digit, now))
        self._due = min(self._due, self._digits.due)

    def said(self, text: str) -> None:
        """The caller wrote this in place of speaking (`worker.console`): it interrupts nobody, and wants an answer."""
        key = self._conversation.wrote(text)
        self.recorder.turn_started(self._call.now_ms, "caller", key)
        self.recorder.turn_text(key, text)
        self.recorder.turn_ended(self._call.now_ms, key)
        self._feed(turn.CallerTyped())

    def handed_over(self, means: str, status: int) -> None:
        """The other side had the call go on elsewhere (`HandOverRules`). status: 200, or why it has not, by SIP."""
        self._call.log.info("handed_over" if status == 200 else "not_handed_over", means=means, sip_status=status)
        self._call.metrics.hand_overs_total.labels(means, "done" if status == 200 else "refused").inc()
        if status == 200:
            self.recording.handed_over()
        if status != 200 or self._aside:
            return
        self._digits = DigitBuffer()
        self._conversation.tell_model(turn.TellModel("handed_over", HANDED_OVER))

    def say_goodbye(self, reason: str, words: str | None = None) -> None:
        """End the call politely: say the agent's goodbye, or these words, then hang up."""
        self._feed(turn.GoodbyeWanted(self.agent.goodbye if words is None else words, reason))

    def notice(self, text: str) -> None:
        """Tell the caller something of ours when the floor is free."""
        self._feed(turn.NoticeWanted(text))

    def hung_up(self, by: str, reason: str) -> None:
        """The call is over on the wire."""
        if not self._aside:
            self._look()
        self._transcript.session_over()
        outcome = self._hangup.outcome(by, answered=self._answered is not None)
        self.recorder.ended(self._call.now_ms, outcome, self._hangup.reason or f"{by}: {reason}".rstrip(": "))
        self.ended.set()

    # --- paced --------------------------------------------------------------------------------------------------------

    def take(self) -> bytes:
        """Return what the caller has said since the last time: 16-bit PCM at the bridge's rate."""
        pcm = self.bridge.take()
        if not self._flows or self._aside:
            return b""
        if self._entries.covered:
            pcm = bytes(len(pcm))  # keys sound on some lines
        now = self._clock()
        if (edge := self._ears.hear(pcm, now)) is not None:
            self._feed(turn.CallerSounds(edge))
        for heard in self._close.hear(pcm) if self._close is not None else ():
            self._feed(heard)
        self._transcript.sent_ms += len(pcm) / (2 * self.bridge.rate_hz) * 1000
        return pcm if self._screener.answering is None else self._screener.hear(pcm)

    def append(self, audio: bytes) -> None:
        """Send the caller's audio, in the session's format."""
        self._link.append(audio)

    def poll(self, now: float) -> None:
        """Look at the playout, the digits, the limits and the machine's clock, where there may be something to see."""
        if self._aside:
            return
        edges = self.bridge.edges
        if edges == self._edges and now < self._due:
            return
        self._edges = edges
        changed, playing = self._media.playout.poll(now)
        if changed:
            apologised = self._hangup.decided and self.machine.over  # before: this edge may be what decides it
            self._feed(turn.PlayoutChanged(playing))
            if playing is None and apologised:
                self._hangup.end()
        if self.machine.wake is not None and self.machine.wake <= now:
            self._feed(turn.Tick())
        if now >= self._hangup.by:
            self._hangup.end()
        self._typed(self._digits.poll(now))
        if now - self._looked >= LOOK_S:
            self._looked = now
            self._limits(now)
            self._link.look()
            if (edge := self._ears.hear(b"", now)) is not None:  # where no audio comes at all
                self._feed(turn.CallerSounds(edge))
            self._late(self.bridge.worst_lateness_s())
            self._look()
        self._entries.poll(now, heard=self.machine.entry_heard)
        self._due = min(self._looked + LOOK_S, self._hangup.by, self._digits.due, self._entries.due)
        self._wake_up()

    def _look(self) -> None:
        """Tell the journal what the line lost, and how loud both voices were, since the last time."""
        if self.journal.on:
            caller, agent = self.bridge.take_levels()
            if self._secret:
                caller = bytes(len(caller))  # keys sound on some lines
            self.journal.looked(self.bridge.underruns, self.bridge.dropped_in_frames, caller, agent)

    def broke(self) -> None:
        """A fault of ours: nothing drives this call any more, so it is hung up at once."""
        self.machine.over = True
        self._hangup.leave("internal error", "failed")

    def _limits(self, now: float) -> None:
        if self._answered is None or self.machine.over:
            return
        limits, seconds = self.agent.limits, now - self._answered
        if seconds > limits.max_call_seconds and self.machine.ending is None:
            self.say_goodbye("limit")
        elif not self._warned and seconds > limits.max_call_seconds - limits.warn_seconds > 0:
            self._warned = True
            self.notice(limits.warning)
        quiet = self.machine.quiet and self.machine.slot.free and not self.machine.pending.remote
        if self._link.outlived(idle=self.machine.idle, quiet=quiet):
            self._link.recycle()

    def _typed(self, digits: str | None) -> None:
        if digits is None:
            return
        self._conversation.typed(digits)
        self._feed(turn.CallerTyped())

    # --- from the provider --------------------------------------------------------------------------------------------

    def on_provider_event(self, event: realtime.RealtimeEvent) -> None:
        """Take one event of the realtime session; audio goes straight to the playout."""
        self._call.provided(event)
        if isinstance(event, realtime.AudioDelta):
            self._voice.take(event)
            return
        self._transcript.note(event)
        self._remote.note(event)
        if isinstance(event, realtime.AudioDone):
            self._media.playout.end_item(event.item_id)
        elif isinstance(event, realtime.SessionReady):
            self._media.use(event.input_format, event.output_format)
        elif isinstance(event, realtime.ToolCallRequested):
            name, arguments = self.offer.view.now.unwrap(event.name, event.arguments)
            event = replace(event, name=name, arguments=arguments)
        elif isinstance(event, realtime.ResponseDone):
            self._voice.response_done(event)
        elif isinstance(event, realtime.GoingAway):
            self._link.going_away(event.left_s)
        elif isinstance(event, realtime.CallerTranscript):
            self._screener.read(event.text)
        elif isinstance(event, realtime.ConnectionLost):
            self._voice.session_lost()
        elif isinstance(event, realtime.ProviderError) and event.fatal:
            self.fail(f"realtime provider: {event.code}: {event.message}")
        self._feed(event)

    def fail(self, reason: str) -> None:
        """The session can't be had any more: the caller hears an apology, then the call ends."""
        if self._aside or not self._hangup.failed(reason):
            return
        self._call.log.error("call_failed", reason=reason)
        self.recorder.error(self._call.now_ms, reason)
        if self._flows:
            self._apologise(reason)

    def _replay(self) -> list[base.Frame]:
        """What a new session has to be told: the conversation so far as text, and the calls that are open."""
        return self._conversation.replay(self.machine.pending.unanswered())

    # --- commands -----------------------------------------------------------------------------------------------------

    def _feed(self, event: object) -> None:
        machine, now = self.machine, self._clock()
        commands = machine.handle(event, now)
        self.journal.decided(now, event, commands, machine.floor, machine.slot.state)
        for command in commands:
            # With OFFHOOK_LOG_LEVEL=debug the log says why a call went silent: what was decided, on which event.
            self._call.log.debug(
                "turn",
                on=type(event).__name__,
                command=type(command).__name__,
                floor=machine.floor.value,
                slot=machine.slot.state.value,
            )
            self._do(command)
        self._wake_up()

    def _wake_up(self) -> None:
        """Look again when the machine wants to."""
        if self._entries.covered:
            self._due = 0.0
        wake = self.machine.wake
        if wake is not None and wake < self._due:
            self._due = wake

    def _do(self, command: turn.Command) -> None:
        self._commands[type(command)](command)

    def _resume(self, command: turn.ResumePlayout) -> None:
        self._voice.resume(command)
        self._edges = -1  # what came meanwhile is looked at in the next round

    def _handed_on(self, reason: str) -> None:
        """The caller's side has dialled somebody else: this call is of no more use to them."""
        self.machine.over = True
        self._hangup.leave(reason, "completed")

    def _apologise_for(self, command: turn.Apologise) -> None:
        self._hangup.reason = command.reason
        self.fail(command.reason)

    def _answered_us(self, command: turn.ApprovalAnswered) -> None:
        """The caller has answered a question of ours."""
        if command.number == CONSENT:
            self.recording.answered(command)
            if command.by in ("voice", "key") and not self.agent.greeting:
                self._feed(turn.CallerTyped())  # they have said something, and wait for an answer
        elif command.number < CONSENT:
            self._entries.unasked(command)
        else:
            self.approvals.answered(command)

    def _cover(self, secret: bool) -> None:
        """What is on the line is for a tool alone, or is not any more."""
        self.recording.mute(DIGITS, secret)
        self._look()
        self._secret = secret
        if secret:
            for key in self._digits.give():  # typed in good time
                self._entries.key(key, self._clock())

    def _told(self, command: turn.ResultsTold) -> None:
        """The caller begins to hear of these: of ours nothing is owed any more."""
        ours = tuple(one for one in command.tool_call_ids if one not in self._remote)
        for tool_call_id in set(command.tool_call_ids) - set(ours):
            self.recorder.result_told(self._call.now_ms, tool_call_id)
        self._tools.told(turn.ResultsTold(ours))

    def _start_tool(self, command: turn.StartTool) -> None:
        self._conversation.tool_asked(command)
        self._tools.start(command)

    def _speak_filler(self, command: turn.SpeakFiller) -> None:
        self._call.metrics.fillers_total.inc()
        if self._canned is not None:
            self._canned.speak(command)
        else:
            self._conversation.request_filler(command)

    def _speak_own(self, command: turn.OwnWords) -> None:
        file, text = OWN_WORDS[command.words.value]
        self._media.playout.play_words(command.item_id, load_prompt(file, self.bridge.rate_hz), text)

    # --- the end ------------------------------------------------------------------------------------------------------

    def _apologise(self, reason: str) -> None:
        """Say the recorded apology; the poll that finds it played hangs up."""
        self.machine.over = True
        self._hangup.after_apology(reason, self._clock())
        self._media.playout.play_prompt(load_prompt(APOLOGY, self.bridge.rate_hz), self.agent.apology)

    def status(self) -> dict[str, object]:
        """How the call stands, for the operator: who speaks, and what is open."""
        pending = self.machine.pending.names
        return {"floor": self.machine.floor.value, "response": self.machine.slot.state.value, "tools_pending": pending}

    async def end_tools(self) -> None:
        """The call is over: its tools end or go on, as each declares, and the record says which. In half a second."""
        self.machine.over = True  # nobody is there to hear of it
        await self._tools.hang_up()

    async def close(self) -> None:
        """Give back what the call held; a tool that is not to be cancelled goes on without the caller."""
        self.offer.end()
        self._questions.end()
        if self._canned is not None:
            self._canned.end()
        await self._link.close()
        await self._remote.close()
        await self._tools.close()
