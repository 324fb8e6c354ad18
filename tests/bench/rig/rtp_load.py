"""RTP of any number of calls on one UDP port, in a process of its own: a tone to the worker, a gauge on what it sends.

Every call's SDP names this port; what comes tells the calls apart by the worker's ports, and a call is answered from
its first packet on, the way symmetric RTP does it (RFC 4961). Sending is spread over 20 slots of 1 ms; nothing wakes
this process but its clock, so a packet of the worker's costs the worker no wake-up of another process. When a packet
came is the kernel's stamp, which on loopback is when it was sent.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

import numpy as np
from numpy.typing import NDArray
from rig.audio import DECODE, FRAME, ulaw
from rig.child import Child, answer, cpu_s
from rig.mmsg import Batch, Outgoing, Receiver, dropped, udp
from rig.sip import OWN
from rig.srtp import TAG, Crypt
from rig.tones import AGENT_HZ, CALLER_HZ, LOOP_MS, PIECE_MS, Gauge, Measured, tone

SLOTS = PIECE_MS
MS = 1_000_000
ROWS = 64
"""Calls in a slot."""
HEAD = 12
RECEIVE_EVERY, LOOK_EVERY = 2, 10
"""In ms."""
SILENT_S = 2.0
"""A worker sends without a pause: a port that says nothing for so long is a call that has ended."""
KNOWN = 1 << 16


@dataclass(slots=True)
class Taken:
    """All packets of a window. Arrays of one length."""

    at: NDArray[np.int64]
    """CLOCK_REALTIME ns."""
    stream: NDArray[np.int64]
    sequence: NDArray[np.int64]
    measured: Measured
    began: int
    """Streams that began within the window,"""
    ended: int
    """and that ended."""
    other: int
    """Packets that were no G.711 of 20 ms."""
    dropped: int
    """Packets that the kernel dropped, since this process was too slow."""
    send_late_ms: NDArray[np.float64]
    """How late each slot was sent."""
    cpu: float
    """The share of a core that this process used."""


@dataclass(slots=True)
class _Window:
    since: int
    cpu_s: float
    dropped: int
    packets: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Measured]] = field(
        default_factory=list
    )
    late: list[int] = field(default_factory=list)
    began: int = 0
    ended: int = 0
    other: int = 0


class _Slot:
    """The calls that are sent to in one of the 20 ms."""

    def __init__(self, packets: Outgoing) -> None:
        self.packets = packets
        self.crypt: list[Crypt | None] = []
        """Of each row; None: its packets are as they are sent."""
        sealed = packets.data.shape[1] > HEAD + FRAME
        self.data = np.zeros((ROWS, HEAD + FRAME), np.uint8) if sealed else packets.data
        self.sequence = self.data[:, 2:4].view(">u2")[:, 0]
        self.timestamp = self.data[:, 4:8].view(">u4")[:, 0]
        self.place = np.zeros(ROWS, np.int64)
        """In the loop of frames."""
        self.count = 0

    def add(self, port: int, number: int, payload_type: int, crypt: Crypt | None) -> None:
        row, self.count = self.count, self.count + 1
        self.crypt.append(crypt)
        data = self.data[row]
        data[:HEAD] = 0
        data[0], data[1] = 0x80, payload_type
        data[8:HEAD] = np.frombuffer(number.to_bytes(4, "big"), np.uint8)
        self.packets.port[row] = port
        self.place[row] = number * 97 % (LOOP_MS // PIECE_MS)

    def remove(self, port: int) -> None:
        rows = np.flatnonzero(self.packets.port[: self.count] == port)
        if len(rows):
            row, last = int(rows[0]), self.count - 1
            self.data[row] = self.data[last]
            self.crypt[row] = self.crypt[last]
            self.crypt.pop()
            self.packets.port[row] = self.packets.port[last]
            self.place[row] = self.place[last]
            self.count = last

    def send(self, frames: NDArray[np.uint8]) -> None:
        count = self.count
        if count:
            place = self.place[:count]
            self.data[:count, HEAD:] = frames[place]
            for row, crypt in enumerate(self.crypt):
                if crypt is not None:
                    self.packets.data[row] = np.frombuffer(crypt.sealed(self.data[row].tobytes()), np.uint8)
            self.packets.send(count)
            place += 1
            place %= len(frames)
            self.sequence[:count] += 1
            self.timestamp[:count] += FRAME


class _Load:
    """The child process."""

    def __init__(self, pipe: Connection, payload_type: int, key: bytes) -> None:
        self.pipe = pipe
        self.payload_type = payload_type
        self.key = key
        self.size = HEAD + FRAME + (TAG if key else 0)
        self.crypt: dict[int, Crypt] = {}
        """By the worker's port, as far as its keys are known."""
        self.socket = udp(OWN)
        self.receiver = Receiver(self.socket)
        self.gauge = Gauge(AGENT_HZ, 8000)
        self.decode = DECODE.astype(np.float32)
        self.frames = np.frombuffer(ulaw(tone(CALLER_HZ, 8000)), np.uint8).reshape(-1, FRAME)
        self.slots = [_Slot(Outgoing(self.socket, OWN, ROWS, self.size)) for _ in range(SLOTS)]
        self.by_port = np.full(1 << 16, -1, np.int64)
        self.source = np.zeros(1 << 16, np.uint32)
        """The SSRC that a port sends with."""
        self.heard = np.zeros(KNOWN, np.float64)
        self.port: dict[int, int] = {}
        """Of each stream that is up."""
        self.slot: dict[int, _Slot] = {}
        self.streams = 0
        self.window: _Window | None = None
        self.stopping = False

    def run(self) -> None:
        due, tick = time.monotonic_ns(), 0
        while True:
            due, tick = due + MS, tick + 1
            if (early := due - time.monotonic_ns()) > 0:
                time.sleep(early / 1e9)
            slot = self.slots[tick % SLOTS]
            if self.window is not None and slot.count:
                self.window.late.append(time.monotonic_ns() - due)
            slot.send(self.frames)
            if not tick % RECEIVE_EVERY:
                self._receive()
            if not tick % LOOK_EVERY:
                self._let_go()
                if not answer(self.pipe, self):
                    return

    # --- commands

    def do_port(self) -> int:
        """Where calls are to send their audio."""
        return int(self.socket.getsockname()[1])

    def do_streams(self) -> tuple[int, int]:
        """How many streams are up, and how many there have been."""
        return len(self.port), self.streams

    def do_keys(self, keys: dict[int, bytes]) -> None:
        """These ports of the worker's encrypt, with these keys."""
        self.crypt |= {port: Crypt(self.key, key) for port, key in keys.items()}

    def do_begin(self) -> None:
        """Begin a window."""
        self.window = _Window(time.monotonic_ns(), cpu_s(0), dropped(self.socket))

    def do_end(self) -> Taken:
        """End the window and hand over what was measured."""
        window, self.window = self.window, None
        assert window is not None
        empty = np.zeros(0, np.int64)
        parts = window.packets or [(empty, empty, empty, np.zeros((0, 3), np.float32))]
        at, stream, sequence, measured = (np.concatenate(column) for column in zip(*parts, strict=True))
        return Taken(
            at=at,
            stream=stream,
            sequence=sequence,
            measured=measured,
            began=window.began,
            ended=window.ended,
            other=window.other,
            dropped=dropped(self.socket) - window.dropped,
            send_late_ms=np.array(window.late) / MS,
            cpu=(cpu_s(0) - window.cpu_s) / (time.monotonic_ns() - window.since) * 1e9,
        )

    # --- packets

    def _receive(self) -> None:
        while (batch := self.receiver.take()) is not None:
            self._sort(batch)

    def _sort(self, batch: Batch) -> None:
        good = (batch.size == self.size) & (batch.data[:, 1] & 0x7F == self.payload_type)
        if self.key:
            self._decrypt(batch, good)
        if self.window is not None:
            self.window.other += int(np.sum(~good))
        data = batch.data[good] if not good.all() else batch.data
        port = batch.port[good]
        source = data[:, 8:HEAD].copy().view(np.uint32)[:, 0]
        stream = self.by_port[port]
        fresh = (stream < 0) | (self.source[port] != source)
        if fresh.any():
            for one, ssrc in {int(p): int(s) for p, s in zip(port[fresh], source[fresh], strict=True)}.items():
                self._begin(one, ssrc)
            stream = self.by_port[port]
        self.heard[stream % KNOWN] = time.monotonic()
        if self.window is not None:
            measured = self.gauge.measure(self.decode[data[:, HEAD : HEAD + FRAME]])
            sequence = data[:, 2:4].copy().view(">u2")[:, 0].astype(np.int64)
            self.window.packets.append((batch.at[good], stream, sequence, measured))

    def _decrypt(self, batch: Batch, good: NDArray[np.bool_]) -> None:
        """Put what was encrypted in its place in clear; what can't be is not good."""
        for row in np.flatnonzero(good):
            crypt = self.crypt.get(int(batch.port[row]))
            plain = None if crypt is None else crypt.opened(batch.data[row, : self.size].tobytes())
            if plain is None:
                good[row] = False
            else:
                batch.data[row, : len(plain)] = np.frombuffer(plain, np.uint8)

    def _begin(self, port: int, ssrc: int) -> None:
        old = int(self.by_port[port])
        if old >= 0:
            self._end(old)
        stream, self.streams = self.streams, self.streams + 1
        self.by_port[port], self.source[port] = stream, ssrc
        self.heard[stream % KNOWN] = time.monotonic()
        slot = min(self.slots, key=lambda one: one.count)
        if slot.count == ROWS:
            raise RuntimeError(f"more than {ROWS * SLOTS} calls")
        slot.add(port, stream, self.payload_type, self.crypt.get(port))
        self.port[stream], self.slot[stream] = port, slot
        if self.window is not None:
            self.window.began += 1

    def _end(self, stream: int) -> None:
        port = self.port.pop(stream)
        self.slot.pop(stream).remove(port)
        self.by_port[port] = -1
        if self.window is not None:
            self.window.ended += 1

    def _let_go(self) -> None:
        limit = time.monotonic() - SILENT_S
        for stream in [one for one in self.port if self.heard[one % KNOWN] < limit]:
            self._end(stream)


def _main(pipe: Connection, payload_type: int, key: bytes) -> None:
    _Load(pipe, payload_type, key).run()


class RtpLoad(Child):
    """The parent's hold on it."""

    def __init__(self, core: int | None = None, payload_type: int = 0, key: bytes = b"") -> None:
        """payload_type: 0 (PCMU), or 9: PCMU's bytes as G.722, a noise that costs as much; its judgement is void.

        key: what is sent is SRTP with this key, and what comes is with those that `keys` tells.
        """
        super().__init__(_main, payload_type, key, core=core, first=2)
        self.port: int = self.ask("port")

    def begin(self) -> None:
        """Begin a window."""
        self.ask("begin")

    def end(self) -> Taken:
        """End it."""
        taken: Taken = self.ask("end")
        return taken

    def keys(self, keys: dict[int, bytes]) -> None:
        """The worker encrypts what comes from these ports with these keys: it is not heard before."""
        self.ask("keys", keys=keys)

    def streams(self) -> tuple[int, int]:
        """How many streams are up, and how many there have been."""
        up, all_ = self.ask("streams")
        return up, all_
