"""What a capture server is told of the telephone's events: each SIP message, and each direction's RTP. Pure."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from telephony.events import CallEnded, CallEvent, RtpReport, SipMessage
from worker.records.edges import Edge
from worker.records.hep import NOWHERE, RTP_AGENT, SIP, TCP, UDP, Address, Capture, address_of, report
from worker.records.line_quality import span_of

__all__ = ["Captures"]

MOST = 4096
"""Calls that are known at once, the latest: one whose end nobody tells of fills no memory."""
_VIA = re.compile(r"^Via: SIP/2\.0/(\w+)", re.M)


@dataclass(slots=True)
class _Call:
    sip_call_id: str
    peer: Address = NOWHERE
    over: int = UDP
    before: Edge | None = None
    """The last report."""


class Captures:
    """One worker's."""

    def __init__(self) -> None:
        self._calls: OrderedDict[str, _Call] = OrderedDict()

    def of(self, event: CallEvent, at: float, local: Address) -> Iterator[Capture]:
        """Yield what is told of an event. at: when it was, as a Unix time (s). local: our address."""
        match event:
            case SipMessage() if event.head:
                yield self._message(event, at, local)
            case RtpReport() if (call := self._calls.get(event.call_id)) is not None:
                yield from _reports(call, event, at, local)
            case CallEnded():
                self._calls.pop(event.call_id, None)
            case _:
                pass

    def _message(self, event: SipMessage, at: float, local: Address) -> Capture:
        call = self._calls.get(event.call_id) or _Call(event.sip_call_id)
        if event.method == "INVITE" and event.call_id not in self._calls:
            self._calls[event.call_id] = call
            if len(self._calls) > MOST:
                self._calls.popitem(last=False)
        call.sip_call_id = event.sip_call_id or call.sip_call_id
        if event.peer:
            call.peer = address_of(event.peer)
        if (via := _VIA.search(event.head)) is not None:
            call.over = UDP if via[1].upper() == "UDP" else TCP
        source, target = (local, call.peer) if event.sent else (call.peer, local)
        return Capture(SIP, event.head.encode("utf-8", "replace"), at, source, target, call.sip_call_id, call.over)


def _reports(call: _Call, event: RtpReport, at: float, local: Address) -> Iterator[Capture]:
    now = Edge.model_construct(ms=0, at="", kind="rtp", what="RtpReport", data=asdict(event))
    span, call.before = span_of(call.before, now), now
    for ours in (False, True):
        source, target = (local, call.peer) if ours else (call.peer, local)
        payload = report(span, at, call.sip_call_id, source, target, ours=ours)
        if payload is not None:
            yield Capture(RTP_AGENT, payload, at, source, target, call.sip_call_id)
