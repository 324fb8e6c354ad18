"""Just enough SIP for a caller (RFC 3261): messages made and read as text. Pure."""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass, field

OWN = "127.0.0.1"


@dataclass(slots=True)
class Message:
    """A request or response that was received."""

    first: str
    headers: dict[str, list[str]]
    body: str

    @property
    def status(self) -> int:
        """Of a response; 0 for a request."""
        return int(self.first.split()[1]) if self.first.startswith("SIP/2.0") else 0

    @property
    def method(self) -> str:
        """Of a request, or of the request that this answers."""
        return self.one("cseq").split()[-1] if self.status else self.first.split()[0]

    def one(self, name: str) -> str:
        """The first header of that name, "" without one."""
        return self.headers.get(name, [""])[0]


def parse(data: bytes) -> Message | None:
    """Read a datagram; None for a keep-alive."""
    head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    if not first.strip("\0 "):
        return None
    headers: dict[str, list[str]] = {}
    short = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length"}
    for line in lines:
        name, _, value = line.partition(":")
        name = name.strip().lower()
        headers.setdefault(short.get(name, name), []).append(value.strip())
    return Message(first, headers, body)


def media_address(body: str) -> tuple[str, int]:
    """Where an SDP wants the audio."""
    address, port = OWN, 0
    for line in body.splitlines():
        if line.startswith("c=IN IP4 "):
            address = line.split()[2]
        elif line.startswith("m=audio "):
            port = int(line.split()[1])
    return address, port


def crypto_key(body: str) -> bytes:
    """The key and salt with which the other side's SDP says that it encrypts; empty: it does not."""
    for line in body.splitlines():
        if line.startswith("a=crypto:"):
            return base64.b64decode(line.partition("inline:")[2].partition("|")[0])
    return b""


class Stream:
    """Messages out of a stream, such as a TLS connection's (RFC 3261 section 18.3)."""

    def __init__(self) -> None:
        self._rest = b""

    def fed(self, data: bytes) -> list[Message]:
        """The messages that are complete now."""
        self._rest += data
        found = []
        while True:
            self._rest = self._rest.lstrip(b"\r\n")  # keep-alives
            head, end, body = self._rest.partition(b"\r\n\r\n")
            message = parse(head + end) if end else None
            if message is None or len(body) < (length := int(message.one("content-length") or 0)):
                return found
            message.body, self._rest = body[:length].decode("utf-8", "replace"), body[length:]
            found.append(message)


def response_200(request: Message) -> bytes:
    """Answer a request of the other side's within the dialog."""
    lines = ["SIP/2.0 200 OK"]
    for name in ("Via", "From", "To", "Call-ID", "CSeq"):
        lines += [f"{name}: {value}" for value in request.headers.get(name.lower(), [])]
    return ("\r\n".join([*lines, "Content-Length: 0"]) + "\r\n\r\n").encode()


@dataclass(slots=True)
class Dialog:
    """One call of ours."""

    target: str
    """user@host:port"""
    sip_port: int
    rtp_port: int
    call_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    tag: str = field(default_factory=lambda: uuid.uuid4().hex[:10])
    branch: str = field(default_factory=lambda: "z9hG4bK" + uuid.uuid4().hex[:12])
    to: str = ""
    contact: str = ""
    sequence: int = 1
    transport: str = "UDP"
    """Or TCP, TLS."""
    crypto: str = ""
    """Our key of SRTP, as a=crypto has it (RFC 4568); empty: RTP in clear."""

    def _request(self, method: str, uri: str, sequence: int, branch: str, body: str = "") -> bytes:
        way = "" if self.transport == "UDP" else f";transport={self.transport.lower()}"
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/{self.transport} {OWN}:{self.sip_port};branch={branch};rport",
            "Max-Forwards: 70",
            f"From: <sip:bench@{OWN}:{self.sip_port}>;tag={self.tag}",
            f"To: {self.to or f'<sip:{self.target}>'}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {sequence} {method}",
            f"Contact: <sip:bench@{OWN}:{self.sip_port}{way}>",
        ]
        if body:
            lines.append("Content-Type: application/sdp")
        return ("\r\n".join([*lines, f"Content-Length: {len(body)}"]) + "\r\n\r\n" + body).encode()

    def invite(self) -> bytes:
        """The INVITE with PCMU on offer."""
        lines = [
            "v=0",
            f"o=bench 1 1 IN IP4 {OWN}",
            "s=-",
            f"c=IN IP4 {OWN}",
            "t=0 0",
            f"m=audio {self.rtp_port} {'RTP/SAVP' if self.crypto else 'RTP/AVP'} 0 101",
            *([f"a=crypto:1 {self.crypto}"] if self.crypto else []),
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:101 telephone-event/8000",
            "a=ptime:20",
            "a=sendrecv",
        ]
        body = "".join(line + "\r\n" for line in lines)
        return self._request("INVITE", f"sip:{self.target}", 1, self.branch, body)

    def answered(self, response: Message) -> None:
        """Keep the other side's tag and contact."""
        self.to = response.one("to")
        contact = response.one("contact")
        self.contact = contact.partition("<")[2].partition(">")[0] or f"sip:{self.target}"

    def ack(self, response: Message) -> bytes:
        """The ACK of a final response: in the INVITE's transaction where it failed (17.1.1.3)."""
        if response.status < 300:
            return self._request("ACK", self.contact, 1, "z9hG4bK" + uuid.uuid4().hex[:12])
        self.to = response.one("to")
        return self._request("ACK", f"sip:{self.target}", 1, self.branch)

    def bye(self) -> bytes:
        """Hang up; each time the same request, for retransmission."""
        return self._request("BYE", self.contact, 2, self.branch + "b")
