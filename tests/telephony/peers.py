"""A user agent of a few lines, for what no telephone does: it says what a test wants to have said, and no more."""

from __future__ import annotations

import re
import socket
import struct

SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"


class Peer:
    """A user agent of a few lines: it calls, answers nothing, and may send an INVITE with Replaces."""

    def __init__(self, port: int) -> None:
        self.at = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.at.bind(("127.0.0.1", 0))
        self.at.settimeout(3)
        self.audio = 0
        """Where the other side wants its audio."""
        self.port, self.here = port, self.at.getsockname()[1]

    def send(
        self,
        method: str,
        call: str,
        tag: str,
        *,
        to_tag: str = "",
        cseq: int = 1,
        more: str = "",
        kind: str = "application/sdp",
        content: str = "",
    ) -> None:
        """Send a request. kind, content: its body, where it is not the offer of an INVITE."""
        body = SDP.format(port=self.here) if method == "INVITE" else content
        to = f"<sip:427@127.0.0.1:{self.port}>" + (f";tag={to_tag}" if to_tag else "")
        self.at.sendto(
            (
                f"{method} sip:427@127.0.0.1:{self.port} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP 127.0.0.1:{self.here};branch=z9hG4bK{call[:3]}{cseq}{method}\r\n"
                f"From: <sip:a@127.0.0.1>;tag={tag}\r\nTo: {to}\r\nCall-ID: {call}\r\nCSeq: {cseq} {method}\r\n"
                f"Contact: <sip:a@127.0.0.1:{self.here}>\r\nMax-Forwards: 70\r\n{more}"
                + (f"Content-Type: {kind}\r\n" if body else "")
                + f"Content-Length: {len(body)}\r\n\r\n{body}"
            ).encode(),
            ("127.0.0.1", self.port),
        )

    def until(self, what: str) -> str:
        """The next message that begins so; others, and RTP, are passed over."""
        while True:
            text = self.at.recv(4096).decode(errors="replace")
            if re.match(what, text):
                return text

    def reports(self) -> None:
        """Send an RTCP receiver report on what we hear, to the port above that of the audio."""
        block = struct.pack("!IIIIII", self.their_ssrc(), 0, 0, 0, 0, 0)
        self.at.sendto(struct.pack("!BBHI", 0x81, 201, 7, 4711) + block, ("127.0.0.1", self.audio + 1))

    def their_ssrc(self) -> int:
        """Of the RTP that comes in."""
        while True:
            packet = self.at.recv(4096)
            if len(packet) == 172 and packet[0] == 0x80:
                return int(struct.unpack("!I", packet[8:12])[0])

    def call(self, call: str, more: str = "") -> str:
        """Set a call up; returns our tag at the other side."""
        self.send("INVITE", call, "f1", more=more)
        answer = self.until(r"SIP/2.0 200")
        found = re.search(r"^To:.*;tag=(\S+)", answer, re.M)
        audio = re.search(r"^m=audio (\d+)", answer, re.M)
        assert found is not None and audio is not None
        self.audio = int(audio[1])
        self.send("ACK", call, "f1", to_tag=found[1])
        return found[1]
