"""Tells of a call's SIP messages and of its RTP, from what the library hands out anyhow. On the pj thread only."""

from __future__ import annotations

import time
from collections.abc import Callable

from telephony.binding import pj
from telephony.events import RtpReport, SipMessage
from telephony.sip.ladder import shown

__all__ = ["Trace"]

APART_S = 1.0
"""The end of a call is told of by more than one function of the library."""


class Trace:
    """One call's. `post` gets frozen events."""

    def __init__(self, call_id: str, post: Callable[[SipMessage | RtpReport], None]) -> None:
        self._call_id = call_id
        self._post = post
        self._measured_at = 0.0

    def told(self, *, sent: bool, line: str, method: str, sip_call_id: str) -> None:
        """A message went out or came in, just now."""
        self._post(SipMessage(self._call_id, time.monotonic(), sent, line, method, sip_call_id))

    def invited(self, message: str, sip_call_id: str) -> None:
        """The INVITE that began the call came in."""
        self.told(sent=False, line=shown(message), method="INVITE", sip_call_id=sip_call_id)

    def changed(self, change: pj.TsxStateEvent, sip_call_id: str) -> None:
        """A transaction of the dialog moved on: by a message, or by a timer, of which nothing is told."""
        method = str(change.tsx.method)
        if change.type == pj.PJSIP_EVENT_RX_MSG:
            line, sent = shown(change.src.rdata.wholeMsg), False
        elif change.type == pj.PJSIP_EVENT_TX_MSG:
            line, sent = shown(change.src.tdata.wholeMsg, hide_user=method != "INVITE"), True
        else:
            return
        if line:
            self.told(sent=sent, line=line, method=method, sip_call_id=sip_call_id)

    def acknowledged(self, sip_call_id: str, *, sent: bool) -> None:
        """The ACK of a 200, which is no transaction (RFC 3261 section 17)."""
        self.told(sent=sent, line="ACK", method="ACK", sip_call_id=sip_call_id)

    def at_the_door(self, method: str, message: str, status: int) -> None:
        """A request in the dialog that we answered by ourselves (`telephony.door`)."""
        self.told(sent=False, line=shown(message), method=method, sip_call_id="")
        self.told(sent=True, line=str(status), method=method, sip_call_id="")

    def measured(self, stat: pj.StreamStat) -> None:
        """The library was asked for the stream's statistics."""
        now = time.monotonic()
        if now - self._measured_at < APART_S:
            return
        self._measured_at = now
        rtcp = stat.rtcp
        came, went, there = rtcp.rxStat, rtcp.txStat, bool(rtcp.txStat.updateCount)
        self._post(
            RtpReport(
                call_id=self._call_id,
                at_s=now,
                received=came.pkt,
                lost=came.loss,
                discarded=came.discard,
                jitter_ms=_last_ms(came.jitterUsec),
                buffer_ms=float(stat.jbuf.avgDelayMsec),
                sent=went.pkt,
                their_lost=went.loss if there else None,
                their_jitter_ms=_last_ms(went.jitterUsec) if there else None,
                round_trip_ms=_last_ms(rtcp.rttUsec) if rtcp.rttUsec.n else None,
            )
        )


def _last_ms(stat: pj.MathStat) -> float:
    return float(round(stat.last / 1000, 2))
