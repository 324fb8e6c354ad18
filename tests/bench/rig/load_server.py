"""A realtime server for hundreds of connections on a fraction of a core, in a process of its own.

Each connection gets one long response after the other, without a pause: a tone in prepared pieces of 100 ms, in real
time. Their audio is the same bytes for all; the head before it, with the ids, is an item's own.
What the worker appends is counted by its length; of some connections at a time, in turn, it is decoded and measured.
Connections are looked at once in 100 ms, when their next delta is due: nothing that the worker sends wakes this
process. Only while a session begins is it answered at once.
"""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from rig import ws
from rig.audio import DECODE
from rig.child import Child, answer, cpu_s
from rig.load_protocol import DELTA_MS, FORMATS, audio_bytes, begun, delta_head, deltas, ended, event
from rig.sip import OWN
from rig.tones import CALLER_HZ, Gauge, Measured

AHEAD_MS = 500
RESPONSE_MS = 80_000
"""How long a response is: no model speaks for ever, and no worker need believe that it does. A window is begun with new
ones, since the first 4 ms of each, in which a resampler's filter fills, are heard as damaged."""
TICK_MS = 2.5
SLOTS = int(DELTA_MS / TICK_MS)
SHORTEST = 200
"""Bytes of a frame with audio; all others are looked into."""
CHECKED = 32
"""Connections whose audio is measured at a time,"""
TURN_S = 1.0
"""for so long."""
WAITING = 1 << 20
"""Bytes for a worker that does not read; past that its deltas are left out. Each that had to wait is counted."""


@dataclass(slots=True)
class Appended:
    """What the worker appended within a window."""

    stream: NDArray[np.int64]
    """One entry per measured piece of 20 ms; a connection's turns count as streams of their own."""
    number: NDArray[np.int64]
    measured: Measured
    audio_ms: NDArray[np.float64]
    """Of every connection that was there from begin to end: how much audio came."""
    seconds: float
    connections: int
    ended: int
    """Connections that ended within the window."""
    stalled: int
    """Deltas that the worker's socket did not take at once."""
    late_ms: NDArray[np.float64]
    """How late each round of deltas was."""
    cpu: float


@dataclass(slots=True)
class _Conn:
    number: int
    socket: socket.socket
    request: bytes | None = b""
    """What came of the handshake so far; None after it."""
    frames: ws.Frames = field(default_factory=ws.Frames)
    rate_hz: int = 24000
    name: str = ""
    """Of the response it is in,"""
    responses: int = 0
    left: int = 0
    """and how many deltas are left of it."""
    head: bytes = b""
    """Of its deltas."""
    place: int = 0
    waiting: bytes = b""
    audio: int = 0
    """Bytes that were appended."""
    rest: bytes = b""
    turn: int = -1
    piece: int = 0


@dataclass(slots=True)
class _Window:
    since: float
    cpu_s: float
    audio: dict[int, int]
    streams: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    ended: int = 0
    stalled: int = 0


class _Server:
    """The child process."""

    def __init__(self, pipe: Connection, listener: socket.socket) -> None:
        self.pipe = pipe
        self.listener = listener
        self.poll = select.epoll()
        self.poll.register(self.listener.fileno(), select.EPOLLIN)
        self.starting: dict[int, _Conn] = {}
        self.slots: list[list[_Conn]] = [[] for _ in range(SLOTS)]
        self.opened = 0
        self.deltas = {rate: deltas(rate) for rate in FORMATS.values()}
        self.gauges = {rate: Gauge(CALLER_HZ, rate) for rate in FORMATS.values()}
        self.decode = DECODE.astype(np.float32)
        self.window: _Window | None = None
        self.turn = 0
        self.every = 1

    def run(self) -> None:
        due, tick = time.monotonic(), 0
        while True:
            due, tick = due + TICK_MS / 1000, tick + 1
            while (early := due - time.monotonic()) > 0:
                self._wait(early)
            slot = self.slots[tick % SLOTS]
            if self.window is not None and slot:
                self.window.late.append(1000 * (time.monotonic() - due))
            for conn in tuple(slot):
                self._serve(conn, slot)
            if not tick % 8:
                self.turn = int(time.monotonic() / TURN_S)
                self.every = max(1, -(-sum(map(len, self.slots)) // CHECKED))
                if not answer(self.pipe, self):
                    return

    # --- commands

    def do_leave(self) -> None:
        """Take no more connections: another process listens on the same socket from now on."""
        self.poll.unregister(self.listener.fileno())

    def do_connections(self) -> tuple[int, int]:
        """How many sessions are up, and how many connections there have been."""
        return sum(map(len, self.slots)), self.opened

    def do_renew(self) -> None:
        """Let every connection begin a new response with its next delta."""
        for slot in self.slots:
            for conn in slot:
                conn.left = 0

    def do_begin(self) -> None:
        """Begin a window."""
        audio = {conn.number: conn.audio for slot in self.slots for conn in slot}
        self.window = _Window(time.monotonic(), cpu_s(0), audio)

    def do_end(self) -> Appended:
        """End the window and hand over what was measured."""
        window, self.window = self.window, None
        assert window is not None
        seconds = time.monotonic() - window.since
        conns = [conn for slot in self.slots for conn in slot if conn.number in window.audio]
        audio_ms = [(conn.audio - window.audio[conn.number]) / self._bytes_per_ms(conn.rate_hz) for conn in conns]
        return Appended(
            stream=np.array(window.streams, np.int64),
            number=np.array(window.numbers, np.int64),
            measured=np.concatenate(window.measured) if window.measured else np.zeros((0, 3), np.float32),
            audio_ms=np.array(audio_ms),
            seconds=seconds,
            connections=len(conns),
            ended=window.ended,
            stalled=window.stalled,
            late_ms=np.array(window.late),
            cpu=(cpu_s(0) - window.cpu_s) / seconds,
        )

    # --- sessions that begin

    def _wait(self, seconds: float) -> None:
        for fd, _ in self.poll.poll(seconds):
            if fd == self.listener.fileno():
                self._accept()
            else:
                self._begin(self.starting[fd])

    def _accept(self) -> None:
        try:
            one, _ = self.listener.accept()
        except BlockingIOError:
            return
        one.setblocking(False)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.starting[one.fileno()] = _Conn(self.opened, one)
        self.opened += 1
        self.poll.register(one.fileno(), select.EPOLLIN)

    def _begin(self, conn: _Conn) -> None:
        data = self._read(conn)
        if data is None:
            self._forget(conn)
        elif conn.request is None:
            self._take(conn, data)
        else:
            conn.request += data
            head, end, rest = conn.request.partition(b"\r\n\r\n")
            if end:
                conn.request = None
                created = {"id": f"sess_{conn.number}", "type": "realtime"}
                self._send(conn, ws.accept(head) + event("session.created", session=created))
                self._take(conn, rest)

    def _forget(self, conn: _Conn) -> None:
        if self.starting.pop(conn.socket.fileno(), None) is not None:
            self.poll.unregister(conn.socket.fileno())
        conn.socket.close()

    def _updated(self, conn: _Conn, settings: dict[str, Any]) -> None:
        """The session's settings are there: confirm them, and begin to speak."""
        kind = settings.get("audio", {}).get("output", {}).get("format", {}).get("type", "audio/pcm")
        conn.rate_hz = FORMATS[kind]
        self._send(conn, event("session.updated", session={"id": f"sess_{conn.number}", **settings}))
        if self.starting.pop(conn.socket.fileno(), None) is not None:
            self.poll.unregister(conn.socket.fileno())
            conn.place = conn.number * 7 % len(self.deltas[conn.rate_hz])
            for _ in range(AHEAD_MS // DELTA_MS):
                self._speak(conn)
            min(self.slots, key=len).append(conn)

    # --- sessions that are up

    def _serve(self, conn: _Conn, slot: list[_Conn]) -> None:
        self._speak(conn)
        data = self._read(conn)
        if data is None:
            slot.remove(conn)
            conn.socket.close()
            if self.window is not None:
                self.window.ended += 1
        else:
            self._take(conn, data)

    def _speak(self, conn: _Conn) -> None:
        loop = self.deltas[conn.rate_hz]
        if not conn.left:
            before, now = conn.name, f"{conn.number}_{conn.responses}"
            self._send(conn, ended(before) if before else b"", begun(now))
            conn.name, conn.head = now, delta_head(now, len(loop[0]))
            conn.left = RESPONSE_MS // DELTA_MS
            conn.responses += 1
        conn.left -= 1
        self._send(conn, *((conn.head, loop[conn.place]) if len(conn.waiting) < WAITING else ()))
        conn.place = (conn.place + 1) % len(loop)

    def _send(self, conn: _Conn, *parts: bytes) -> None:
        if conn.waiting:
            parts = (conn.waiting, *parts)
        try:
            sent = conn.socket.sendmsg(parts)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # reading will tell
        conn.waiting = b"" if sent == sum(map(len, parts)) else b"".join(parts)[sent:]
        if conn.waiting and self.window is not None:
            self.window.stalled += 1

    def _read(self, conn: _Conn) -> bytes | None:
        """What has come; None at the end."""
        try:
            return conn.socket.recv(1 << 18) or None
        except BlockingIOError:
            return b""
        except OSError:
            return None

    def _take(self, conn: _Conn, data: bytes) -> None:
        for kind, whole, mask, begin, end in conn.frames.feed(data):
            if kind == ws.TEXT and end - begin >= SHORTEST and whole[begin + 9] ^ mask[1] == ord("i"):
                conn.audio += audio_bytes(whole, mask, begin, end)
                if self.window is not None and (conn.number + self.turn) % self.every == 0:
                    self._check(conn, orjson.loads(ws.unmasked(whole[begin:end], mask)))
            elif kind == ws.TEXT:
                body = orjson.loads(ws.unmasked(whole[begin:end], mask))
                if body["type"] == "session.update":
                    self._updated(conn, body["session"])
            elif kind == ws.PING:
                self._send(conn, ws.frame(ws.unmasked(whole[begin:end], mask), ws.PONG))
            elif kind == ws.CLOSE:
                self._send(conn, ws.frame(ws.unmasked(whole[begin:end], mask), ws.CLOSE))
                with contextlib.suppress(OSError):  # the server closes first (RFC 6455 section 7.1.1)
                    conn.socket.shutdown(socket.SHUT_WR)

    def _check(self, conn: _Conn, body: dict[str, Any]) -> None:
        window, gauge = self.window, self.gauges[conn.rate_hz]
        assert window is not None
        if conn.turn != self.turn:
            conn.turn, conn.rest, conn.piece = self.turn, b"", 0
        data = conn.rest + base64.b64decode(body["audio"])
        size = gauge.samples * (1 if conn.rate_hz == 8000 else 2)
        whole = len(data) // size * size
        conn.rest = data[whole:]
        raw: Any = data[:whole]
        if conn.rate_hz == 8000:
            samples = self.decode[np.frombuffer(raw, np.uint8)]
        else:
            samples = np.frombuffer(raw, "<i2").astype(np.float32)
        measured = gauge.measure(samples.reshape(-1, gauge.samples))
        window.measured.append(measured)
        for _ in range(len(measured)):
            window.streams.append(self.turn << 20 | conn.number)
            window.numbers.append(conn.piece)
            conn.piece += 1

    @staticmethod
    def _bytes_per_ms(rate_hz: int) -> float:
        return 8.0 if rate_hz == 8000 else rate_hz * 2 / 1000


def _main(pipe: Connection, listener: socket.socket) -> None:
    _Server(pipe, listener).run()


class LoadServer(Child):
    """The parent's hold on it."""

    def __init__(self, core: int | None = None) -> None:
        self.listener = socket.create_server((OWN, 0), backlog=1024)
        self.listener.setblocking(False)
        self.url = f"ws://{OWN}:{self.listener.getsockname()[1]}/v1"
        super().__init__(_main, self.listener, core=core, first=1)

    def hand_over(self) -> socket.socket:
        """Keep the sessions that are up; whoever gets this socket accepts all that come from now on."""
        self.ask("leave")
        return self.listener

    def stop(self) -> None:
        """End the process, and listen no more."""
        super().stop()
        self.listener.close()

    def renew(self) -> None:
        """Begin new responses everywhere; returns when they are what is heard."""
        self.ask("renew")
        time.sleep((AHEAD_MS + 2 * DELTA_MS) / 1000)

    def begin(self) -> None:
        """Begin a window."""
        self.ask("begin")

    def end(self) -> Appended:
        """End it."""
        appended: Appended = self.ask("end")
        return appended

    def connections(self) -> tuple[int, int]:
        """How many sessions are up, and how many connections there have been."""
        up, all_ = self.ask("connections")
        return up, all_
