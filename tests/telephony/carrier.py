"""A carrier of a test's own: a registrar and trunk behind digest, which may fall silent or refuse at any time."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"


def header(message: str, name: str) -> str:
    found = re.search(rf"^{name}: *(.*?)\r$", message, re.M | re.I)
    return found[1] if found else ""


@dataclass
class Carrier:
    """Answers REGISTER and INVITE for one account. host: a loopback address of its own."""

    username: str = "line7"
    password: str = "sesame"
    realm: str = "carrier"
    host: str = "127.0.0.1"
    expires: int = 60
    says: str = ""
    """Status line (and headers) that each REGISTER is answered with, in place of the digest; "silent": with nothing."""
    asks_calls: bool = True
    call_realm: str = ""
    """Realm of its INVITEs' challenges; "": the same."""
    shortest: int = 0
    """Expires below this gets 423."""
    seen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.at = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.at.bind((self.host, 0))
        self.at.settimeout(0.05)
        self.port = self.at.getsockname()[1]
        self.contact = ""
        self.peer = ("", 0)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def requests(self, method: str) -> list[str]:
        return [one for one in list(self.seen) if one.startswith(f"{method} ")]

    def until(self, condition: Callable[[], object], what: str, within: float = 8.0) -> None:
        deadline = time.monotonic() + within
        while not condition():
            assert time.monotonic() < deadline, f"not within {within} s: {what}; {[one[:60] for one in self.seen]}"
            time.sleep(0.02)

    def calls(self, dialled: str, *, call: str = "in1", to: str = "") -> None:
        """Send an INVITE to the registered contact, or to `dialled` at it where none is to be used."""
        uri = self.contact if not dialled else f"sip:{dialled}@{self.peer[0]}:{self.peer[1]}"
        body = SDP.format(port=self.port)
        self.at.sendto(
            (
                f"INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {self.address};branch=z9hG4bK{call}\r\n"
                f"From: <sip:4930125@{self.host}>;tag=f{call}\r\nTo: <sip:{to or dialled}@{self.host}>\r\n"
                f"Call-ID: {call}\r\nCSeq: 1 INVITE\r\nContact: <sip:x@{self.address}>\r\nMax-Forwards: 70\r\n"
                f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            ).encode(),
            self.peer,
        )

    def close(self) -> None:
        self._over.set()
        self._thread.join(2)
        self.at.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                data, peer = self.at.recvfrom(8192)
            except OSError:
                continue
            text = data.decode(errors="replace")
            if "SIP/2.0" not in text:
                continue  # RTP
            self.seen.append(text)
            answer = getattr(self, f"_{text.split(' ', 1)[0].lower()}", None)
            if text.startswith("SIP/2.0 200") and "INVITE" in header(text, "CSeq"):
                self._ack(text, peer)
            elif answer is not None:
                answer(text, peer)

    def _register(self, request: str, peer: tuple[str, int]) -> None:
        if self.says == "silent":
            return
        if self.says:
            return self._say(request, peer, self.says)
        if not self._proves(request, "Authorization", self.realm):
            return self._say(request, peer, f"401 Unauthorized\r\nWWW-Authenticate: {self._challenge(self.realm)}")
        asked = int(header(request, "Expires") or re.findall(r"expires=(\d+)", request)[0])
        if 0 < asked < self.shortest:
            return self._say(request, peer, f"423 Interval Too Brief\r\nMin-Expires: {self.shortest}")
        contact = header(request, "Contact")
        self.contact = (re.search(r"<([^>]*)>", contact) or [""] * 2)[1]
        self.peer = peer
        granted = min(asked, max(self.expires, self.shortest))
        bare = re.sub(r";expires=\d+", "", contact)
        self._say(request, peer, f"200 OK\r\nContact: {bare};expires={granted}\r\nExpires: {granted}")

    def _invite(self, request: str, peer: tuple[str, int]) -> None:
        realm = self.call_realm or self.realm
        if self.asks_calls and not self._proves(request, "Proxy-Authorization", realm):
            challenge = f"Proxy-Authenticate: {self._challenge(realm)}"
            return self._say(request, peer, f"407 Proxy Authentication Required\r\n{challenge}")
        self._say(request, peer, f"200 OK\r\nContact: <sip:x@{self.address}>", SDP.format(port=self.port))

    def _bye(self, request: str, peer: tuple[str, int]) -> None:
        self._say(request, peer, "200 OK")

    def _ack(self, response: str, peer: tuple[str, int]) -> None:
        if not response.startswith("SIP/2.0"):
            return
        to = (re.search(r"<([^>]*)>", header(response, "Contact")) or [""] * 2)[1]
        kept = "".join(f"{name}: {header(response, name)}\r\n" for name in ("From", "To", "Call-ID"))
        kept += f"Route: {route}\r\n" if (route := header(response, "Record-Route")) else ""
        self.at.sendto(
            (
                f"ACK {to} SIP/2.0\r\nVia: SIP/2.0/UDP {self.address};branch=z9hG4bKa{len(self.seen)}\r\n{kept}"
                "CSeq: 1 ACK\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            ).encode(),
            peer,
        )

    def _say(self, request: str, peer: tuple[str, int], status: str, body: str = "") -> None:
        kept = "".join(f"{name}: {header(request, name)}\r\n" for name in ("Via", "From", "Call-ID", "CSeq"))
        to = header(request, "To") + ("" if ";tag=" in header(request, "To") else ";tag=c")
        kind = "Content-Type: application/sdp\r\n" if body else ""
        text = f"SIP/2.0 {status}\r\n{kept}To: {to}\r\n{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        self.at.sendto(text.encode(), peer)

    @staticmethod
    def _challenge(realm: str) -> str:
        return f'Digest realm="{realm}", nonce="a1b2c3d4", algorithm=MD5'

    def _proves(self, request: str, name: str, realm: str) -> bool:
        """Whether it has a digest of this account's (RFC 2617 section 3.2.2, without qop)."""
        given = dict(re.findall(r'(\w+)="([^"]*)"', header(request, name)))
        if given.get("realm") != realm or given.get("username") != self.username:
            return False
        one = hashlib.md5(f"{self.username}:{realm}:{self.password}".encode()).hexdigest()
        two = hashlib.md5(f"{request.split(' ', 1)[0]}:{given['uri']}".encode()).hexdigest()
        return given["response"] == hashlib.md5(f"{one}:{given['nonce']}:{two}".encode()).hexdigest()
