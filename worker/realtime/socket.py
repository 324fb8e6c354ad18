"""The WebSocket under a realtime connection: `websockets`' own, with callbacks where it has tasks and queues.

A message is handed on within the callback that brought its bytes, and one that may go out now is written at once. With
the library's `recv()` and the SDK's `send_raw()` each message costs a future, a task switch and a walk through several
context managers: at 100 calls a quarter of the event loop's time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import Event, State

__all__ = ["RealtimeSocket"]

Bytes = bytes | bytearray | memoryview


class RealtimeSocket(ClientConnection):
    """What `websockets.connect(create_connection=...)` makes. On the event loop only.

    `on_message` gets each whole message, `on_writable` is called when a slow peer has caught up. Neither may raise.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take what `websockets` gives its connections."""
        super().__init__(*args, **options)
        self.on_message: Callable[[Bytes], None] = _nothing
        self.on_writable: Callable[[], None] = _nothing
        self._on_lost: Callable[[], None] = _nothing
        self._pieces: list[Bytes] = []

    def when_lost(self, tell: Callable[[], None]) -> None:
        """Have this called once the connection is gone, at once if it is; `protocol.close_exc` says why."""
        self._on_lost = tell
        if self.protocol.state is State.CLOSED:
            tell()

    def deaf(self) -> None:
        """Tell nobody anything any more."""
        self.on_message = self.on_writable = self._on_lost = _nothing

    def send_now(self, message: bytes) -> bool:
        """Write a text message; False if the peer is not ready for one: it reads too slowly, or is gone."""
        if self.paused or self.protocol.state is not State.OPEN:
            return False
        self.protocol.send_text(message)
        self.send_data()
        return True

    async def answered_or_gone(self) -> None:
        """Ping the peer, and wait for its pong without a bound, or until the connection is gone."""
        with contextlib.suppress(ConnectionClosed):  # which is told as ever
            await (await self.ping())

    def process_event(self, event: Event) -> None:
        """Take what the protocol made of the bytes that came in."""
        if type(event) is Frame and event.opcode in DATA_OPCODES:
            self._pieces.append(event.data)  # all of them together are bounded by max_size
            if event.fin:
                message = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
                self._pieces.clear()
                self.on_message(message)
        else:
            super().process_event(event)

    def resume_writing(self) -> None:
        """The transport's buffer has drained."""
        super().resume_writing()
        self.on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, for whatever reason."""
        super().connection_lost(exc)
        self._on_lost()


def _nothing(*_: object) -> None:
    """Nobody listens."""
