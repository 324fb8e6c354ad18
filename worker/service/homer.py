"""Tells a Homer of calls, by HEP3 over UDP. What it can't take at once is dropped: no call waits for it."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

import structlog

from telephony.events import CallEvent
from worker.records.captures import Captures
from worker.records.hep import packet
from worker.settings.values import HttpAddress

__all__ = ["Homer"]

log = structlog.get_logger(__name__)

LOOK_UP_S = 60.0
"""Its name is looked up again so often: it may have moved."""
LOOK_UP_BOUND_S = 5.0
TOLD_S = 60.0
"""What was lost is told in the log, at most so often."""
ANY = ("0.0.0.0", "::")


class Homer:
    """One worker's. On the event loop only."""

    def __init__(
        self,
        server: HttpAddress,
        agent: int,
        password: str | None,
        host: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """agent: our number as a capture agent. host: where our SIP is, 0.0.0.0 for the address that Homer sees."""
        self._server, self._agent, self._password, self._host, self._clock = server, agent, password, host, clock
        self._name = f"{server.host}:{server.port}"
        self._captures = Captures()
        self._socket: socket.socket | None = None
        self._there: object = None
        self._told_at = -TOLD_S
        self.port = 0
        """Of our SIP, once it is known."""
        self.sent = self.lost = 0
        """Datagrams that went out, and that did not."""

    def told(self, event: CallEvent) -> None:
        """Take an event of the telephone's. Returns at once, and raises nothing for a Homer that is away."""
        at = getattr(event, "at_s", None)
        unix = time.time() - (0.0 if at is None else self._clock() - at)
        for capture in self._captures.of(event, unix, (self._host, self.port)):
            self._send(packet(capture, self._agent, self._password))

    def _send(self, datagram: bytes) -> None:
        if self._socket is None:
            self._failed("its name is not known yet")
            return
        try:
            self._socket.send(datagram)
            self.sent += 1
        except OSError as error:  # nobody listens there, or the buffer is full
            self._failed(error.strerror or str(error))

    def _failed(self, reason: str) -> None:
        self.lost += 1
        now = self._clock()
        if now - self._told_at >= TOLD_S:
            self._told_at = now
            log.warning("hep_not_sent", server=self._name, reason=reason, lost=self.lost)

    async def run(self) -> None:
        """Find the server, again and again, until cancelled."""
        try:
            while True:
                await self._look_up()
                await asyncio.sleep(LOOK_UP_S)
        finally:
            self._close()

    async def _look_up(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(LOOK_UP_BOUND_S):
                found = await loop.getaddrinfo(self._server.host, self._server.port, type=socket.SOCK_DGRAM)
            family, kind, protocol, _, there = found[0]
            if there != self._there:
                self._connect(socket.socket(family, kind, protocol), there)
        except (OSError, TimeoutError) as error:
            reason = getattr(error, "strerror", None) or "no answer"
            log.warning("hep_server_not_found", server=self._name, reason=reason)

    def _connect(self, made: socket.socket, there: tuple[object, ...]) -> None:
        try:
            made.setblocking(False)
            made.connect(there)
        except OSError:
            made.close()
            raise
        self._close()
        self._socket, self._there = made, there
        if self._host in ANY:
            self._host = str(made.getsockname()[0])

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = self._there = None
