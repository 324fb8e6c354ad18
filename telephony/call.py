"""One SIP dialog with its media. Everything here runs on the pj thread."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from telephony.binding import guarded, pj
from telephony.bridge import Bridge
from telephony.dtmf import DTMF_TYPES, DigitVia, Keypad, info_key
from telephony.events import (
    CallConfirmed,
    CallEnded,
    CallEvent,
    CallProgress,
    DigitReceived,
    EndedBy,
    HandOverEnded,
    MediaActive,
    MediaHeld,
    ReferAnswered,
    ReferNotified,
)
from telephony.families import Version
from telephony.glare import Glare
from telephony.media_path import MediaPath
from telephony.parameters import audio_alone, operation, received
from telephony.port import Port
from telephony.rtp_source import RtpSource
from telephony.sip.challenge import realms_of
from telephony.sip.hand_over import HandOverRules
from telephony.sip.message import body, cseq, header, media_type
from telephony.sip.reason import q850_cause
from telephony.sip.redirect import may_follow
from telephony.trace import Trace

log = structlog.get_logger(__name__)

Post = Callable[[CallEvent], None]


class Listener(Protocol):
    """Who has something on a call's line beside its port."""

    def media_changed(self, call: SipCall) -> None:
        """Its audio was negotiated anew."""


class Partner(Listener, Protocol):
    """Who has to know of a call that is connected with another."""

    def pressed(self, call: SipCall, digit: str) -> None:
        """A key was pressed."""


class NextLegs(Protocol):
    """Who decides where a call goes on (`telephony.legs`)."""

    def referred(self, call: SipCall, refer_to: str, source: str) -> SipCall | None:
        """The leg by which a REFER is followed; None declines it."""

    def replaced_by(self, call: SipCall, source: str) -> SipCall | None:
        """The leg that an INVITE with Replaces becomes; None declines it."""

    def take_over(self, call_id: str) -> None:
        """The next leg is the call from now on."""

    def confirmed(self, leg: SipCall) -> None:
        """A leg is up."""

    def ended(self, call: SipCall) -> bool:
        """A dialog is over; whether the call goes on without it."""
        ...

    def finish(self, call_id: str) -> None:
        """The call is to end."""


class SipCall(pj.Call):  # type: ignore[misc]
    """A call of ours. The endpoint holds the only strong reference, and drops it on the pj thread."""

    def __init__(
        self,
        account: pj.Account,
        call_id: str,
        bridge: Bridge,
        port: Port,
        post: Post,
        *,
        pj_id: int | None = None,
        sip_call_id: str = "",
        source: RtpSource | None = None,
        legs: NextLegs | None = None,
        outbound: bool | None = None,
        standby: bool = False,
    ) -> None:
        """Take up an INVITE that came in (`pj_id`), or make a call that `dial` will send.

        standby: it is the next leg of a call, which goes on without it until `succeed`.
        """
        super().__init__(account, pj.PJSUA_INVALID_ID if pj_id is None else pj_id)
        self.call_id = call_id
        self.sip_call_id = sip_call_id
        self.media = MediaPath(bridge, port)
        self.ended = False
        self.version: Version = 4
        """The family of IP of its media."""
        self.trace: Trace | None = None
        """Who tells of its messages and its RTP, where somebody wants to know."""
        self.partner: Partner | None = None
        self.beeps: Listener | None = None
        self._post = post
        self._source = source
        self._keypad = Keypad()
        self._outbound = pj_id is None if outbound is None else outbound
        self._glare = Glare(owner=self._outbound)
        self.later: Callable[[float, Callable[[], None]], None] = lambda delay_s, fn: None
        """Has something done on this thread after so many s."""
        self._confirmed = False
        self.redirect_to: tuple[str, ...] = ()
        """Patterns of URIs that a 3xx may send a call of ours on to."""
        self.rules = HandOverRules()
        """Who may have this call go on elsewhere."""
        self.retired = False
        """The call goes on without this dialog."""
        self._legs = legs
        self._standby = standby
        self._is_next = standby
        self._refer_source = ""
        self._referring = False
        self._by: EndedBy | None = None
        self._cause: int | None = None

    # What the application asks for

    def reply(self, status: int, reason: str = "", headers: Mapping[str, str] | None = None) -> None:
        """Send a response to the INVITE."""
        if status >= 300:
            self._by = self._by or "agent"
            self._last_message("INVITE", f"{status} {reason}".rstrip())
        prm = operation(status, reason, headers)
        if status < 300 and hasattr(prm.opt, "textCount"):
            audio_alone(prm)  # before that version there is no text, and answers are audio alone by themselves
        self.answer(prm)

    def dial(self, uri: str, sender: str, headers: Mapping[str, str] | None = None) -> None:
        """Send our INVITE. `sender`: who we are in From."""
        prm = operation(0, "", headers, defaults=True)
        audio_alone(prm)
        prm.txOption.localUri = sender
        self.makeCall(uri, prm)
        self.sip_call_id = self.getInfo().callIdString

    def finish(self, status: int = 0, reason: str = "", by: EndedBy = "agent") -> None:
        """End the call: BYE, CANCEL or a final response, whichever its state asks for."""
        if self.ended:
            return
        self._by = self._by or by
        self._measure()  # hanging up takes the media down at once
        if self._confirmed:
            self._last_message("BYE", "BYE")
        elif self._outbound:
            self._last_message("CANCEL", "CANCEL")
        else:
            self._last_message("INVITE", f"{status or 603} {reason}".rstrip())
        if self._legs is not None and not self.retired and not self._standby:
            self._legs.finish(self.call_id)
        self.hangup(operation(status, reason))

    # As one leg of a call among others

    @property
    def outbound(self) -> bool:
        """Whether the INVITE was ours."""
        return self._outbound

    @property
    def confirmed(self) -> bool:
        """Whether it is up, or was."""
        return self._confirmed

    @property
    def ended_by_us(self) -> bool:
        """Whether it is to end because we want it to."""
        return self._by is not None

    def post(self, event: CallEvent) -> None:
        """Tell the application something of this call."""
        self._post(event)

    def retire(self) -> None:
        """Another dialog is the call from now on: this one says and hears nothing more."""
        self.retired = True
        self.media.retire(self.audio())

    def succeed(self, old: SipCall) -> None:
        """Be the call from now on, in place of that dialog."""
        self.rules, self._standby, self.beeps = old.rules, False, old.beeps
        self.media.succeed(old.media)
        self._is_next = old._confirmed or old._is_next  # else nobody has answered yet: it is a call that rings
        if self.media.flows:
            self.media.codec = None  # so that it is told
            self._connect(self.media.index)

    def send_digits(self, digits: str) -> None:
        """Send keys as RTP events (RFC 4733)."""
        self.dialDtmf(digits)

    def refer(self, uri: str) -> None:
        """Send REFER: the other side is to call this URI in our place (RFC 3515)."""
        self._referring = True
        self.xfer(f"<{uri}>", pj.CallOpParam())

    def audio(self) -> pj.AudioMedia | None:
        """The call's audio in the conference; None where none flows."""
        return self.getAudioMedia(self.media.index) if self._flows() else None

    def _flows(self) -> bool:
        return self.media.flows and not self.ended

    def silent_s(self, now: float) -> float:
        """Seconds without any RTP or RTCP from the other side; 0 while that is nothing to wonder at."""
        if not self._flows():
            self.media.nothing_due(now)
            return 0.0
        stat = self.getStreamStat(self.media.index)
        if self.trace is not None:
            self.trace.measured(stat)
        rtcp = stat.rtcp
        # A muted telephone that sends no RTP is there as long as its receiver reports come (RFC 3550 section 6.4.2).
        return self.media.silent_s(rtcp.rxStat.pkt + rtcp.txStat.updateCount, now)

    # What the library tells

    @guarded
    def onCallState(self, prm: pj.OnCallStateParam) -> None:
        """The dialog moved on."""
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            message = received(prm.e)
            self._cause = q850_cause(message)
            if info.lastStatusCode in (401, 407) and self._outbound and (realms := realms_of(message)):
                log.warning("password_not_given", call_id=self.call_id, realms=realms)
            self._disconnected(info)
        elif info.state == pj.PJSIP_INV_STATE_CONFIRMED and not self._confirmed:
            self._confirmed = True
            if self.trace is not None:
                self.trace.acknowledged(self.sip_call_id, sent=self._outbound)
            if self._source is not None:
                self._source.reopen()
            if self._is_next and self._legs is not None:
                self._legs.confirmed(self)
            else:
                self._post(CallConfirmed(self.call_id))
        elif self._is_next:
            self.sip_call_id = self.sip_call_id or info.callIdString
        elif self._outbound and 100 <= info.lastStatusCode < 200:
            early = media_type(received(prm.e)) == "application/sdp"
            self._post(CallProgress(self.call_id, info.lastStatusCode, info.lastReason, early))

    def _measure(self) -> None:
        """Tell of the RTP once more, before the media goes."""
        if self.trace is not None and self._flows():
            with contextlib.suppress(pj.Error):  # it has gone already
                self.trace.measured(self.getStreamStat(self.media.index))

    def _last_message(self, method: str, line: str, *, sent: bool = True) -> None:
        """Tell of what ends the call: of its transaction the library tells nothing any more."""
        if self.trace is not None:
            self.trace.told(sent=sent, line=line, method=method, sip_call_id=self.sip_call_id)

    def lost(self) -> None:
        """The library ended the call without a word: seen after offers that fail while they are answered."""
        self._end(500, "Lost by the SIP library", "error")

    def give_up(self) -> None:
        """The endpoint stops, and the other side has not answered our BYE in time."""
        self._end(408, "No answer to BYE", self._by or "network")

    def _disconnected(self, info: pj.CallInfo) -> None:
        if self._by is None and not self._confirmed and info.lastStatusCode >= 300:
            self._last_message("INVITE", f"{info.lastStatusCode} {info.lastReason}", sent=not self._outbound)
        by = self._by or ended_by(info.lastStatusCode, self._outbound, self._confirmed)
        self._end(info.lastStatusCode, info.lastReason, by)

    def _end(self, status: int, reason: str, by: EndedBy) -> None:
        if self.ended:
            return
        self.ended = True
        if self._legs is not None and self._legs.ended(self):
            if self._standby:
                self._post(HandOverEnded(self.call_id, "refer" if self._outbound else "replaces", status))
            return
        self.media.end()
        if faults := self.media.port.faults:
            log.error("port_callback_failed", call_id=self.call_id, times=faults)
        foreign = 0 if self._source is None else self._source.foreign_packets()
        if foreign:
            log.warning("rtp_of_strangers", call_id=self.call_id, packets=foreign)
        self._post(CallEnded(self.call_id, status, reason, by, foreign, self._cause))

    @guarded
    def onCreateMediaTransport(self, prm: pj.OnCreateMediaTransportParam) -> None:
        """The call gets its sockets."""
        if self._source is not None:
            self._source.guard(prm)

    @guarded
    def onStreamCreated(self, prm: pj.OnStreamCreatedParam) -> None:
        """A stream was made, and is not in the conference yet."""
        self.media.splice(prm)

    @guarded
    def onCallMediaState(self, prm: pj.OnCallMediaStateParam) -> None:
        """Media was negotiated: at the answer, and again at each re-INVITE."""
        if self.ended or self.retired:
            return
        info = self.getInfo()  # held: SWIG's members point into it, and do not keep it alive
        media = info.media
        audio = [i for i in range(len(media)) if media[i].type == pj.PJMEDIA_TYPE_AUDIO]
        live = [i for i in audio if media[i].status == pj.PJSUA_CALL_MEDIA_ACTIVE]
        if live:
            self._connect(live[0])
        elif audio and self.media.codec is not None and self.media.hold(self):
            self._post(MediaHeld(self.call_id, True))

    @guarded
    def onStreamDestroyed(self, prm: pj.OnStreamDestroyedParam) -> None:
        """The media goes: at the other side's BYE, or for a new offer."""
        self._measure()

    def _connect(self, index: int) -> None:
        if self._standby:  # what comes before the answer is for nobody: the call is elsewhere still
            self.media.note(self, index)
            return
        resumed, new = self.media.connect(self, index)
        if resumed:
            self._post(MediaHeld(self.call_id, False))
        if new and self.media.codec is not None:
            self._post(MediaActive(self.call_id, *self.media.codec))
        for listener in (self.partner, self.beeps):
            if listener is not None:
                listener.media_changed(self)

    def join(self, partner: Partner) -> None:
        """Be connected with another call from now on, in the conference: what is carried past it comes back to it."""
        self.partner = partner
        self.mix()

    def mix(self) -> None:
        """Be heard with others' sound from now on (another call, beeps), which only the conference does: at 8 kHz."""
        self.media.mix(self.audio())

    @guarded
    def onDtmfDigit(self, prm: pj.OnDtmfDigitParam) -> None:
        """A key by RTP event. Those by INFO are read out of the message: the library takes 10 (*) for 1."""
        if prm.method != pj.PJSUA_DTMF_METHOD_SIP_INFO:
            self._pressed(prm.digit.upper(), "rtp")

    @guarded
    def onCallTsxState(self, prm: pj.OnCallTsxStateParam) -> None:
        """A transaction inside the dialog. INFO comes here on a build that doesn't ask us what to say (see door)."""
        change = prm.e.body.tsxState
        if self.trace is not None:
            self.trace.changed(change, self.sip_call_id)
        if change.tsx.method == "REFER":
            if change.tsx.role == pj.PJSIP_ROLE_UAC:
                self._refer_moved(change.tsx)
            elif change.type == pj.PJSIP_EVENT_RX_MSG:
                self._refer_source = change.src.rdata.srcAddress
        if change.tsx.method in ("INVITE", "UPDATE") and self._confirmed:
            self._offer_moved(change.tsx)
        if change.tsx.method != "INFO" or change.tsx.role != pj.PJSIP_ROLE_UAS:
            return
        if change.tsx.state != pj.PJSIP_TSX_STATE_TRYING or change.type != pj.PJSIP_EVENT_RX_MSG:
            return
        message = change.src.rdata.wholeMsg
        kind = media_type(message)
        if kind in DTMF_TYPES:
            self.take_info(message, info_key(kind, body(message)) or None)

    def _offer_moved(self, tsx: pj.SipTransaction) -> None:
        """An offer in mid call, of either side, has its answer. The library makes some, to refresh a session."""
        if tsx.state not in (pj.PJSIP_TSX_STATE_COMPLETED, pj.PJSIP_TSX_STATE_TERMINATED):
            return
        if tsx.statusCode // 100 == 2:
            self._glare.settled()
        elif tsx.statusCode == 491 and tsx.role == pj.PJSIP_ROLE_UAC and tsx.state == pj.PJSIP_TSX_STATE_COMPLETED:
            self._offer_later()

    def _offer_later(self) -> None:
        if (again := self._glare.refused()) is None:
            log.warning("offer_given_up", call_id=self.call_id)
            return
        number, wait = again
        self.later(wait, lambda: self._offer_again(number))

    def _offer_again(self, number: int) -> None:
        if self.ended or self.retired or self._by is not None or not self._glare.due(number):
            return
        prm = pj.CallOpParam(True)
        audio_alone(prm)
        try:
            self.reinvite(prm)
        except pj.Error:  # an offer is under way again, or the dialog ends
            self._offer_later()

    def _refer_moved(self, tsx: pj.SipTransaction) -> None:
        over = tsx.state in (pj.PJSIP_TSX_STATE_COMPLETED, pj.PJSIP_TSX_STATE_TERMINATED)
        if (
            over and self._referring and tsx.statusCode not in (401, 407)
        ):  # asked for a password, the library sends it again
            self._referring = False
            self._post(ReferAnswered(self.call_id, tsx.statusCode, tsx.statusText))

    @guarded
    def onCallTransferStatus(self, prm: pj.OnCallTransferStatusParam) -> None:
        """A NOTIFY of the other side's call to whom we referred it."""
        prm.cont = not prm.finalNotify
        self._post(ReferNotified(self.call_id, prm.statusCode, prm.reason, bool(prm.finalNotify)))

    def take_info(self, message: str, digit: str | None) -> None:
        """An INFO that was answered, with the key in it."""
        if self._keypad.new_info(cseq(message)) and digit:
            self._pressed(digit, "info")

    def _pressed(self, digit: str, via: DigitVia) -> None:
        if self._keypad.pressed(digit, via, time.monotonic()):
            self._post(DigitReceived(self.call_id, digit, via))
            if self.partner is not None:
                self.partner.pressed(self, digit)

    @guarded
    def onCallTransferRequest(self, prm: pj.OnCallTransferRequestParam) -> None:
        """REFER: declined unless a list allows it, or any caller could have us dial any number."""
        prm.statusCode = 603
        leg = None if self._legs is None else self._legs.referred(self, prm.dstUri, self._refer_source)
        if leg is not None:
            audio_alone(prm)
            prm.newCall = leg
            prm.statusCode = 202

    @guarded
    def onCallReplaceRequest(self, prm: pj.OnCallReplaceRequestParam) -> None:
        """INVITE with Replaces: declined unless a list allows it, or a stranger could take over a call."""
        prm.statusCode = 603
        leg = None if self._legs is None else self._legs.replaced_by(self, prm.rdata.srcAddress)
        if leg is not None:
            leg.sip_call_id = header(prm.rdata.wholeMsg, "Call-ID")
            audio_alone(prm)
            prm.newCall = leg
            prm.statusCode = 200

    def onCallRedirected(self, prm: pj.OnCallRedirectedParam) -> int:
        """3xx: on to the first target that a list of the operator's has; else the call has failed with that status."""
        try:
            if may_follow(str(prm.targetUri), received(prm.e), self.redirect_to):
                log.info("redirected", call_id=self.call_id)
                return int(pj.PJSIP_REDIRECT_ACCEPT)
        except Exception:  # C++ frames lie below
            log.exception("sip_callback_failed", callback="onCallRedirected")
        return int(pj.PJSIP_REDIRECT_REJECT)

    @guarded
    def onCallReplaced(self, prm: pj.OnCallReplacedParam) -> None:
        """The INVITE with Replaces is about to be answered, and this dialog to end."""
        if self._legs is not None:
            self._legs.take_over(self.call_id)


def ended_by(status: int, outbound: bool, confirmed: bool) -> EndedBy:
    """Who ended a call that we did not end ourselves, by its last status."""
    if status == 200 or status == 487 and not outbound:
        return "caller"  # BYE; CANCEL
    if status in (408, 503) or confirmed:
        return "network"  # no answer, or a dialog that died under way
    return "caller" if outbound else "error"
