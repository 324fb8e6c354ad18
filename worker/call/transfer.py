"""The transfers of one call: carries out what `telephony.transfer` decides, and tells model, record, metrics and log.

A transfer is a tool call of the model's. Where it does not come about the model gets its outcome and goes on talking;
where it does, the call is over for the agent: it has ended (REFER), or goes on between two people.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from telephony import events as phone
from telephony import transfer as way
from telephony.bridge import Bridge
from telephony.errors import TelephonyError
from worker.call.consult import KEYS, caller_gone_words
from worker.call.info import PhoneLine
from worker.call.transfer_promise import TransferPromises
from worker.call_tools.transfer import Target, Wanted, not_accepted, ringing_words, wanted
from worker.records.record import AnsweredBy, TransferRecord
from worker.records.telemetry import CallInfo, Telemetry
from worker.turns.events import StartTool, ToolProgress

__all__ = ["Lines", "MakeSecond", "SecondLine", "Seconds", "Transfers"]

EVENTS = 64
"""Of one transfer, that wait to be looked at. What a peer sends beyond that is left out: time passes all the same."""


class SecondLine(Protocol):
    """A call of ours to a target."""

    info: CallInfo
    watch: Callable[[phone.CallEvent], None]

    @property
    def answered_by(self) -> AnsweredBy | None:
        """Who answered it, as far as it is known."""
        ...

    def step_aside(self, reason: str) -> None:
        """The agent says and hears nothing on it any more."""

    def say_goodbye(self, reason: str, words: str | None = None) -> None:
        """Say goodbye, then hang up."""


MakeSecond = Callable[[CallInfo, Bridge, Callable[[str], None]], Any]
"""Makes the session of a second line: of its call, its bridge, and what hangs it up."""


class Seconds(Protocol):
    """Makes the sessions of second lines."""

    def silent(self, info: CallInfo, line: PhoneLine) -> SecondLine:
        """Nobody speaks on it but those who are connected."""

    def asking(self, info: CallInfo, line: PhoneLine, wanted: Wanted, decided: Callable[[bool], None]) -> SecondLine:
        """Whoever answers is told who waits; decided: gets whether they take the call."""


class Lines(Protocol):
    """What a call may ask of the telephone beside its own line. All raise TelephonyError where it can't be done."""

    @property
    def takes_refer(self) -> bool:
        """Whether the caller's side may take REFER, by all that is known."""
        ...

    def refer(self, uri: str) -> Awaitable[None]:
        """Send REFER."""

    def dial(self, uri: str, make: MakeSecond, account: str | None = None) -> Awaitable[SecondLine]:
        """Dial on a second line. account: the one to dial by; None: that of the URI's host, or of the call."""

    def join(self, line_id: str) -> Awaitable[None]:
        """Let the caller and the second line hear each other."""

    def hang_up(self, line_id: str) -> None:
        """End the second line, if it is up."""

    def send_digits(self, digits: str) -> Awaitable[None]:
        """Press keys on this call's line."""


class Transfers:
    """One call's transfers, one at a time. `attach` it before it is used."""

    def __init__(
        self,
        call: Telemetry,
        targets: Sequence[Target],
        seconds: Seconds,
        language: str,
        promises: TransferPromises | None = None,
    ) -> None:
        """targets: to whom this caller may be handed on. promises: what they are offered where nobody takes it."""
        self.lines: Lines | None = None
        self._call = call
        self._targets = targets
        self._seconds = seconds
        self._promises = promises
        self._language = language
        self._leave: Callable[[str], None] = lambda reason: None
        self._step_aside: Callable[[str], None] = lambda reason: None
        self._feed: Callable[[object], None] = lambda event: None
        self._attempt: _Attempt | None = None
        self._no_refer = False
        """The caller's side has refused it, or did not answer."""

    def attach(
        self, leave: Callable[[str], None], step_aside: Callable[[str], None], feed: Callable[[object], None]
    ) -> None:
        """leave: hangs the call up. step_aside: the agent leaves it to others. feed: gives an event to the machine."""
        self._leave, self._step_aside, self._feed = leave, step_aside, feed

    def on_phone(self, event: phone.CallEvent) -> None:
        """Take an event of the call that may be handed on."""
        if self._attempt is not None:
            self._attempt.on_first(event)

    async def answer(self, command: StartTool) -> dict[str, Any] | None:
        """Return the output of a call of the function; None where nobody is there any more who would hear it."""
        found = wanted(command.arguments, self._targets)
        if found.target is None:
            return {"status": "invalid", "error": found.fault}
        if self.lines is None or self._attempt is not None:
            return not_accepted("failed", found.target.label, 0)
        target, attended = found.target, found.way == "attended"
        refer = not attended and target.refer and self.lines.takes_refer and not self._no_refer
        plan = way.Plan(uri=target.uri, refer=refer, ring_s=target.ring_s, attended=attended, brief_s=target.brief_s)
        began, rings = self._call.clock(), ToolProgress(command.tool_call_id, ringing_words(self._language))
        gone = caller_gone_words(self._language)
        attempt = self._attempt = _Attempt(self._call, self.lines, plan, gone, lambda: self._feed(rings))
        attempt.account = target.account
        attempt.make = lambda info, line: self._second(attempt, found, info, line)
        self._call.log.info("transfer", to=target.label, way=found.way, refer=refer)
        try:
            ended = await attempt.run()
        finally:
            self._attempt = None
        self._no_refer = self._no_refer or (refer and ended.means == "bridge")
        self._told(found, began, attempt, ended)
        if ended.outcome == "accepted":
            if self._promises is not None:
                await self._promises.taken()
            self._handed_on(f"transferred to {found.target.label}", attempt, ended)
        if ended.outcome in ("accepted", "hung_up"):
            return None
        output = not_accepted(ended.outcome, found.target.label, ended.status)
        return output if self._promises is None else self._promises.missed(command.tool_call_id, found, output)

    def _second(self, attempt: _Attempt, found: Wanted, call: CallInfo, line: PhoneLine) -> SecondLine:
        first = self._call.info
        info = replace(
            first,
            call_id=call.call_id,
            dialled=call.dialled,
            facts=replace(first.facts, account=call.facts.account),
            outbound=True,
            calls_back=None,
            second_line_of=first.call_id,
        )
        if found.way == "attended":
            return self._seconds.asking(info, line, found, attempt.decided)
        return self._seconds.silent(info, line)

    def _told(self, found: Wanted, began: float, attempt: _Attempt, ended: way.Ended) -> None:
        assert found.target is not None
        call, took_ms = self._call, round((self._call.clock() - began) * 1000)
        call.metrics.transfers_total.labels(ended.means, ended.outcome).inc()
        call.recorder.transferred(
            began * 1000,
            TransferRecord(
                to=found.target.label,
                way=found.way,
                means=ended.means,
                outcome=ended.outcome,
                sip_status=ended.status or None,
                took_ms=took_ms,
                second_line=attempt.line_id,
            ),
        )
        call.log.info(
            "transfer_ended",
            to=found.target.label,
            means=ended.means,
            outcome=ended.outcome,
            sip_status=ended.status,
            took_ms=took_ms,
            second_line=attempt.line_id,
        )

    def _handed_on(self, reason: str, attempt: _Attempt, ended: way.Ended) -> None:
        if ended.means == "refer":
            self._leave(reason)
            return
        self._step_aside(reason)
        if attempt.line is not None:
            attempt.line.step_aside(reason)


class _Attempt:
    """One transfer under way."""

    def __init__(self, call: Telemetry, lines: Lines, plan: way.Plan, gone: str, rings: Callable[[], None]) -> None:
        """gone: what is said on the second line where the caller hangs up. rings: the target rings."""
        self.line: SecondLine | None = None
        self.make: Callable[[CallInfo, PhoneLine], SecondLine]
        self.account: str | None = None
        """That a second line is to go by."""
        self._call = call
        self._lines = lines
        self._machine = way.Transfer(plan)
        self._gone = gone
        self._rings = rings
        self._events: asyncio.Queue[way.Event] = asyncio.Queue(EVENTS)
        self._confirmed = self._media = False
        self._drops = True

    @property
    def line_id(self) -> str | None:
        """The id of the second line, where there was one."""
        return None if self.line is None else self.line.info.call_id

    async def run(self) -> way.Ended:
        """See it through."""
        clock = self._call.clock
        commands = self._machine.start(clock())
        try:
            while True:
                for command in commands:
                    if isinstance(command, way.Ended):
                        self._drops = self._drops and command.outcome != "accepted"
                        return command
                    await self._do(command)
                commands = self._machine.handle(await self._next(), clock())
        finally:
            if self._drops:
                self._drop()

    def decided(self, taken: bool) -> None:
        """The target says whether they take the call."""
        self._put(way.Taken() if taken else way.Declined())

    def on_first(self, event: phone.CallEvent) -> None:
        """Take an event of the call that is handed on."""
        match event:
            case phone.ReferAnswered():
                self._put(way.ReferAnswer(event.status))
            case phone.ReferNotified():
                self._put(way.Notified(event.status, event.final))
            case phone.CallEnded():
                self._put(way.CallerGone())
            case _:
                pass

    def _on_second(self, event: phone.CallEvent) -> None:
        match event:
            case phone.CallProgress() if event.status > 100:
                self._put(way.LineRings())
            case phone.CallConfirmed():
                self._confirmed = True
            case phone.MediaActive():
                self._media = True
            case phone.DigitReceived() if event.digit in KEYS:
                self.decided(KEYS[event.digit])
            case phone.CallEnded():
                by = None if self.line is None else self.line.answered_by
                self._put(
                    way.LineEnded(event.status, event.by == "agent", by == "machine", by == "silence", event.cause)
                )
            case _:
                pass
        if isinstance(event, phone.CallConfirmed | phone.MediaActive) and self._confirmed and self._media:
            self._put(way.LineUp())

    def _put(self, event: way.Event) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._events.put_nowait(event)

    async def _next(self) -> way.Event:
        wake = self._machine.wake
        try:
            async with asyncio.timeout(None if wake is None else max(0.0, wake - self._call.clock())):
                return await self._events.get()
        except TimeoutError:
            return way.Tick()

    async def _do(self, command: way.Command) -> None:
        try:
            match command:
                case way.SendRefer():
                    await self._lines.refer(command.uri)
                case way.Dial():
                    self.line = await self._lines.dial(command.uri, self._made, self.account)
                case way.Connect() if self.line is not None:
                    await self._lines.join(self.line.info.call_id)
                    self._put(way.Connected())
                case way.Ringing():
                    self._rings()
                case way.DropLine():
                    self._drop()
                case way.Dismiss() if self.line is not None:
                    self._drops = False
                    self.line.say_goodbye("transfer", self._gone if command.gone else None)
                case _:
                    pass
        except (TelephonyError, OSError) as error:
            self._call.log.warning("transfer_step_failed", step=type(command).__name__, reason=str(error))
            self._put(way.Unable())

    def _made(self, call: CallInfo, bridge: Bridge, hang_up: Callable[[str], None]) -> Any:
        line = self.make(call, PhoneLine(bridge, hang_up))
        line.watch = self._on_second
        return line

    def _drop(self) -> None:
        if self.line is not None:
            self._lines.hang_up(self.line.info.call_id)
