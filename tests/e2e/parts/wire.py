"""What goes over the wire: sipp for signalling, RTP sockets that see every packet, a network that loses some."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from parts.program import BOUND_S, until

from telephony.g711 import alaw_decode, alaw_encode, ulaw_decode, ulaw_encode
from tests.sipp.run import SippRun

PCMU, PCMA, G722, EVENT = 0, 8, 9, 101
RTPMAP = {PCMU: "PCMU/8000", PCMA: "PCMA/8000", G722: "G722/8000"}
DIGITS = "0123456789*#ABCD"


def udp_socket() -> socket.socket:
    """A UDP socket on any free port of loopback."""
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.bind(("127.0.0.1", 0))
    found.settimeout(0.1)
    return found


class Sipp(SippRun):
    """A run of sipp with a scene of tests/sipp: one call."""

    def __init__(self, scene: str, target: str, folder: Path, *options: str, payload: int = PCMU, **keys: Any) -> None:
        if not shutil.which("sipp"):
            pytest.skip("sipp is not installed (Debian: sip-tester)")
        own = ["-timeout", "50s", "-m", "1", "-d", str(keys.pop("hold_ms", 300)), *options]
        found = {"payload": payload, "rtpmap": RTPMAP[payload], "rtp": 9, **keys}
        super().__init__(scene, target, folder, own, found)

    def finish(self, within: float = BOUND_S) -> None:
        """Wait for its end; fails unless the call went by the scene."""
        super().finish(within)


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP packet that came."""

    sequence: int
    timestamp: int
    payload_type: int
    payload: bytes


class Rtp:
    """The media of a call whose signalling is sipp's: every packet is seen, none is smoothed over."""

    def __init__(self) -> None:
        self.socket = udp_socket()
        self.port = int(self.socket.getsockname()[1])
        self.packets: list[Packet] = []
        self.peer: tuple[str, int] | None = None
        self._sequence, self._timestamp, self._ssrc = 100, 16000, os.urandom(4)
        self._quit = threading.Event()
        self._receiver = threading.Thread(target=self._receive, daemon=True)
        self._receiver.start()

    def _receive(self) -> None:
        while not self._quit.is_set():
            try:
                data, source = self.socket.recvfrom(2048)
            except (TimeoutError, ConnectionError):
                continue
            except OSError:
                return
            numbers = int.from_bytes(data[2:4], "big"), int.from_bytes(data[4:8], "big")
            self.packets.append(Packet(*numbers, data[1] & 0x7F, data[12:]))
            self.peer = self.peer or source

    def heard(self) -> bytes:
        """All audio so far in the order of its sequence numbers, as 16-bit PCM; PCMU and PCMA only."""
        ordered = sorted(list(self.packets), key=lambda packet: packet.sequence)
        decode = {PCMU: ulaw_decode, PCMA: alaw_decode}
        return b"".join(decode[p.payload_type](p.payload) for p in ordered if p.payload_type in decode)

    def learn_peer(self) -> tuple[str, int]:
        """Wait for the worker's first packet: its RTP is symmetric."""
        found = until(lambda: self.peer, "a first RTP packet from the worker")
        assert found is not None
        return found

    def send(self, payload_type: int, payload: bytes, *, marker: bool = False, advance: int = 160) -> None:
        assert self.peer is not None
        head = bytes([0x80, payload_type | (0x80 if marker else 0)]) + self._sequence.to_bytes(2, "big")
        self.socket.sendto(head + self._timestamp.to_bytes(4, "big") + self._ssrc + payload, self.peer)
        self._sequence = self._sequence + 1 & 0xFFFF
        self._timestamp += advance

    def type(self, digits: str) -> None:
        """Press keys as RFC 4733 sends them: updates of growing duration, the end three times."""
        for digit in digits:
            for step in range(1, 8):
                body = bytes([DIGITS.index(digit), (0x80 if step > 4 else 0) | 10])
                body += (160 * min(step, 5)).to_bytes(2, "big")
                self.send(EVENT, body, marker=step == 1, advance=0)
                time.sleep(0.02)  # the pace of RTP
            self._timestamp += 1600

    @contextlib.contextmanager
    def sending(self, pcm: bytes, law: int = PCMU) -> Iterator[None]:
        """Send this audio again and again in real time meanwhile (PCMU, or PCMA)."""
        stop = threading.Event()
        encode = ulaw_encode if law == PCMU else alaw_encode
        frames = [encode(pcm[at : at + 320]) for at in range(0, len(pcm) // 320 * 320, 320)]

        def send() -> None:
            began, count = time.monotonic(), 0
            while not stop.wait(max(0.0, began + count * 0.02 - time.monotonic())):
                self.send(law, frames[count % len(frames)])
                count += 1

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        try:
            yield
        finally:
            stop.set()
            sender.join(2)

    def close(self) -> None:
        self._quit.set()
        self._receiver.join(2)
        self.socket.close()


class LossyNetwork:
    """A way to a SIP server that loses some of the RTP in both directions; signalling comes through whole.

    It passes INVITEs and their answers on with its own ports for audio in the SDP. For one call at a time.
    """

    def __init__(self, server_port: int, loss: float, seed: int = 1) -> None:
        self.loss = loss
        self.lost = self.passed = 0
        self._server = ("127.0.0.1", server_port)
        self._random = random.Random(seed)
        self._sip, self._caller_side, self._server_side = udp_socket(), udp_socket(), udp_socket()
        self._caller: tuple[str, int] | None = None
        self._caller_rtp: tuple[str, int] | None = None
        self._server_rtp: tuple[str, int] | None = None
        self._quit = threading.Event()
        ways = (self._signal, self._to_server, self._to_caller)
        self._threads = [threading.Thread(target=self._loop, args=(way,), daemon=True) for way in ways]
        for thread in self._threads:
            thread.start()

    @property
    def port(self) -> int:
        """The port that the caller dials."""
        return int(self._sip.getsockname()[1])

    def _loop(self, way: Callable[[], None]) -> None:
        while not self._quit.is_set():
            with contextlib.suppress(TimeoutError, ConnectionError):
                way()

    def _signal(self) -> None:
        data, source = self._sip.recvfrom(65535)
        if source == self._server:
            self._server_rtp = media_of(data) or self._server_rtp
            if self._caller is not None:
                self._sip.sendto(with_media(data, self._caller_side.getsockname()[1]), self._caller)
        else:
            self._caller = source
            self._caller_rtp = media_of(data) or self._caller_rtp
            self._sip.sendto(with_media(data, self._server_side.getsockname()[1]), self._server)

    def _to_server(self) -> None:
        data, _ = self._caller_side.recvfrom(2048)
        self._pass(data, self._server_side, self._server_rtp)

    def _to_caller(self) -> None:
        data, _ = self._server_side.recvfrom(2048)
        self._pass(data, self._caller_side, self._caller_rtp)

    def _pass(self, data: bytes, out: socket.socket, target: tuple[str, int] | None) -> None:
        if target is None or self._random.random() < self.loss:
            self.lost += 1
        else:
            self.passed += 1
            out.sendto(data, target)

    def close(self) -> None:
        self._quit.set()
        for thread in self._threads:
            thread.join(2)
        for one in (self._sip, self._caller_side, self._server_side):
            one.close()


def media_of(message: bytes) -> tuple[str, int] | None:
    """Where a SIP message's SDP wants audio."""
    found = re.search(rb"^m=audio (\d+)", message, re.M)
    return ("127.0.0.1", int(found[1])) if found else None


def with_media(message: bytes, port: int) -> bytes:
    """The message with another port for audio in its SDP (and without one for RTCP, which is not passed on)."""
    head, gap, body = message.partition(b"\r\n\r\n")
    if b"m=audio" not in body:
        return message
    body = re.sub(rb"^m=audio \d+", b"m=audio %d" % port, body, count=1, flags=re.M)
    body = re.sub(rb"^a=rtcp:.*\r\n", b"", body, flags=re.M)
    return re.sub(rb"(?im)^(Content-Length|l)\s*:.*\r?$", b"Content-Length: %d" % len(body), head) + gap + body
