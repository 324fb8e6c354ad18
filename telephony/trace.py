"""Tells of a call's SIP messages and of its RTP, from what the library hands out anyhow. On the pj thread only."""

from __future__ import annotations

import time
from collections.abc import Callable

from telephony.binding import pj
from telephony.events import RtpReport, SipMessage
from telephony.sip.head import head as head_of
from telephony.sip.head import reconstructed
from telephony.sip.ladder import shown

__all__ = ["Trace"]

APART_S = 1.0
"""The end of a call is told of by more than one function of the library."""


class Trace:
    """One call's. `post` gets frozen events."""

    def __init__(self, call_id: str, post: Callable[[SipMessage | RtpReport], None], *, heads: bool = False) -> None:
        """heads: messages are told with their headers (`telephony.sip.head`)."""
        self._call_id = call_id
        self._post = post
        self._heads = heads
        self._measured_at = 0.0
        self._peer = ""
        self._invite = ""
        """The head of the INVITE, or of the last answer to it: it has both tags."""
        self._incoming = self._private = self._confirmed = False

    def told(self, *, sent: bool, line: str, method: str, sip_call_id: str, head: str = "") -> None:
        """A message went out or came in, just now. head: "" where the library does not hand it out."""
        if self._heads:
            if not head:
                ours = method == "BYE" and self._incoming == sent and not line[:1].isdigit()
                head = reconstructed(line, method, self._invite, swapped=ours)
            elif method == "INVITE" and not self._confirmed:
                self._invite = head
        self._post(SipMessage(self._call_id, time.monotonic(), sent, line, method, sip_call_id, head, self._peer))

    def invited(self, message: str, sip_call_id: str, source: str, *, private: bool) -> None:
        """The INVITE that began the call came in. private: the caller wants to be known to nobody."""
        self._incoming, self._private, self._peer = True, private, source
        self.told(sent=False, line=shown(message), method="INVITE", sip_call_id=sip_call_id, head=self._head(message))

    def changed(self, change: pj.TsxStateEvent, sip_call_id: str) -> None:
        """A transaction of the dialog moved on: by a message, or by a timer, of which nothing is told."""
        method = str(change.tsx.method)
        if change.type == pj.PJSIP_EVENT_RX_MSG:
            data, hide, sent = change.src.rdata, False, False
            self._peer = data.srcAddress or self._peer
        elif change.type == pj.PJSIP_EVENT_TX_MSG:
            data, hide, sent = change.src.tdata, method != "INVITE", True
            self._peer = data.dstAddress or self._peer
        else:
            return
        message = data.wholeMsg
        if line := shown(message, hide_user=hide):
            head = self._head(message, hide_target=hide)
            self.told(sent=sent, line=line, method=method, sip_call_id=sip_call_id, head=head)

    def _head(self, message: str, *, hide_target: bool = False) -> str:
        return head_of(message, private=self._private, hide_target=hide_target) if self._heads else ""

    def acknowledged(self, sip_call_id: str, *, sent: bool) -> None:
        """The ACK of a 200, which is no transaction (RFC 3261 section 17)."""
        self.told(sent=sent, line="ACK", method="ACK", sip_call_id=sip_call_id)
        self._confirmed = True

    def at_the_door(self, method: str, message: str, status: int, sip_call_id: str) -> None:
        """A request in the dialog that we answered by ourselves (`telephony.door`)."""
        head, line = self._head(message), str(status)
        self.told(sent=False, line=shown(message), method=method, sip_call_id=sip_call_id, head=head)
        answer = reconstructed(line, method, head)
        self.told(sent=True, line=line, method=method, sip_call_id=sip_call_id, head=answer)

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
