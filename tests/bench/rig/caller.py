"""Callers on plain UDP sockets, in a process of their own: SIP, and RTP both ways, for any number of calls.

One thread and one epoll. What it receives keeps the kernel's time of arrival; what it sends is noted just before.
The parent steers it through a pipe: see `Caller`.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import multiprocessing as mp
import os
import select
import socket
import struct
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from rig import sip
from rig.audio import FRAME, SILENT

SO_TIMESTAMPNS = 35
PTIME_NS = 20_000_000
RETRY_S = 0.5
GIVE_UP_S = 15.0
RECEIVE_BUFFER = 4 << 20


@dataclass(slots=True)
class Heard:
    """What came in on a line since it was last asked for; one entry per RTP packet."""

    at: array[int] = field(default_factory=lambda: array("q"))
    """monotonic ns at which the kernel had it."""
    sequence: array[int] = field(default_factory=lambda: array("H"))
    loud: bytearray = field(default_factory=bytearray)
    """0 where the payload was digital silence."""
    payload: bytearray = field(default_factory=bytearray)
    """160 bytes each, where the line keeps them."""


@dataclass(slots=True)
class Sent:
    """What went out on a line since it was last asked for."""

    at: array[int] = field(default_factory=lambda: array("q"))
    frame: array[int] = field(default_factory=lambda: array("I"))
    """Which frame of the line's loop."""


@dataclass(slots=True)
class _Line:
    number: int
    socket: socket.socket
    dialog: sip.Dialog
    keep: bool
    frames: Sequence[bytes]
    began: float
    next_try: float
    state: str = "inviting"
    status: int = 0
    peer: tuple[str, int] | None = None
    index: int = 0
    sequence: int = 1
    timestamp: int = 0
    ssrc: bytes = field(default_factory=lambda: os.urandom(4))
    heard: Heard = field(default_factory=Heard)
    sent: Sent = field(default_factory=Sent)
    other: int = 0


class _Agent:
    """The child process."""

    def __init__(self, pipe: Connection, loops: dict[str, Sequence[bytes]]) -> None:
        self.pipe = pipe
        self.loops = loops
        self.sip = _udp()
        self.port = int(self.sip.getsockname()[1])
        self.lines: list[_Line] = []
        self.by_dialog: dict[str, _Line] = {}
        self.by_fd: dict[int, _Line] = {}
        self.due: list[tuple[int, int]] = []
        self.to_dial: list[tuple[float, dict[str, Any]]] = []
        self.poll = select.epoll()
        for source in (pipe, self.sip):
            self.poll.register(source.fileno(), select.EPOLLIN)
        self.real_to_mono = time.monotonic_ns() - time.time_ns()

    def run(self) -> None:
        checked = 0.0
        while True:
            now = time.monotonic_ns()
            wait = min(0.02, max(0.0, (self.due[0][0] - now) / 1e9)) if self.due else 0.02
            for fd, _ in self.poll.poll(wait):
                if fd == self.sip.fileno():
                    self._sip()
                elif fd == self.pipe.fileno():
                    if not self._command():
                        return
                elif (line := self.by_fd.get(fd)) is not None:  # it may have ended since
                    self._receive(line)
            self._send()
            clock = time.monotonic()
            if clock - checked > 0.05 or self.to_dial:
                checked = clock
                self.real_to_mono = time.monotonic_ns() - time.time_ns()
                self._housekeeping(clock)

    # --- the parent's commands

    def _command(self) -> bool:
        try:
            name, arguments = self.pipe.recv()
        except EOFError:
            return False
        if name == "stop":
            return False
        self.pipe.send(getattr(self, "do_" + name)(**arguments))
        return True

    def do_dial(self, target: str, loop: str, calls: int, per_second: float, keep: bool) -> list[int]:
        """Begin so many calls, spread over time; returns their numbers."""
        now = time.monotonic()
        first = len(self.lines) + len(self.to_dial)
        for number in range(calls):
            at = now + number / per_second
            heapq.heappush(self.to_dial, (at, {"number": first + number, "target": target, "loop": loop, "keep": keep}))
        return list(range(first, first + calls))

    def do_states(self) -> list[tuple[str, int]]:
        """State and last status of every line."""
        return [(line.state, line.status) for line in self.lines]

    def do_play(self, number: int, loop: str) -> None:
        """Let a line send another loop from its first frame on."""
        line = self.lines[number]
        line.frames, line.index = self.loops[loop], 0

    def do_take(self, numbers: Sequence[int]) -> list[tuple[Heard, Sent]]:
        """Hand over what was heard and sent, and forget it."""
        taken = []
        for number in numbers:
            line = self.lines[number]
            taken.append((line.heard, line.sent))
            line.heard, line.sent = Heard(), Sent()
        return taken

    def do_peek(self, number: int) -> Heard:
        """What a line heard so far."""
        return self.lines[number].heard

    def do_dialog(self, number: int) -> str:
        """The Call-ID of a line."""
        return self.lines[number].dialog.call_id

    def do_hang_up(self, numbers: Sequence[int]) -> None:
        """Send BYE."""
        for number in numbers:
            line = self.lines[number]
            if line.state == "up":
                line.state, line.began = "leaving", time.monotonic()
                self._bye(line)

    # --- SIP

    def _dial(self, number: int, target: str, loop: str, keep: bool) -> None:
        rtp = _udp()
        rtp.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        dialog = sip.Dialog(target, self.port, int(rtp.getsockname()[1]))
        now = time.monotonic()
        line = _Line(number, rtp, dialog, keep, self.loops[loop], now, now + RETRY_S)
        self.lines.append(line)
        self.by_dialog[dialog.call_id] = line
        self.by_fd[rtp.fileno()] = line
        self.poll.register(rtp.fileno(), select.EPOLLIN)
        self._to_worker(line, dialog.invite())

    def _to_worker(self, line: _Line, data: bytes) -> None:
        host, _, port = line.dialog.target.rpartition("@")[2].rpartition(":")
        self.sip.sendto(data, (host, int(port)))

    def _bye(self, line: _Line) -> None:
        line.next_try = time.monotonic() + RETRY_S
        self._to_worker(line, line.dialog.bye())

    def _sip(self) -> None:
        while True:
            try:
                data, source = self.sip.recvfrom(65536)
            except BlockingIOError:
                return
            message = sip.parse(data)
            line = self.by_dialog.get(message.one("call-id")) if message else None
            if message is None or line is None:
                continue
            if not message.status:
                self._request(line, message, source)
            elif message.method == "INVITE":
                self._invite_answered(line, message)
            elif message.method == "BYE" and message.status >= 200:
                self._over(line)

    def _request(self, line: _Line, message: sip.Message, source: tuple[str, int]) -> None:
        if message.method != "ACK":
            self.sip.sendto(sip.response_200(message), source)
        if message.method == "BYE":
            self._over(line)

    def _invite_answered(self, line: _Line, message: sip.Message) -> None:
        line.status = message.status
        if message.status < 200:
            if line.state == "inviting":
                line.state = "ringing"
            return
        if message.status >= 300:
            self._to_worker(line, line.dialog.ack(message))
            self._over(line, "refused")
            return
        line.dialog.answered(message)
        self._to_worker(line, line.dialog.ack(message))
        if line.state in ("inviting", "ringing"):
            line.state, line.peer = "up", sip.media_address(message.body)
            spread = int.from_bytes(line.ssrc, "big") % PTIME_NS
            heapq.heappush(self.due, (time.monotonic_ns() + spread, line.number))

    def _over(self, line: _Line, state: str = "over") -> None:
        if line.state not in ("over", "refused"):
            line.state = state
            self.poll.unregister(line.socket.fileno())
            del self.by_fd[line.socket.fileno()]
            line.socket.close()

    def _housekeeping(self, now: float) -> None:
        while self.to_dial and self.to_dial[0][0] <= now:
            self._dial(**heapq.heappop(self.to_dial)[1])
        for line in self.lines:
            if line.state in ("inviting", "leaving") and line.next_try <= now:
                if now - line.began > GIVE_UP_S:
                    self._over(line)
                elif line.state == "inviting":
                    line.next_try = now + RETRY_S
                    self._to_worker(line, line.dialog.invite())
                else:
                    self._bye(line)

    # --- RTP

    def _send(self) -> None:
        now = time.monotonic_ns()
        while self.due and self.due[0][0] <= now:
            at, number = self.due[0]
            line = self.lines[number]
            if line.state != "up" or line.peer is None:
                heapq.heappop(self.due)
                continue
            heapq.heapreplace(self.due, (at + PTIME_NS, number))
            head = struct.pack(">BBHI", 0x80, 0, line.sequence, line.timestamp) + line.ssrc
            line.sent.frame.append(line.index)
            line.sent.at.append(time.monotonic_ns())
            try:
                line.socket.sendto(head + line.frames[line.index], line.peer)
            except ConnectionRefusedError:
                line.other += 1
            line.index = (line.index + 1) % len(line.frames)
            line.sequence = line.sequence + 1 & 0xFFFF
            line.timestamp = line.timestamp + FRAME & 0xFFFFFFFF

    def _receive(self, line: _Line) -> None:
        heard, receive, offset = line.heard, line.socket.recvmsg, self.real_to_mono
        while True:
            try:
                data, extra, _, _ = receive(2048, 64)
            except (BlockingIOError, ConnectionRefusedError):
                return
            if len(data) != 12 + FRAME or data[1] & 0x7F:
                line.other += 1
                continue
            payload = data[12:]
            heard.at.append(_stamp(extra) + offset)
            heard.sequence.append(data[2] << 8 | data[3])
            heard.loud.append(payload != SILENT)
            if line.keep:
                heard.payload += payload


def _stamp(extra: list[tuple[int, int, bytes]]) -> int:
    seconds, rest = struct.unpack("qq", extra[0][2])
    return seconds * 1_000_000_000 + rest


def _udp() -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind((sip.OWN, 0))
    one.setblocking(False)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    return one


def _main(pipe: Connection, loops: dict[str, Sequence[bytes]]) -> None:
    _Agent(pipe, loops).run()


class Caller:
    """The parent's hold on a caller process. `loops`: what lines may send, by name: mu-law frames, played round."""

    def __init__(self, loops: dict[str, Sequence[bytes]]) -> None:
        context = mp.get_context("spawn")
        self._pipe, child = context.Pipe()
        self.process = context.Process(target=_main, args=(child, loops), daemon=True)
        self.process.start()
        child.close()
        self._lock = asyncio.Lock()

    async def ask(self, name: str, **arguments: Any) -> Any:
        """Run a command there (`_Agent.do_...`)."""
        async with self._lock:
            return await asyncio.to_thread(self._ask, name, arguments)

    def _ask(self, name: str, arguments: dict[str, Any]) -> Any:
        self._pipe.send((name, arguments))
        return self._pipe.recv()

    async def dial(
        self, target: str, loop: str = "silence", *, calls: int = 1, per_second: float = 10.0, keep: bool = False
    ) -> list[int]:
        """Make calls and wait until all are up; their numbers. Raises RuntimeError when one is not answered."""
        asked = {"target": target, "loop": loop, "calls": calls, "per_second": per_second, "keep": keep}
        numbers: list[int] = await self.ask("dial", **asked)
        give_up = time.monotonic() + calls / per_second + GIVE_UP_S
        while True:
            states = await self.ask("states")
            mine = [states[number] for number in numbers if number < len(states)]
            if len(mine) == calls and all(state == "up" for state, _ in mine):
                return numbers
            if any(state in ("refused", "over") for state, _ in mine) or time.monotonic() > give_up:
                raise RuntimeError(f"not every call was answered: {mine}")
            await asyncio.sleep(0.02)

    async def take(self, *numbers: int) -> list[tuple[Heard, Sent]]:
        """What these lines heard and sent since the last time."""
        taken: list[tuple[Heard, Sent]] = await self.ask("take", numbers=numbers)
        return taken

    async def hang_up(self, *numbers: int) -> None:
        """End these calls and wait until the other side agrees."""
        await self.ask("hang_up", numbers=numbers)
        give_up = time.monotonic() + 5
        while time.monotonic() < give_up:
            states = await self.ask("states")
            if all(states[number][0] != "leaving" for number in numbers):
                return
            await asyncio.sleep(0.02)

    def stop(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            self._pipe.send(("stop", {}))
        self.process.join(3)
        if self.process.is_alive():
            self.process.kill()
