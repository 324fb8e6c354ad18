"""A telephone that notes when each SIP message and each audible packet comes: either end of a call, on UDP.

It answers what it has to by itself. `on_request` may answer in its place; what it sends as audio is a loud tone, or
silence.
"""

from __future__ import annotations

import re
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rig import sip
from rig.sip import Dialog, Message

LOUD, QUIET = bytes([0x20, 0xA0]) * 80, b"\xff" * 160
"""Frames of mu-law."""
SILENT = {0xFF, 0x7F, 0xFE, 0x7E}
STEP_S = 0.02
KEYS = "0123456789*#"


@dataclass
class Telephone:
    """One call at a time. All times are of time.monotonic()."""

    on_request: Callable[[Telephone, Message], bool] = lambda telephone, message: False
    requests: list[tuple[float, Message]] = field(default_factory=list)
    responses: list[tuple[float, Message]] = field(default_factory=list)
    heard: list[tuple[float, str]] = field(default_factory=list)
    """Each packet: when, and what was heard in it: "" nothing, "voice" another telephone, "sound" anything else."""
    loud: bool = False

    def __post_init__(self) -> None:
        self.signal, self.audio = _udp(), _udp()
        self.port, self.rtp_port = self.signal.getsockname()[1], self.audio.getsockname()[1]
        self.dialog: Dialog | None = None
        self._peer: tuple[str, int] | None = None
        self._sip_peer: tuple[str, int] | None = None
        self._sequence = 0
        self._event = "101"
        self._quit = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    # --- what it does

    def dial(self, port: int) -> None:
        """Call a worker."""
        self._sip_peer = ("127.0.0.1", port)
        self.dialog = Dialog(f"427@127.0.0.1:{port}", self.port, self.rtp_port)
        self.send(self.dialog.invite())

    def pick_up(self, invite: Message) -> None:
        """Answer a call."""
        self._peer = sip.media_address(invite.body)
        offered = re.search(r"a=rtpmap:(\d+) telephone-event", invite.body)
        self._event = offered[1] if offered else self._event  # the offer's number is the one to send with
        sdp = f"v=0\r\no=bench 1 1 IN IP4 {sip.OWN}\r\ns=-\r\nc=IN IP4 {sip.OWN}\r\nt=0 0\r\n"
        sdp += f"m=audio {self.rtp_port} RTP/AVP 0 {self._event}\r\na=rtpmap:{self._event} telephone-event/8000\r\n"
        self.send(self.answer(invite, "200 OK", sdp))

    def answer(self, request: Message, status: str, body: str = "") -> bytes:
        """A response of ours."""
        lines = [f"SIP/2.0 {status}"]
        for name in ("Via", "From", "To", "Call-ID", "CSeq"):
            lines += [f"{name}: {value}" for value in request.headers.get(name.lower(), [])]
        if "tag=" not in request.one("to"):
            lines = [line + ";tag=bench" if line.startswith("To:") else line for line in lines]
        lines.append(f"Contact: <sip:bench@{sip.OWN}:{self.port}>")
        lines += ["Content-Type: application/sdp"] if body else []
        return ("\r\n".join([*lines, f"Content-Length: {len(body)}"]) + "\r\n\r\n" + body).encode()

    def send(self, data: bytes) -> None:
        """Send a message to whom it talks with."""
        assert self._sip_peer is not None
        self.signal.sendto(data, self._sip_peer)

    def press(self, key: str) -> float:
        """Press a key (RFC 4733); returns when."""
        began, stamp = time.monotonic(), self._sequence * 160
        for step in range(1, 6):
            body = bytes([KEYS.index(key), (0x80 if step > 2 else 0) | 10]) + (160 * step).to_bytes(2, "big")
            self._rtp(int(self._event), body, stamp)
            time.sleep(STEP_S)
        return began

    def wait(self, found: Callable[[], object], within: float = 30.0) -> None:
        """Wait until it is so."""
        give_up = time.monotonic() + within
        while not found():
            if time.monotonic() > give_up:
                raise TimeoutError(f"{[message.first for _, message in self.requests + self.responses][-5:]}")
            time.sleep(0.002)

    def when(self, method: str) -> float:
        """When the first request of that method came, once it has."""
        self.wait(lambda: any(message.method == method for _, message in list(self.requests)))
        return next(at for at, message in self.requests if message.method == method)

    def last_heard(self, before: float) -> float:
        """When the last audible packet before that came."""
        return max(at for at, what in self.heard if what and at < before)

    def first_heard(self, what: str, after: float) -> float:
        """When the first packet with this in it came after that, once it has."""
        self.wait(lambda: any(found == what and at > after for at, found in list(self.heard)))
        return next(at for at, found in self.heard if found == what and at > after)

    def close(self) -> None:
        """Be gone."""
        self._quit.set()
        self._thread.join(2)
        self.signal.close()
        self.audio.close()

    # --- what comes

    def _run(self) -> None:
        due = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(self.signal, selectors.EVENT_READ)
            selector.register(self.audio, selectors.EVENT_READ)
            while not self._quit.is_set():
                for key, _ in selector.select(max(0.0, due - time.monotonic())):
                    data, source = key.fileobj.recvfrom(65535)  # type: ignore[union-attr]
                    self._heard(data) if key.fileobj is self.audio else self._said(data, source)
                while due <= time.monotonic():
                    due += STEP_S
                    self._rtp(0, LOUD if self.loud else QUIET, self._sequence * 160)

    def _heard(self, data: bytes) -> None:
        if data[1] & 0x7F == 0:
            pcmu = data[12:]
            turns = sum((one ^ two) >> 7 for one, two in zip(pcmu, pcmu[1:], strict=False))
            loud = not set(pcmu) <= SILENT
            self.heard.append((time.monotonic(), "" if not loud else "voice" if turns > len(pcmu) * 0.7 else "sound"))

    def _said(self, data: bytes, source: tuple[str, int]) -> None:
        message, now = sip.parse(data), time.monotonic()
        if message is None:
            return
        self._sip_peer = source
        if message.status:
            self.responses.append((now, message))
            if message.method == "INVITE" and message.status >= 200 and self.dialog is not None:
                self.dialog.answered(message)
                self._peer = sip.media_address(message.body)
                self.send(self.dialog.ack(message))
            return
        if any(message.one("cseq") == known.one("cseq") for _, known in self.requests):
            return  # sent again
        self.requests.append((now, message))
        if not self.on_request(self, message) and message.method != "ACK":
            self.send(self.answer(message, "200 OK"))

    def _rtp(self, payload_type: int, payload: bytes, stamp: int) -> None:
        if self._peer is None:
            return
        self._sequence = self._sequence + 1 & 0xFFFF
        head = bytes([0x80, payload_type]) + self._sequence.to_bytes(2, "big") + (stamp & 0xFFFFFFFF).to_bytes(4, "big")
        self.audio.sendto(head + b"phne" + payload, self._peer)


def _udp() -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.bind((sip.OWN, 0))
    return found
