"""The calls in progress: each from its INVITE to its record. On the event loop only."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import structlog

from telephony import announce
from telephony import events as phone
from telephony.bridge import Bridge
from telephony.endpoint import Endpoint
from telephony.recording import StereoRecorder
from telephony.sip.facts import InviteFacts
from worker.call.session import CallInfo, CallSession
from worker.call_tools.approvals import Told
from worker.records.metrics import Metrics
from worker.records.record import CallRecord, Observer
from worker.service.call_files import CallFiles
from worker.service.lines import CallLines
from worker.service.pacer import Pacer

__all__ = ["LiveCall", "MakeSession", "Switchboard"]

log = structlog.get_logger(__name__)

GOODBYE_S = 20.0
"""After the drain's bound: time for the spoken goodbyes before the calls are cut."""
CUT_S = 2.0
DRAIN_RECORDINGS_S = 0.5
EARLY_EVENTS = 64
"""Events of calls that we make may come before their session: a few per call that is being dialled."""

MakeSession = Callable[[CallInfo, Bridge, Callable[[str], None]], CallSession]
"""Makes a session of who calls whom, the bridge, and what hangs up."""
Observe = Callable[[CallSession], Observer | None]


@dataclass(slots=True)
class LiveCall:
    """A call in progress, and what belongs to it."""

    session: CallSession
    outbound: bool
    started: float
    sip_call_id: str = ""
    codec: str = ""
    confirmed: bool = False
    media: bool = False
    recording: StereoRecorder | None = None
    task: asyncio.Task[None] | None = None


class Switchboard:
    """Takes the endpoint's events, gives every call a session and sees it through."""

    def __init__(
        self,
        endpoint: Endpoint,
        pacer: Pacer,
        metrics: Metrics,
        make_session: MakeSession,
        *,
        answer_s: float,
        files: CallFiles,
        observe: Observe,
        refuse: Callable[[], int | None] = lambda: None,
        finished: Callable[[CallSession, CallRecord], Awaitable[None]] | None = None,
    ) -> None:
        """`refuse` says of a new call whether it is refused, and after how many s it may try again.

        `files` keeps what calls leave on the disk; `finished` is told of every call that is over.
        """
        self._endpoint = endpoint
        self._pacer = pacer
        self._metrics = metrics
        self._make_session = make_session
        self._answer_s = answer_s
        self._files = files
        self._observe = observe
        self._refuse = refuse
        self._finished = finished
        self._calls: dict[str, LiveCall] = {}
        self._early: deque[tuple[str, phone.CallEvent]] = deque(maxlen=EARLY_EVENTS)
        self._dials = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def coming(self) -> int:
        """Calls in progress whose audio does not flow yet."""
        return sum(not (call.confirmed and call.media) for call in self._calls.values())

    # --- the endpoint's events ----------------------------------------------------------------------------------------

    def on_event(self, event: phone.CallEvent) -> None:
        """Take one event of the endpoint."""
        match event:
            case phone.IncomingCall():
                self._incoming(event)
            case phone.RegistrationChanged():
                self._metrics.registered(event.account, event.registered)
                tell = log.info if event.registered else log.warning
                which = {"account": event.account} if event.account else {}
                tell("registration", registered=event.registered, status=event.status, reason=event.reason, **which)
            case phone.CallRefused():
                self._refused(event.why)
                log.warning(
                    "call_refused", status=event.status, reason=event.reason, source=event.source, why=event.why
                )
            case _:
                call = self._calls.get(event.call_id)
                if call is not None:
                    self._on_call(call, event)
                elif self._dials:
                    self._early.append((event.call_id, event))

    def _incoming(self, event: phone.IncomingCall) -> None:
        retry_after_s = self._refuse()
        if retry_after_s is None:
            info = CallInfo(event.call_id, event.caller, event.dialled, private=event.private, facts=event.facts)
            self._begin(info, event.bridge, event.sip_call_id, takes_refer=event.takes_refer)
            return
        self._refused("backlog")
        log.warning("call_refused", status=503, reason="backlog", call_id=event.call_id, retry_after_s=retry_after_s)
        # Marked for the caller: a proxy would try the other workers, whose queue is the same.
        headers = {"Retry-After": str(retry_after_s), announce.REFUSED: "backlog"}
        self._endpoint.answer(event.call_id, 503, headers=headers)

    def _refused(self, why: str) -> None:
        self._metrics.calls_total.labels("rejected").inc()
        self._metrics.calls_refused_total.labels(why).inc()

    def _on_call(self, call: LiveCall, event: phone.CallEvent) -> None:
        call.session.phoned(event)
        match event:
            case phone.CallConfirmed():
                call.confirmed = True
                call.session.answered()
                self._media(call)
            case phone.MediaActive():
                call.codec, call.media = event.codec, True
                self._media(call)
            case phone.DigitReceived():
                call.session.digit(event.digit)
            case phone.SipMessage():
                if not call.sip_call_id:  # of a call that we make
                    call.sip_call_id = call.session.recorder.sip_call_id = event.sip_call_id
            case phone.MediaHeld():
                log.info("held" if event.held else "resumed", call_id=event.call_id)
            case phone.HandOverEnded():
                call.session.handed_over(event.means, event.status)
            case phone.CallEnded():
                self._metrics.rtp_foreign_packets_total.inc(event.foreign_packets)
                call.session.hung_up(event.by, f"{event.status} {event.reason}".strip())
            case _:
                pass
        call.session.watch(event)

    def _media(self, call: LiveCall) -> None:
        if call.confirmed and call.media:
            call.session.start_media()

    # --- one call -----------------------------------------------------------------------------------------------------

    async def dial(
        self,
        uri: str,
        make: MakeSession | None = None,
        headers: Mapping[str, str] | None = None,
        caller_id: str | None = None,
        account: str | None = None,
        made_for: str | None = None,
    ) -> CallSession:
        """Call somebody; the agent speaks once they answer. Raises SipRequestError for a URI that can't be called.

        make: makes the session, where it is not to be one as any other. headers: of the INVITE. caller_id: the number
        that we call from. account: the one to call by. made_for: the account of the call that this one is made for.
        """
        self._dials += 1
        try:
            call_id = await asyncio.wrap_future(
                self._endpoint.invite(uri, headers=headers, caller_id=caller_id, account=account, made_for=made_for)
            )
            bridge = self._endpoint.bridge(call_id)
            if bridge is None:
                raise ConnectionError(f"{uri}: the call ended before it began")
            facts = InviteFacts(account=self._endpoint.account_of(call_id))
            info = CallInfo(call_id, "", uri, outbound=True, facts=facts)
            session = self._begin(info, bridge, "", outbound=True, make=make)
            for early_id, event in tuple(self._early):
                if early_id == call_id:
                    self.on_event(event)
        finally:
            self._dials -= 1
            if not self._dials:
                self._early.clear()
        return session

    def _begin(
        self,
        info: CallInfo,
        bridge: Bridge,
        sip_call_id: str,
        *,
        outbound: bool = False,
        make: MakeSession | None = None,
        takes_refer: bool = True,
    ) -> CallSession:
        call_id, made = info.call_id, make or self._make_session
        session = made(info, bridge, lambda reason: self.hang_up(call_id))
        session.use_lines(
            CallLines(call_id, self._endpoint, self.dial, self.hang_up, takes_refer, info.facts.account or None)
        )
        observer = self._observe(session)
        if observer is not None:
            session.recorder.subscribe(observer)
        call = LiveCall(session, outbound, time.monotonic(), sip_call_id)
        session.recorder.sip_call_id = sip_call_id
        if session.agent.recording.enabled and (recording := self._files.recorder_of(call_id, bridge)) is not None:
            call.recording = recording
            session.recording.use(recording)
            session.recording.beep = lambda seconds: self._beep(call_id, seconds)
        self._calls[call_id] = call
        self._idle.clear()
        self._metrics.calls_active.set(len(self._calls))
        second = {"second_line_of": first} if (first := session.info.second_line_of) else {}
        log.info(
            "call",
            call_id=call_id,
            sip_call_id=sip_call_id,
            caller=info.shown,
            dialled=info.dialled,
            **second,
            **_account(info),
        )
        if (rules := session.agent.refer.rules) is not None:
            self._endpoint.permit(call_id, rules)
        self._pacer.add(session)
        call.task = asyncio.get_running_loop().create_task(self._see_through(call))
        return session

    async def _see_through(self, call: LiveCall) -> None:
        """Ring, open the realtime session, answer, wait for the end, write the record."""
        call_id, session = call.session.info.call_id, call.session
        try:
            if not call.outbound:
                self._endpoint.answer(call_id, 180)
            opened = asyncio.create_task(session.open())
            ended = asyncio.create_task(session.ended.wait())
            bound = None if call.outbound else self._answer_s
            await asyncio.wait({opened, ended}, timeout=bound, return_when=asyncio.FIRST_COMPLETED)
            if not call.outbound and not ended.done():
                # With a session or without: the caller never waits in dead air for longer than the bound.
                self._endpoint.answer(call_id, 200)
            await ended
            opened.cancel()
        except Exception:
            log.exception("call_broke", call_id=call_id)
            self.hang_up(call_id)
        finally:
            await self._finish(call)

    async def _finish(self, call: LiveCall) -> None:
        """Give back what the call held. It counts until its record is written, so that no drain ends before."""
        call_id = call.session.info.call_id
        self._pacer.remove(call.session)
        try:
            await self._close(call)
        except Exception:
            log.exception("call_not_closed", call_id=call_id)
        finally:
            del self._calls[call_id]
            self._metrics.calls_active.set(len(self._calls))
            if not self._calls:
                self._idle.set()

    async def _close(self, call: LiveCall) -> None:
        session, call_id = call.session, call.session.info.call_id
        await session.end_tools()  # before the record, which tells of them; it waits for no Redis that is away
        record = session.recorder.ended(time.monotonic() * 1000, "failed", "internal error")
        self._metrics.calls_total.labels(record.outcome).inc()
        self._metrics.playout_underruns_total.inc(session.bridge.underruns)
        log.info(
            "call_ended",
            call_id=call_id,
            outcome=record.outcome,
            reason=record.reason,
            duration_ms=record.duration_ms,
            tool_calls=len(record.tool_calls),
            underruns=session.bridge.underruns,
            dropped_in_frames=session.bridge.dropped_in_frames,
            errors=record.errors,
        )
        try:
            await self._files.finish(call_id, record, call.recording)
            if self._finished is not None:
                await self._finished(session, record)
        finally:
            await session.close()

    def hang_up(self, call_id: str) -> None:
        """End a call, whatever its state; one that is over is left alone."""
        if call_id in self._calls:
            self._endpoint.hang_up(call_id)

    def _beep(self, call_id: str, seconds: float) -> None:
        """Let the caller hear that the call is recorded, each so many seconds; 0: no more."""

        def told(done: Future[None]) -> None:
            if not done.cancelled() and (error := done.exception()) is not None:
                log.warning("beeps_not_set", call_id=call_id, reason=str(error))

        self._endpoint.beep(call_id, seconds).add_done_callback(told)

    def session(self, call_id: str) -> CallSession | None:
        """Return the session of a call in progress; None where there is none of that id."""
        call = self._calls.get(call_id)
        return None if call is None else call.session

    def sessions(self) -> Sequence[CallSession]:
        """Return the sessions of all calls in progress."""
        return [call.session for call in self._calls.values()]

    # --- all calls ----------------------------------------------------------------------------------------------------

    async def drain(self, bound_s: float) -> None:
        """Wait for the calls to end by themselves; past the bound say goodbye in those left, then cut them."""
        if await self.all_ended(bound_s):
            return
        for call in tuple(self._calls.values()):
            call.session.say_goodbye("drain")
        if await self.all_ended(GOODBYE_S):
            return
        log.warning("calls_cut", calls=len(self._calls))
        for call_id in tuple(self._calls):
            self.hang_up(call_id)
        await self.all_ended(CUT_S)

    async def all_ended(self, bound_s: float) -> bool:
        """Wait until no call is in progress, at most so long; whether there is none."""
        try:
            async with asyncio.timeout(bound_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def drain_recordings(self) -> None:
        """Move recorded audio to disk until cancelled."""
        while True:
            await asyncio.sleep(DRAIN_RECORDINGS_S)
            recordings = [(id_, call.recording) for id_, call in self._calls.items() if call.recording is not None]
            await self._files.drain(recordings)

    def status(self) -> Sequence[Mapping[str, object]]:
        """The calls in progress, for the operator."""
        now = time.monotonic()
        return [
            {
                "call_id": call_id,
                "sip_call_id": call.sip_call_id,
                "caller": call.session.info.shown,
                "dialled": call.session.info.dialled,
                **_account(call.session.info),
                "seconds": round(now - call.started, 1),
                "codec": call.codec,
                "underruns": call.session.bridge.underruns,
                **call.session.status(),
            }
            for call_id, call in self._calls.items()
        ]

    def approvals(self, call_id: str) -> Sequence[Mapping[str, object]] | None:
        """What waits for an operator in a call; None for an unknown one."""
        call = self._calls.get(call_id)
        return None if call is None else call.session.approvals.waiting()

    def approve(self, call_id: str, number: int, approved: bool, who: str) -> Told:
        """Take an operator's answer."""
        call = self._calls.get(call_id)
        return "unknown" if call is None else call.session.approvals.answer(number, approved, who)


def _account(info: CallInfo) -> dict[str, str]:
    """By which account a call came or goes; nothing where there is one alone."""
    return {"account": info.facts.account} if info.facts.account else {}
