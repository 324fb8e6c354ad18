"""The shell of one call: events go into the turn machine, its commands come out, audio passes by.

Everything here runs on the event loop and nothing here waits: what does (the realtime link, tools) is a task of its
own and comes back as an event.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from telephony.bridge import Bridge
from tools.catalog import Catalog
from worker import turn_events as turn
from worker.agent import Agent
from worker.canned import CannedFillers, CannedVoice, is_canned
from worker.digits import DigitBuffer
from worker.link import Link
from worker.metrics import Metrics
from worker.minutes import Minutes
from worker.playout import Playout
from worker.realtime import base
from worker.realtime.history import History
from worker.records import CallOutcome, Recorder, Who
from worker.sounds import APOLOGY, load_prompt
from worker.tool_calls import ToolCalls
from worker.tool_offer import ToolOffer
from worker.turns import PLACEHOLDER, TurnMachine, say_exactly
from worker.usual import UsualTimes
from worker.voice import Downlink, Uplink

__all__ = ["CallInfo", "CallSession", "Services"]

log = structlog.get_logger(__name__)

RECYCLE_BEFORE_S = 300.0
"""A session is replaced so long before the provider's limit, as soon as nobody speaks and nothing is open."""
APOLOGY_BOUND_S = 15.0
"""The apology takes 6 s. Where its playout stands still (a held call), the call ends without it."""
UNHEARD = 64
"""Items of responses in flight that may be kept in mind."""
LEAVING: dict[str, CallOutcome] = {"drain": "drained", "limit": "limit", "agent": "completed"}


@dataclass(frozen=True, slots=True)
class CallInfo:
    """Who calls whom: `caller` and `dialled` are the user parts of the SIP addresses."""

    call_id: str
    caller: str
    dialled: str


@dataclass(frozen=True, slots=True)
class Services:
    """What every call of this worker shares."""

    catalog: Catalog
    metrics: Metrics
    clock: Callable[[], float] = time.monotonic
    usual: UsualTimes = field(default_factory=UsualTimes)


class CallSession:
    """One call from the INVITE to its record. `hang_up(reason)` is asked for once, by the machine or a fault."""

    def __init__(
        self,
        info: CallInfo,
        agent: Agent,
        bridge: Bridge,
        link: Link,
        machine: TurnMachine,
        recorder: Recorder,
        services: Services,
        hang_up: Callable[[str], None],
        offer: ToolOffer,
        canned: CannedVoice | None = None,
    ) -> None:
        self.info = info
        self.agent = agent
        self.machine = machine
        self.recorder = recorder
        self.ended = asyncio.Event()
        self.bridge = bridge
        self._link = link
        self._services = services
        self._clock = services.clock
        self._hang_up = hang_up
        self.offer = offer
        self._playout = Playout(bridge, recorder)
        self._uplink = Uplink(bridge.rate_hz, link.input_format)
        self._downlink = Downlink(bridge.rate_hz, link.output_format)
        self._digits = DigitBuffer()
        self._history = History()
        self._answered: float | None = None
        self._opened = 0.0
        self._media = False
        self._asked: dict[str, turn.StartTool] = {}
        self._unheard: dict[str, str] = {}
        self._entries = 0
        self._warned = False
        self._looked = 0.0
        self._leaving: CallOutcome | None = None
        self._leave_by = float("inf")
        self._hung_up = False
        self._reason = ""
        self._fault = ""
        self._log = log.bind(call_id=info.call_id)
        self._minutes = Minutes(recorder, self._history, self._playout, services.metrics, self._log, self._clock)
        self._tools = ToolCalls(
            info.call_id,
            info.caller,
            info.dialled,
            offer.catalog,
            machine.pending,
            recorder,
            services.metrics,
            services.usual,
            self._log,
            self._clock,
            self._feed,
        )
        self._canned: CannedFillers | None = None
        if canned is not None:
            self._canned = CannedFillers(
                canned, machine, self._playout, bridge.rate_hz, self._feed, self._minutes.note, self._log
            )
        self._commands: dict[type[Any], Callable[[Any], None]] = {
            turn.StartTool: self._start_tool,
            turn.SendOutput: self._answer,
            turn.SendResult: self._tell_result,
            turn.RequestResponse: self._request_response,
            turn.SpeakFiller: self._speak_filler,
            turn.PlayTone: lambda command: self._playout.play_tone(),
            turn.CancelResponse: self._cancel_response,
            turn.StopPlayout: lambda command: self._stop_playout(command.barge_in),
            turn.Apologise: self._apologise_for,
            turn.HangUp: lambda command: self._leave(LEAVING.get(command.reason, "completed"), command.reason),
        }
        link.attach(self.on_provider_event, self._replay, self.fail)

    # --- from the telephone -------------------------------------------------------------------------------------------

    def answered(self) -> None:
        """200 was sent: the record's zero."""
        self._answered = self._clock()
        self.recorder.answered(self._answered * 1000)

    async def open(self) -> None:
        """Open the realtime session; a fault is told to the caller once there is media. Never raises for one."""
        self._opened = self._clock()
        await self.offer.begin()
        await self._link.open()

    def start_media(self) -> bool:
        """Audio flows both ways. False if it did already (a re-INVITE)."""
        if self._media:
            return False
        self._media = True
        self.bridge.take()  # what came in before the answer is not for the session
        self._feed(turn.MediaReady())
        if self._fault:
            self._apologise(self._fault)
        return True

    def digit(self, digit: str) -> None:
        """The caller typed a digit."""
        self._typed(self._digits.add(digit, self._clock()))

    def say_goodbye(self, reason: str) -> None:
        """End the call politely: say the agent's goodbye, then hang up."""
        self._feed(turn.GoodbyeWanted(self.agent.goodbye, reason))

    def notice(self, text: str) -> None:
        """Tell the caller something of ours when the floor is free."""
        self._feed(turn.NoticeWanted(text))

    def hung_up(self, by: str, reason: str) -> None:
        """The call is over on the wire."""
        now = self._clock()
        outcome = self._leaving or ("completed" if self._answered is not None else "abandoned")
        if by in ("network", "error") and self._leaving is None:
            outcome = "failed"
        self.recorder.ended(now * 1000, outcome, self._reason or f"{by}: {reason}".rstrip(": "))
        self.ended.set()

    # --- paced --------------------------------------------------------------------------------------------------------

    def pump(self, now: float) -> None:
        """Send what the caller has said since the last time."""
        pcm = self.bridge.take()
        if pcm and self._media:
            self._minutes.sent_ms += len(pcm) / (2 * self.bridge.rate_hz) * 1000
            self._link.append(self._uplink.convert(pcm))

    def poll(self, now: float) -> None:
        """Look at the playout, the digits, the limits and the machine's clock."""
        changed, playing = self._playout.poll(now)
        if changed:
            self._feed(turn.PlayoutChanged(playing))
            if playing is None and self._leaving is not None and self.machine.over:
                self._end()
        if self.machine.wake is not None and self.machine.wake <= now:
            self._feed(turn.Tick())
        if now >= self._leave_by:
            self._end()
        self._typed(self._digits.poll(now))
        self._limits(now)
        if now - self._looked >= 1.0:
            self._looked = now
            self._services.metrics.callback_lateness.observe(self.bridge.worst_lateness_s())

    def broke(self) -> None:
        """A fault of ours: nothing drives this call any more, so it is hung up at once."""
        self.machine.over = True
        self._leave("failed", "internal error")

    def _limits(self, now: float) -> None:
        if self._answered is None or self.machine.over:
            return
        limits, seconds = self.agent.limits, now - self._answered
        if seconds > limits.max_call_seconds and self.machine.ending is None:
            self.say_goodbye("limit")
        elif not self._warned and seconds > limits.max_call_seconds - limits.warn_seconds > 0:
            self._warned = True
            self.notice(limits.warning)
        longest = self._link.codec.capabilities.max_session_s
        if longest is not None and now - self._opened > longest - RECYCLE_BEFORE_S and self.machine.idle:
            self._opened = now
            self._link.recycle()

    def _typed(self, digits: str | None) -> None:
        if digits is None:
            return
        text = f"The caller typed on the keypad: {digits}"
        self._entries += 1
        self._history.caller_said(f"keypad:{self._entries}", text)  # a session that is to come is told of it then
        self._link.send(self._link.codec.message("user", text))
        self._feed(turn.CallerTyped())

    # --- from the provider --------------------------------------------------------------------------------------------

    def on_provider_event(self, event: base.RealtimeEvent) -> None:
        """Take one event of the realtime session; audio goes straight to the playout."""
        if isinstance(event, base.AudioDelta):
            self._audio(event)
            return
        self._minutes.note(event)
        if isinstance(event, base.AudioDone):
            self._playout.end_item(event.item_id)
        elif isinstance(event, base.SessionReady):
            self._uplink.use(event.input_format)
            self._downlink.use(event.output_format)
        elif isinstance(event, base.ToolCallRequested):
            name, arguments = self.offer.catalog.view.unwrap(event.name, event.arguments)
            event = replace(event, name=name, arguments=arguments)
        elif isinstance(event, base.ResponseDone):
            self._take_back_unheard(event)
        elif isinstance(event, base.ConnectionLost):
            self._unheard.clear()
        elif isinstance(event, base.ProviderError) and event.fatal:
            self.fail(f"realtime provider: {event.code}: {event.message}")
        self._feed(event)

    def _audio(self, event: base.AudioDelta) -> None:
        if not self.machine.wants_audio(event.response_id):
            self._not_heard(event)
            return
        who: Who = "filler" if self.machine.fillers.speaks(event.response_id) else "agent"
        pcm = self._downlink.convert(event.item_id, event.audio)
        if self._playout.play(event.item_id, pcm, who):
            if who == "agent":
                self._minutes.agent_heard()
            self._feed(turn.AudioStarted(event.response_id, event.item_id))

    def _not_heard(self, event: base.AudioDelta) -> None:
        """Audio that came too late to be played. Where nothing of its item was, the model must not take it for said."""
        if not self._playout.known(event.item_id) and len(self._unheard) < UNHEARD:
            self._unheard[event.item_id] = event.response_id
            self._minutes.cut(event.item_id, 0, 1)

    def _take_back_unheard(self, event: base.ResponseDone) -> None:
        """Take what nobody heard of a response out of the conversation, now that no more of it comes."""
        for item_id in [item for item, response in self._unheard.items() if response == event.response_id]:
            del self._unheard[item_id]
            if event.metadata.get("purpose") != turn.Purpose.FILLER:  # a filler is no part of the conversation
                self._link.send(self._link.codec.delete_item(item_id))

    def fail(self, reason: str) -> None:
        """The session can't be had any more: the caller hears an apology, then the call ends."""
        if self._fault or self._leaving is not None:
            return
        self._fault = reason
        self._log.error("call_failed", reason=reason)
        self.recorder.error(self._clock() * 1000, reason)
        if self._media:
            self._apologise(reason)

    def _replay(self) -> list[base.Frame]:
        """What a new session has to be told: the conversation so far as text, and the calls that are open."""
        codec = self._link.codec
        frames = [codec.message(entry.role, entry.text) for entry in self._history.entries()]
        calls, view = self.machine.pending.unanswered(), self.offer.catalog.view
        wrapped = [(call.tool_call_id, *view.wrap(call.name, call.arguments)) for call in calls]
        return frames + [codec.tool_call_item(*call) for call in wrapped]

    # --- commands -----------------------------------------------------------------------------------------------------

    def _feed(self, event: object) -> None:
        machine = self.machine
        for command in machine.handle(event, self._clock()):
            # With OFFHOOK_LOG_LEVEL=debug the log says why a call went silent: what was decided, on which event.
            self._log.debug(
                "turn",
                on=type(event).__name__,
                command=type(command).__name__,
                floor=machine.floor.value,
                slot=machine.slot.state.value,
            )
            self._do(command)

    def _do(self, command: turn.Command) -> None:
        self._commands[type(command)](command)

    def _request_response(self, command: turn.RequestResponse) -> None:
        metadata = {"purpose": command.purpose.value}
        tools = () if command.instructions is not None else None  # words that are given leave nothing to call
        request = base.ResponseRequest(instructions=command.instructions, metadata=metadata, tools=tools)
        self._link.send(self._link.codec.create_response(request))

    def _cancel_response(self, command: turn.CancelResponse) -> None:
        if not is_canned(command.response_id):
            self._link.send(self._link.codec.cancel_response(command.response_id))

    def _apologise_for(self, command: turn.Apologise) -> None:
        self._reason = command.reason
        self.fail(command.reason)

    def _start_tool(self, command: turn.StartTool) -> None:
        self._asked[command.tool_call_id] = command
        self._tools.start(command)

    def _answer(self, command: turn.SendOutput) -> None:
        """Give a tool call its output."""
        self._link.send(self._link.codec.tool_output(command.tool_call_id, command.output))
        if command.output != PLACEHOLDER:
            self._keep(command.tool_call_id, command.output)

    def _keep(self, tool_call_id: str, output: str) -> None:
        """Keep a tool's answer for a session that is to come."""
        asked = self._asked.pop(tool_call_id, None)
        if asked is not None:
            self._history.tool_answered(tool_call_id, asked.name, asked.arguments, output)

    def _tell_result(self, command: turn.SendResult) -> None:
        """Tell the outcome of a call that was answered with a placeholder."""
        text = f"The result of {command.name}, which was pending ({command.tool_call_id}): {command.output}"
        self._keep(command.tool_call_id, command.output)
        self._link.send(self._link.codec.message("system", text))

    def _speak_filler(self, command: turn.SpeakFiller) -> None:
        self._services.metrics.fillers_total.inc()
        if self._canned is not None:
            self._canned.speak(command)
            return
        text = say_exactly(command.text)
        request = base.ResponseRequest(
            instructions=text, input_text=text, out_of_band=True, metadata=command.metadata, tools=()
        )
        self._link.send(self._link.codec.create_response(request))

    def _stop_playout(self, barge_in: bool) -> None:
        """Silence now; then tell the provider what of it was heard."""
        began = self._clock()
        cuts = self._playout.flush(began)
        done = self._clock()
        if barge_in and cuts:  # without any, the last of it was sent just now
            self.recorder.barge_in(began * 1000, cuts[0].heard_ms, (done - began) * 1000)
            self._services.metrics.barge_in.observe(done - began)
        codec = self._link.codec
        for cut in cuts:
            self._minutes.cut(cut.item_id, cut.heard_ms, cut.received_ms)
            if self._playout.who(cut.item_id) == "filler":
                continue
            if cut.heard_ms <= 0:
                self._link.send(codec.delete_item(cut.item_id))
            else:
                self._link.send(codec.truncate(cut.item_id, min(cut.heard_ms, cut.received_ms)))

    # --- the end ------------------------------------------------------------------------------------------------------

    def _apologise(self, reason: str) -> None:
        """Say the recorded apology; the poll that finds it played hangs up."""
        self.machine.over = True
        self._leaving, self._reason = "failed", reason
        self._leave_by = self._clock() + APOLOGY_BOUND_S
        self._playout.play_prompt(load_prompt(APOLOGY, self.bridge.rate_hz), self.agent.apology)

    def _leave(self, outcome: CallOutcome, reason: str) -> None:
        self._leaving, self._reason = outcome, reason
        self._end()

    def _end(self) -> None:
        if not self._hung_up:
            self._hung_up = True
            self._hang_up(self._reason)

    def status(self) -> dict[str, object]:
        """How the call stands, for the operator: who speaks, and what is open."""
        pending = [tool.name for tool in self.machine.pending.unanswered()]
        return {"floor": self.machine.floor.value, "response": self.machine.slot.state.value, "tools_pending": pending}

    async def close(self) -> None:
        """Give back what the call held; a tool that is not to be cancelled goes on without the caller."""
        self.offer.end()
        if self._canned is not None:
            self._canned.end()
        await self._link.close()
        await self._tools.hang_up()
