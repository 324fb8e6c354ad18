"""The shell of one call: events go into the turn machine, its commands come out, audio passes by.

Everything here runs on the event loop and nothing here waits: what does (the realtime link, tools) is a task of its
own and comes back as an event.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import structlog

from telephony.bridge import Bridge
from tools.catalog import Catalog, ToolRequest
from tools.outcome import Outcome, failure
from worker import turn_events as turn
from worker.agent import Agent
from worker.digits import DigitBuffer
from worker.link import Link
from worker.metrics import Metrics
from worker.minutes import Minutes
from worker.playout import Playout
from worker.realtime import base
from worker.realtime.history import History
from worker.records import CallOutcome, Recorder, Who
from worker.sounds import APOLOGY, load_prompt
from worker.turns import TurnMachine, say_exactly
from worker.voice import Downlink, Uplink

__all__ = ["CallInfo", "CallSession", "Services"]

log = structlog.get_logger(__name__)

RECYCLE_BEFORE_S = 300.0
"""A session is replaced so long before the provider's limit, as soon as nobody speaks and nothing is open."""
APOLOGY_BOUND_S = 15.0
"""The apology takes 6 s. Where its playout stands still (a held call), the call ends without it."""
UNHEARD = 64
"""Items of responses in flight that may be kept in mind."""
CLOSE_REASONS: dict[str, CallOutcome] = {"drain": "drained", "limit": "limit", "agent": "completed"}


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
        self._playout = Playout(bridge, recorder)
        self._uplink = Uplink(bridge.rate_hz, link.input_format)
        self._downlink = Downlink(bridge.rate_hz, link.output_format)
        self._digits = DigitBuffer()
        self._history = History()
        self._tasks: set[asyncio.Task[None]] = set()
        self._answered: float | None = None
        self._opened = 0.0
        self._media = False
        self._asked: dict[str, turn.StartTool] = {}
        self._unheard: dict[str, str] = {}
        self._entries = 0
        self._leaving: CallOutcome | None = None
        self._leave_by = float("inf")
        self._hung_up = False
        self._reason = ""
        self._fault = ""
        self._log = log.bind(call_id=info.call_id)
        self._minutes = Minutes(recorder, self._history, self._playout, services.metrics, self._log, self._clock)
        link.attach(self.on_provider_event, self._replay, self.fail)

    # --- from the telephone -------------------------------------------------------------------------------------------

    def answered(self) -> None:
        """200 was sent: the record's zero."""
        self._answered = self._clock()
        self.recorder.answered(self._answered * 1000)

    async def open(self) -> None:
        """Open the realtime session; a fault is told to the caller once there is media. Never raises for one."""
        self._opened = self._clock()
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

    def broke(self) -> None:
        """A fault of ours: nothing drives this call any more, so it is hung up at once."""
        self.machine.over = True
        self._leave("failed", "internal error")

    def _limits(self, now: float) -> None:
        if self._answered is None or self.machine.over:
            return
        if now - self._answered > self.agent.limits.max_call_seconds and self.machine.ending is None:
            self.say_goodbye("limit")
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
        calls = self.machine.pending.unanswered()
        return frames + [codec.tool_call_item(call.tool_call_id, call.name, call.arguments) for call in calls]

    # --- commands -----------------------------------------------------------------------------------------------------

    def _feed(self, event: object) -> None:
        for command in self.machine.handle(event, self._clock()):
            self._do(command)

    def _do(self, command: turn.Command) -> None:
        codec, link = self._link.codec, self._link
        match command:
            case turn.StartTool():
                self._asked[command.tool_call_id] = command
                self._spawn(self._run_tool(command))
            case turn.SendOutput():
                self._answer(command)
            case turn.RequestResponse():
                metadata = {"purpose": command.purpose.value}
                request = base.ResponseRequest(instructions=command.instructions, metadata=metadata)
                link.send(codec.create_response(request))
            case turn.SpeakFiller():
                link.send(codec.create_response(self._filler(command)))
                self._services.metrics.fillers_total.inc()
            case turn.PlayTone():
                self._playout.play_tone()
            case turn.CancelResponse():
                link.send(codec.cancel_response(command.response_id))
            case turn.StopPlayout():
                self._stop_playout(command.barge_in)
            case turn.Apologise():
                self._reason = command.reason
                self.fail(command.reason)
            case turn.HangUp():
                self._leave(CLOSE_REASONS.get(command.reason, "completed"), command.reason)

    def _answer(self, command: turn.SendOutput) -> None:
        """Give a tool call its output, and keep it for a session that is to come."""
        self._link.send(self._link.codec.tool_output(command.tool_call_id, command.output))
        asked = self._asked.pop(command.tool_call_id, None)
        if asked is not None:
            self._history.tool_answered(asked.tool_call_id, asked.name, asked.arguments, command.output)

    @staticmethod
    def _filler(command: turn.SpeakFiller) -> base.ResponseRequest:
        text = say_exactly(command.text)
        return base.ResponseRequest(
            instructions=text, input_text=text, out_of_band=True, metadata=command.metadata, tools=()
        )

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

    async def _run_tool(self, command: turn.StartTool) -> None:
        """Run one tool call to its outcome; tells the record, the metrics and the machine."""
        spec = self._services.catalog.spec(command.name)
        mode = self._mode(command.name)
        name = command.name if spec is not None else "(unknown)"
        info = self.info
        self.recorder.tool_call_started(self._clock() * 1000, command.tool_call_id, command.name, mode)
        self._log.info("tool_call", tool=name, tool_call_id=command.tool_call_id, mode=mode)
        request = ToolRequest(
            call_id=info.call_id,
            tool_call_id=command.tool_call_id,
            name=command.name,
            arguments=command.arguments,
            caller=info.caller,
            dialled=info.dialled,
        )
        try:
            outcome = await self._services.catalog.run(request, on_started=self._job_known)
        except Exception:  # a bug of ours: the model gets its answer all the same
            self._log.exception("tool_call_broke", tool=name, tool_call_id=command.tool_call_id)
            outcome = failure("failed", detail="a bug in offhook; see the log")
        self._tool_finished(name, command.tool_call_id, outcome)

    def _job_known(self, request: ToolRequest, job_id: str | None) -> None:
        mode = self._mode(request.name)
        self.recorder.tool_call_started(self._clock() * 1000, request.tool_call_id, request.name, mode, job_id)

    def _mode(self, tool: str) -> str:
        spec = self._services.catalog.spec(tool)
        return "inline" if spec is None else self._services.catalog.mode_of(spec)

    def _tool_finished(self, name: str, tool_call_id: str, outcome: Outcome) -> None:
        metrics = self._services.metrics
        metrics.tool_calls_total.labels(name, outcome.status).inc()
        if outcome.wait_ms is not None:
            metrics.tool_wait.labels(name).observe(outcome.wait_ms / 1000)
        if outcome.run_ms is not None:
            metrics.tool_run.labels(name).observe(outcome.run_ms / 1000)
        self.recorder.tool_call_finished(
            self._clock() * 1000,
            tool_call_id,
            outcome.status,
            job_id=outcome.job_id,
            wait_ms=outcome.wait_ms,
            run_ms=outcome.run_ms,
        )
        level = self._log.info if outcome.status == "ok" else self._log.warning
        level("tool_outcome", tool=name, tool_call_id=tool_call_id, status=outcome.status, detail=outcome.detail)
        self._feed(turn.ToolFinished(tool_call_id, outcome.output))

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

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give back what the call held; a tool that is not to be cancelled goes on without the caller."""
        await self._link.close()
        left = await self._services.catalog.hang_up(self.info.call_id)
        for request in left:
            self._log.info("tool_goes_on", tool=request.name, tool_call_id=request.tool_call_id)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
