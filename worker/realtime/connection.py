"""The shell around a codec: one call's connection to its provider.

A provider's own room connects and authenticates (`Dial`); messages then go straight to and from the socket. After a
`ConnectionLost` the owner calls `open` again and tells the new session what was said. **What comes in is handed on in
the socket's own callback**, and nothing there waits: whatever takes time belongs in a task of the owner's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import structlog

from worker.realtime.base import Codec, Dial, Frame, HangUp, RealtimeRefused, SessionConfig
from worker.realtime.events import ConnectionLost, ProviderError, RealtimeEvent, SessionReady
from worker.realtime.outbox import Outbox
from worker.realtime.provider import Provider
from worker.realtime.refusal import close_is_fatal, close_of, refused_close
from worker.realtime.socket import Bytes, RealtimeSocket

__all__ = ["RealtimeConnection", "reconnect_delays"]

log = structlog.get_logger(__name__)

TOO_SLOW = 1013  # RFC 6455's "try again later", for a peer that stopped reading
EXPIRED = "session_expired"
OUR_BUG = (1011, "an error of our own; the log has it")
CLOSED_BY_US = "closed by us before a session began"


def reconnect_delays(
    spread: float = 0.0, *, attempts: int = 6, first_s: float = 0.25, limit_s: float = 4.0
) -> list[float]:
    """Return the seconds to wait before each attempt to reconnect: at once, then doubling up to `limit_s`.

    `spread` is a random number of the caller's from 0 to 1 that shortens the waits by up to a half, so that
    the calls of a worker don't all come back in one moment.
    """
    waits = [0.0] + [min(limit_s, first_s * 2**n) for n in range(attempts - 1)]
    return [wait * (1 - spread / 2) for wait in waits[:attempts]]


class RealtimeConnection:
    """One call's connection to its provider; may be opened again after a loss.

    `on_event` gets every event of the session, and once a `ConnectionLost` if the session ends without
    `close()`. What it raises is logged and changes nothing. `on_ready` is called before it for a session that begins,
    `on_lost` after it for one that is lost: both are its owner's, who keeps a session open.
    """

    def __init__(
        self,
        provider: Provider,
        codec: Codec,
        on_event: Callable[[RealtimeEvent], None],
        dial: Dial,
        *,
        call_id: str = "",
        outbox: Outbox | None = None,
    ) -> None:
        """Take the recipe; nothing happens before `open`."""
        self.on_event = on_event
        self.on_ready: Callable[[SessionReady], None] = lambda ready: None
        self.on_lost: Callable[[ConnectionLost], None] = lambda lost: None
        self._dial = dial
        self._provider = provider
        self._codec = codec
        self._log = log.bind(call_id=call_id, provider=provider.name)
        self._outbox = Outbox() if outbox is None else outbox
        self._hang_up: HangUp | None = None
        self._socket: RealtimeSocket | None = None
        self._closing: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[SessionReady] | None = None
        self._is_open = False
        self._fatal = False
        self._failure: tuple[int, str] | None = None
        self._attempt = 0
        self._probing: asyncio.Task[None] | None = None

    @property
    def codec(self) -> Codec:
        """The codec, for making frames."""
        return self._codec

    @property
    def is_open(self) -> bool:
        """Whether a session is confirmed and not yet lost."""
        return self._is_open

    @property
    def dropped_audio(self) -> int:
        """How many audio frames were given up because the provider read too slowly."""
        return self._outbox.dropped_audio

    async def open(self, config: SessionConfig, *, timeout_s: float = 10.0) -> SessionReady:
        """Connect, send the settings and wait until the provider confirms them.

        Raises:
            RealtimeRefused: no session was had; its message says why and how to mend it.
            ValueError: `config` has a format that the provider's protocol doesn't know.
        """
        await self.close()
        self._codec.reset()
        update = self._codec.session_update(config)
        self._fatal, self._failure = False, None
        self._ready = asyncio.get_running_loop().create_future()
        attempt = self._attempt
        try:
            async with asyncio.timeout(timeout_s):
                self._hang_up = await self._dial(self._provider, self._attach)
                if attempt != self._attempt:
                    raise RealtimeRefused(CLOSED_BY_US)
                assert self._socket is not None
                self._socket.when_lost(self._gone)
                for frame in update:
                    self._put(frame)
                ready = await self._ready
        except TimeoutError:
            await self.close()
            name, where = self._provider.name, self._provider.address
            raise RealtimeRefused(f"{name} at {where} did not begin a session within {timeout_s:g} s") from None
        except BaseException:
            await self.close()
            raise
        formats = {"input": ready.input_format, "output": ready.output_format}
        self._log.info("realtime_session_ready", session_id=ready.session_id, **formats)
        return ready

    def append(self, pcm: bytes) -> None:
        """Queue the caller's audio; without a session it is dropped, in overflow the oldest waiting is."""
        if self._is_open and pcm:
            frame = self._codec.append(pcm)
            if not self._send_now(frame):
                self._outbox.put_audio(frame)

    def send(self, frames: Iterable[Frame]) -> bool:
        """Queue frames that must arrive; False when there is no session to send them to."""
        return self._is_open and all(self._put(frame) for frame in frames)

    def give_up(self, reason: str) -> None:
        """Have done with a session that still stands: it is lost, and nothing that it says counts any more."""
        if self._socket is not None:
            self._socket.deaf()
        if self._is_open:
            self._is_open = False
            self._failure = (1000, reason)
            self._ended(ConnectionLost(1000, reason, False))

    def probe(self, within_s: float | None) -> None:
        """Ask the peer for a sign of life (RFC 6455 5.5.2): without one in so many seconds the session is lost."""
        if within_s is not None and self._is_open and self._socket is not None and self._probing is None:
            self._probing = asyncio.create_task(self._probe(self._socket, within_s), name="realtime-probe")

    async def _probe(self, socket: RealtimeSocket, within_s: float) -> None:
        try:
            async with asyncio.timeout(within_s):
                await socket.answered_or_gone()
        except TimeoutError:
            if socket is self._socket:
                self._fail(1011, f"no answer to a ping within {within_s:g} s")
        finally:
            self._probing = None

    async def close(self) -> None:
        """End the session, if there is one; what is still queued is not sent. No `ConnectionLost` follows."""
        self._is_open = False
        self._attempt += 1
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(RealtimeRefused(CLOSED_BY_US))
            self._ready.exception()  # it need not be awaited any more
        if self._probing is not None:
            self._probing.cancel()
        hang_up, self._hang_up = self._hang_up, None
        if self._socket is not None:
            self._socket.deaf()
            self._socket = None
        if hang_up is not None:
            await hang_up(1000)
        self._outbox.clear()

    def _attach(self, *args: Any, **options: Any) -> RealtimeSocket:
        """Make the socket of a connection that begins: its first message may come with the handshake's end."""
        if self._socket is not None:
            self._socket.deaf()  # it was redirected
        self._socket = RealtimeSocket(*args, **options)
        self._socket.on_message, self._socket.on_writable = self._message, self._flush
        return self._socket

    def _put(self, frame: Frame) -> bool:
        if self._send_now(frame):
            return True
        if self._outbox.put(frame):
            return True
        self._fail(TOO_SLOW, "the provider stopped reading")
        return False

    def _send_now(self, frame: Frame) -> bool:
        """Write a frame, unless others wait that came before it, or the provider reads too slowly."""
        return self._socket is not None and not self._outbox and self._socket.send_now(frame)

    def _flush(self) -> None:
        """The provider has caught up: send what waited."""
        while self._socket is not None and (frame := self._outbox.peek()) is not None and self._socket.send_now(frame):
            self._outbox.pop()

    def _message(self, raw: Bytes) -> None:
        try:
            for event in self._codec.decode(raw):
                if self._failure is None:
                    self._take(event)
        except Exception:
            self._log.exception("realtime_reader_failed")
            self._fail(*OUR_BUG)

    def _gone(self) -> None:
        """The connection has ended without our `close()`."""
        assert self._socket is not None
        self._lost(*(self._failure or close_of(self._socket.protocol.close_exc)))

    def _take(self, event: RealtimeEvent) -> None:
        if isinstance(event, ProviderError):
            event = replace(event, message=self._provider.scrub(event.message))
            self._fatal = self._fatal or event.fatal
            if self._refuses(event):
                return
        elif isinstance(event, SessionReady) and self._ready is not None and not self._ready.done():
            self._is_open = True
            self._ready.set_result(event)
            self.on_ready(event)
        self._emit(event)
        if isinstance(event, ProviderError) and event.code == EXPIRED:
            self._fail(1001, EXPIRED)

    def _refuses(self, error: ProviderError) -> bool:
        """Turn an error into open()'s exception, if it means that the session won't be as asked for."""
        if self._ready is None or self._ready.done() or not (error.fatal or error.request == "session_update"):
            return False
        where = f"{self._provider.name} at {self._provider.address}"
        text = f"{where} refused the session ({error.code}): {error.message}"
        self._ready.set_exception(RealtimeRefused(text, fatal=True, settings=True))
        return True

    def _lost(self, code: int, reason: str) -> None:
        was_open, self._is_open = self._is_open, False
        another = self._codec.closed(code, reason)
        if self._ready is not None and not self._ready.done():
            refused = refused_close(self._provider, code, reason)
            refused.fatal = refused.fatal and not another
            self._ready.set_exception(refused)
        if not was_open:
            return
        fatal = self._fatal or close_is_fatal(self._provider.dialect, code, reason)
        reason = self._provider.scrub(reason)
        self._log.warning("realtime_connection_lost", code=code, reason=reason, fatal=fatal)
        self._ended(ConnectionLost(code, reason, fatal))

    def _ended(self, lost: ConnectionLost) -> None:
        self._emit(lost)
        self.on_lost(lost)

    def _fail(self, code: int, reason: str) -> None:
        """Give the connection up. Its loss is told at once: the peer need not answer our close."""
        if self._failure is not None or self._socket is None or self._hang_up is None:
            return
        self._failure = (code, reason)
        self._closing = asyncio.create_task(self._abort(self._socket, self._hang_up), name="realtime-closer")

    async def _abort(self, socket: RealtimeSocket, hang_up: HangUp) -> None:
        if socket is self._socket:
            socket.deaf()
            self._gone()
        await hang_up(1000)

    def _emit(self, event: RealtimeEvent) -> None:
        try:
            self.on_event(event)
        except Exception:
            self._log.exception("realtime_event_handler_failed", event_type=type(event).__name__)
