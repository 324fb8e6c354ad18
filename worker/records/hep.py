"""HEP3, by which capture agents tell a Homer of SIP messages and of a line's quality. Pure.

The format is that of "HEP3 Network Protocol Specification" (sipcapture, revision 37; EEP): `HEP3`, the length of all in
16 bits, then chunks of vendor (0: generic), type, length of the whole chunk, and body, all big-endian. Messages have
protocol type 1. Reports of RTP have type 34, whose body is JSON with the names that Homer's own agents use.
"""

from __future__ import annotations

import ipaddress
import json
import struct
from dataclasses import dataclass

from worker.records.line_quality import Span

__all__ = ["RTP_AGENT", "SIP", "Capture", "address_of", "packet", "report"]

SIP, RTP_AGENT = 1, 34
UDP, TCP = 17, 6
"""IP protocol numbers. TLS is TCP."""
IPV4, IPV6 = 2, 10
LONGEST = 0xFFFF - 1024
"""Bytes of a payload: the whole fits in a datagram and in its 16 bits of length."""

Address = tuple[str, int]
"""IP address and port."""
NOWHERE: Address = ("0.0.0.0", 0)


@dataclass(frozen=True, slots=True)
class Capture:
    """One thing that is told: `source` has sent it to `target` at the Unix time `at` (s)."""

    kind: int
    """SIP or RTP_AGENT."""
    payload: bytes
    at: float
    source: Address
    target: Address
    correlation: str
    """The SIP Call-ID."""
    over: int = UDP


def packet(capture: Capture, agent: int, password: str | None = None) -> bytes:
    """Return the datagram. agent: our number as a capture agent (32 bits). password: in clear, as the format has it."""
    source, target = _pair(capture.source[0], capture.target[0])
    four = source.version == 4
    seconds, micros = divmod(round(capture.at * 1_000_000), 1_000_000)
    chunks = [
        _chunk(0x01, bytes((IPV4 if four else IPV6,))),
        _chunk(0x02, bytes((capture.over,))),
        _chunk(0x03 if four else 0x05, source.packed),
        _chunk(0x04 if four else 0x06, target.packed),
        _chunk(0x07, struct.pack("!H", capture.source[1])),
        _chunk(0x08, struct.pack("!H", capture.target[1])),
        _chunk(0x09, struct.pack("!I", seconds)),
        _chunk(0x0A, struct.pack("!I", micros)),
        _chunk(0x0B, bytes((capture.kind,))),
        _chunk(0x0C, struct.pack("!I", agent)),
    ]
    if password:
        chunks.append(_chunk(0x0E, password.encode()))
    if capture.correlation:
        chunks.append(_chunk(0x11, capture.correlation.encode("utf-8", "replace")[:256]))
    chunks.append(_chunk(0x0F, capture.payload[:LONGEST]))
    body = b"".join(chunks)
    return struct.pack("!4sH", b"HEP3", 6 + len(body)) + body


def _chunk(kind: int, body: bytes) -> bytes:
    return struct.pack("!HHH", 0, kind, 6 + len(body)) + body


Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def _pair(source: str, target: str) -> tuple[Ip, Ip]:
    """Both of one family: a datagram has one."""
    one, other = _ip(source), _ip(target)
    if one.version == other.version:
        return one, other
    return (one, ipaddress.ip_address("::")) if one.version == 6 else (ipaddress.ip_address("::"), other)


def _ip(text: str) -> Ip:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return ipaddress.ip_address(NOWHERE[0])


def address_of(text: str) -> Address:
    """Return IP address and port of host:port ([host]:port); `NOWHERE` for what is none."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
        number = int(port)
    except ValueError:
        return NOWHERE
    return (host, number) if 0 <= number <= 65535 else NOWHERE


def report(span: Span, at: float, sip_call_id: str, source: Address, target: Address, *, ours: bool) -> bytes | None:
    """Return the payload of a report on one direction of a call's RTP; None where nothing is known of it.

    ours: of what we sent, by the other side's RTCP; else of what came to us, lost or too late. MOS is that of
    `telephony.quality`, and left out where no packet came. source, target: of the signalling, since the media's are
    not told.
    """
    packets, lost, mos = (span.sent, span.their_lost, span.their_mos) if ours else (span.received, span.lost, span.mos)
    if lost is None or not (span.received or span.sent):
        return None
    trip = span.round_trip_ms
    body = {
        "CORRELATION_ID": sip_call_id,
        "RTP_SIP_CALL_ID": sip_call_id,
        "REPORT_TS": round(at, 3),
        "TOTAL_PK": packets,
        "PACKET_LOSS": lost,
        **({} if ours else {"JITTER": span.jitter_ms, "MEAN_JITTER": span.jitter_ms, "MAX_JITTER": span.jitter_ms}),
        **({} if trip is None else {"RTT": trip}),
        **({} if mos is None else {"MOS": mos, "MEAN_MOS": mos, "MIN_MOS": mos}),
        "SRC_IP": source[0],
        "SRC_PORT": source[1],
        "DST_IP": target[0],
        "DST_PORT": target[1],
        "DIR": int(ours),
        "REPORT_NAME": "agent to caller" if ours else "caller to agent",
        "TYPE": "PERIODIC",
    }
    return json.dumps(body).encode()
