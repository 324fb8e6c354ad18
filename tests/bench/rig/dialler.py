"""Callers' signalling over UDP or TLS, in a process of its own: what sipp can't do for the load where it has no TLS.

Calls begin at a rate and last as long as is asked for. Their audio is `rtp_load`'s, with the keys that are agreed here;
or this process has a port of its own that notes when each call's first packet comes. Times are CLOCK_REALTIME, as the
kernel's stamps are.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import cast

from rig import sip, srtp
from rig.child import Child, answer
from rig.mmsg import SO_TIMESTAMPNS
from rig.sipp import FOR_EVER_MS, Outcome

PATIENCE_S = 10.0
MS = 1e6


@dataclass(frozen=True, slots=True)
class SetUp:
    """How a call came up. All times in ms; None: it did not get so far."""

    connect: float
    """Until the connection was there, its TLS too; 0 on one that was open."""
    answered: float
    """INVITE to 200."""
    first_rtp: float | None
    """INVITE to the first packet of audio, by the kernel's stamp."""


@dataclass(slots=True)
class _Call:
    dialog: sip.Dialog
    began: int
    invited: int
    answered: int = 0
    status: int = 0
    port: int = 0
    body: str = ""
    final: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)


Take = Callable[["_Way", sip.Message], None]


class _Way(asyncio.Protocol, asyncio.DatagramProtocol):
    """A socket to the worker: datagrams, or a TLS connection."""

    def __init__(self, take: Take, name: str) -> None:
        self.name = name
        self.transport: asyncio.BaseTransport | None = None
        self._take = take
        self._stream = sip.Stream()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        for message in self._stream.fed(data):
            self._take(self, message)

    def datagram_received(self, data: bytes, addr: object) -> None:
        message = sip.parse(data)
        if message is not None:
            self._take(self, message)

    @property
    def port(self) -> int:
        assert self.transport is not None
        return int(self.transport.get_extra_info("sockname")[1])

    def send(self, data: bytes) -> None:
        if self.name == "UDP":
            cast(asyncio.DatagramTransport, self.transport).sendto(data)
        else:
            cast(asyncio.Transport, self.transport).write(data)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()


class _Signalling:
    """The child process."""

    def __init__(self, pipe: Connection, authority: str, key: bytes) -> None:
        self.pipe = pipe
        self.crypto = srtp.crypto(key) if key else ""
        self.tls = ssl.create_default_context(cafile=authority) if authority else None
        self.calls: dict[str, _Call] = {}
        self.created = self.failed = self.refused = self.retry_after = 0
        self.errors: list[str] = []
        self.set_up: list[SetUp] = []
        self.keys: dict[int, bytes] = {}
        """The worker's, by its ports, since they were last asked for."""
        self.rtp: socket.socket | None = None
        self.first: dict[int, int] = {}
        """When each port of the worker's was first heard of."""
        self.tasks: set[asyncio.Task[None]] = set()
        self.leaving = asyncio.Event()

    async def run(self) -> None:
        while answer(self.pipe, self):
            await asyncio.sleep(0.01)

    # --- commands

    def do_keys(self) -> dict[int, bytes]:
        """The worker's keys, by its ports, since this was last asked."""
        found, self.keys = self.keys, {}
        return found

    def do_dial(
        self, target: str, rtp_port: int, calls: int, per_second: float, hold_s: float, transport: str, fresh: bool
    ) -> None:
        """Begin calls. fresh: each on a connection of its own. rtp_port 0: on a port of this process."""
        if not rtp_port:
            rtp_port = self._own_rtp()

        async def all_() -> None:
            way = None if fresh else await self._open(target, transport)
            begin = asyncio.get_running_loop().time()
            for number in range(calls):
                await asyncio.sleep(begin + number / per_second - asyncio.get_running_loop().time())
                if self.leaving.is_set():
                    return
                self.created += 1
                self._begin(self._call(way, hold_s, target, rtp_port, transport))

        self._begin(all_())

    def do_told(self) -> tuple[Outcome, list[SetUp]]:
        """How the calls stand."""
        outcome = Outcome(
            created=self.created,
            up=len(self.calls),
            failed=self.failed,
            refused=self.refused,
            retry_after=self.retry_after,
            setup_ms=[one.answered for one in self.set_up],
            errors="\n".join(self.errors[:12]),
        )
        return outcome, self.set_up

    def do_hang_up(self) -> None:
        """End all calls, and begin no more."""
        self.leaving.set()

    # --- calls

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failed += 1
            self.errors.append(f"{type(error).__name__}: {error}")

    async def _open(self, target: str, transport: str) -> _Way:
        loop = asyncio.get_running_loop()
        host, _, port = target.rpartition("@")[2].rpartition(":")
        if transport == "tls":
            _, way = await loop.create_connection(lambda: _Way(self._take, "TLS"), host, int(port), ssl=self.tls)
        else:
            where = (host, int(port))
            _, way = await loop.create_datagram_endpoint(lambda: _Way(self._take, "UDP"), remote_addr=where)
        return way

    async def _call(self, way: _Way | None, hold_s: float, target: str, rtp_port: int, transport: str) -> None:
        began = time.time_ns()
        own = way is None
        if way is None:
            async with asyncio.timeout(PATIENCE_S):
                way = await self._open(target, transport)
        dialog = sip.Dialog(target, way.port, rtp_port, transport=way.name, crypto=self.crypto)
        call = self.calls[dialog.call_id] = _Call(dialog, began, time.time_ns())
        try:
            way.send(dialog.invite())
            async with asyncio.timeout(PATIENCE_S):
                await call.final.wait()
            if call.status < 300:
                await self._up(call, way, hold_s)
        finally:
            del self.calls[dialog.call_id]
            if own:
                way.close()

    async def _up(self, call: _Call, way: _Way, hold_s: float) -> None:
        call.port = sip.media_address(call.body)[1]
        if key := sip.crypto_key(call.body):
            self.keys[call.port] = key
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(hold_s):
                await self.leaving.wait()
        first = self.first.pop(call.port, 0)
        self.set_up.append(
            SetUp(
                (call.invited - call.began) / MS,
                (call.answered - call.invited) / MS,
                (first - call.invited) / MS if first else None,
            )
        )
        way.send(call.dialog.bye())
        async with asyncio.timeout(PATIENCE_S):
            await call.over.wait()

    def _take(self, way: _Way, message: sip.Message) -> None:
        at = time.time_ns()
        call = self.calls.get(message.one("call-id"))
        if not message.status:
            if message.method != "ACK":
                way.send(sip.response_200(message))
        elif call is None or message.status < 200:
            return
        elif message.method == "BYE":
            call.over.set()
        elif message.method == "INVITE":
            if message.status < 300:
                call.dialog.answered(message)
            way.send(call.dialog.ack(message))
            if not call.final.is_set():
                call.status, call.body, call.answered = message.status, message.body, at * (message.status < 300)
                self.refused += message.status == 503
                self.retry_after += message.status == 503 and bool(message.one("retry-after"))
                self.failed += message.status >= 300 and message.status != 503
                call.final.set()

    # --- audio

    def _own_rtp(self) -> int:
        if self.rtp is None:
            self.rtp = one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            one.bind((sip.OWN, 0))
            one.setblocking(False)
            one.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            asyncio.get_running_loop().add_reader(one.fileno(), self._heard)
        return int(self.rtp.getsockname()[1])

    def _heard(self) -> None:
        assert self.rtp is not None
        with contextlib.suppress(BlockingIOError):
            while True:
                data, extra, _, source = self.rtp.recvmsg(2048, 64)
                if len(data) > 12 and source[1] not in self.first:
                    seconds, rest = struct.unpack("qq", extra[0][2])
                    self.first[source[1]] = seconds * 1_000_000_000 + rest


def _main(pipe: Connection, authority: str, key: bytes) -> None:
    asyncio.run(_Signalling(pipe, authority, key).run())


class Dialler(Child):
    """The parent's hold on it: calls as `Sipp` makes them."""

    def __init__(
        self,
        target: str,
        rtp_port: int,
        *,
        calls: int,
        per_second: float,
        hold_ms: int = FOR_EVER_MS,
        core: int | None = None,
        transport: str = "udp",
        fresh: bool = False,
        authority: str = "",
        key: bytes = b"",
    ) -> None:
        """Begin so many calls at that rate. authority: whose certificates are believed (PEM). key: ours, of SRTP."""
        super().__init__(_main, authority, key, core=core)
        self._calls = calls
        self.ask(
            "dial", target=target, rtp_port=rtp_port, calls=calls, per_second=per_second, hold_s=hold_ms / 1000,
            transport=transport, fresh=fresh,
        )  # fmt: skip

    def outcome(self) -> Outcome:
        """How its calls stand."""
        return self.told()[0]

    def told(self) -> tuple[Outcome, list[SetUp]]:
        """The same, and how each that is over came up."""
        found: tuple[Outcome, list[SetUp]] = self.ask("told")
        return found

    def over(self) -> bool:
        """Whether all calls have ended."""
        outcome = self.outcome()
        return outcome.created >= self._calls and not outcome.up

    def keys(self) -> dict[int, bytes]:
        """The worker's keys by its ports, since this was last asked."""
        found: dict[int, bytes] = self.ask("keys")
        return found

    def hang_up(self) -> None:
        """End all calls with BYE, and the process with them."""
        self.ask("hang_up")
        give_up = time.monotonic() + PATIENCE_S
        while self.outcome().up and time.monotonic() < give_up:
            time.sleep(0.1)
        self.stop()
