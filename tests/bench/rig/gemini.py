"""A Live API that does what a scene tells it, and notes what the worker sends and when. Only what a worker needs."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import Mapping
from typing import Any

import orjson
from rig.realtime import ClientEvent, RealtimeServer, Session, noise_piece
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

APPEND = b'{"realtimeInput":{"audio"'
DELTA_MS = 100

__all__ = ["GeminiServer", "GeminiSession"]


def audio(pcm: bytes) -> bytes:
    """One piece of audio as the service words it."""
    blob = {"mimeType": "audio/pcm;rate=24000", "data": base64.b64encode(pcm).decode()}
    return orjson.dumps({"serverContent": {"modelTurn": {"parts": [{"inlineData": blob}]}}})


class GeminiSession(Session):
    """One connection of the worker's. `events` have the message's field as their type."""

    async def read(self) -> None:
        """Take what comes until the connection ends."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                frame = await self._socket.recv(decode=False)
                now = time.monotonic_ns()
                if frame.startswith(APPEND):
                    self.appends += 1
                    if self.on_append is not None:
                        self.on_append(now, frame)
                    continue
                body = orjson.loads(frame)
                kind = next(iter(body.get("realtimeInput") or body))
                event = ClientEvent(now, kind, body)
                self.events.append(event)
                if kind == "setup":
                    await self.say(setupComplete={})
                if self.on_event is not None:
                    self.on_event(event)
                self._came.set()
        self.closed.set()
        self._came.set()

    async def say(self, **message: Any) -> int:
        """Send a message; returns the time (ns) just before."""
        now = time.monotonic_ns()
        await self._socket.send(orjson.dumps(message), text=False)
        return now

    async def talk(self, ms: int, *, every_s: float = 0.0) -> list[int]:
        """Send noise, all at once or a piece each `every_s`; returns when each piece was sent (ns)."""
        sent = []
        for at in range(0, ms, DELTA_MS):
            sent.append(time.monotonic_ns())
            await self._socket.send(audio(noise_piece(at, min(DELTA_MS, ms - at))), text=False)
            if every_s:
                await asyncio.sleep(every_s)
        return sent

    async def complete(self) -> None:
        """The turn is generated, and played."""
        await self.say(serverContent={"generationComplete": True})
        await self.say(serverContent={"turnComplete": True})

    async def call(self, call_id: str, name: str, args: Mapping[str, Any]) -> int:
        """Let the model call a tool; returns the time (ns) at which the worker could know."""
        at = await self.say(toolCall={"functionCalls": [{"id": call_id, "name": name, "args": dict(args)}]})
        await self.complete()
        return at

    async def endless_talk(self, pieces: list[bytes], phase: float) -> None:
        """Speak for ever, in real time, half a second ahead of it. Until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time() + phase
        for number in range(1_000_000):
            await self._socket.send(pieces[number % len(pieces)], text=False)
            if number >= 5:
                due += DELTA_MS / 1000
                await asyncio.sleep(due - loop.time())


class GeminiServer(RealtimeServer):
    """Listens on loopback; each connection becomes a `GeminiSession`."""

    async def _serve(self, socket: ServerConnection) -> None:
        session = GeminiSession(socket, len(self.sessions))
        self.sessions.append(session)

        def ready(event: ClientEvent) -> None:
            session.on_event = None
            self._ready.put_nowait(session)

        session.on_event = ready
        await session.read()
