"""The library's parameter objects: what a call is asked for, and the message that moved it on. On the pj thread."""

from __future__ import annotations

from collections.abc import Mapping

from telephony.binding import pj


def received(event: pj.SipEvent) -> str:
    """The message that moved a dialog on; "" where it was none, but a timer or one of ours."""
    if event.type != pj.PJSIP_EVENT_TSX_STATE:
        return str(event.body.rxMsg.rdata.wholeMsg) if event.type == pj.PJSIP_EVENT_RX_MSG else ""
    change = event.body.tsxState
    return str(change.src.rdata.wholeMsg) if change.type == pj.PJSIP_EVENT_RX_MSG else ""


def operation(
    status: int, reason: str = "", headers: Mapping[str, str] | None = None, *, defaults: bool = False
) -> pj.CallOpParam:
    """The library's parameter object for answer, hangup and makeCall."""
    prm = pj.CallOpParam(defaults)
    prm.statusCode = status
    prm.reason = reason
    for name, value in (headers or {}).items():
        header = pj.SipHeader()
        header.hName, header.hValue = name, value
        prm.txOption.headers.push_back(header)
    return prm


def audio_alone(prm: pj.CallOpParam | pj.OnCallTransferRequestParam | pj.OnCallReplaceRequestParam) -> None:
    """Neither offer nor take anything but audio: since 2.16 the library has real-time text (T.140) by default."""
    prm.opt.audioCount, prm.opt.videoCount = 1, 0
    if hasattr(prm.opt, "textCount"):
        prm.opt.textCount = 0
