"""A WebSocket peer on loopback that does what a scene tells it to, faults included."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from worker.realtime.connection import Provider

KEY = "sk-test-0123456789abcdef"

Scene = Callable[["Peer", ServerConnection], Awaitable[None]]


class Peer:
    """One server; `received` holds the text messages as objects, `headers` and `paths` those of the handshakes."""

    def __init__(self, scene: Scene, refuse: tuple[int, str] | None) -> None:
        self._scene = scene
        self._refuse = refuse
        self.received: list[dict[str, Any]] = []
        self.binary = 0
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.port = 0

    @property
    def provider(self) -> Provider:
        return Provider(
            name="gateway",
            url=f"ws://127.0.0.1:{self.port}/v1?tenant=7",
            key=KEY,
            model="m-1",
            headers={"X-Own": "yes"},
        )

    def check(self, ws: ServerConnection, request: Request) -> Response | None:
        self.paths.append(request.path)
        self.headers.append({k.lower(): v for k, v in request.headers.raw_items()})
        return ws.respond(*self._refuse) if self._refuse else None

    async def play(self, ws: ServerConnection) -> None:
        try:
            await self._scene(self, ws)
        except ConnectionClosed:
            pass

    async def say(self, ws: ServerConnection, **message: Any) -> None:
        await ws.send(json.dumps(message))

    async def hear(self, ws: ServerConnection) -> dict[str, Any]:
        raw = await ws.recv()
        self.binary += isinstance(raw, bytes)
        self.received.append(json.loads(raw))
        return self.received[-1]

    async def greet(self, ws: ServerConnection, **audio: Any) -> None:
        """Begin a session as the service does; `audio` overrides the effective formats."""
        await self.say(ws, type="session.created", session={"id": "sess_1", "type": "realtime"})
        update = await self.hear(ws)
        session = {**update["session"], "id": "sess_1"}
        for side, wire in audio.items():
            session["audio"][side]["format"] = wire
        await self.say(ws, type="session.updated", session=session)

    async def listen(self, ws: ServerConnection) -> None:
        while True:
            await self.hear(ws)


@pytest.fixture
def peer() -> Callable[..., Any]:
    """`async with peer(scene) as p`: a server that plays the scene to each that connects."""

    @asynccontextmanager
    async def start(scene: Scene, *, refuse: tuple[int, str] | None = None, **options: Any) -> AsyncIterator[Peer]:
        made = Peer(scene, refuse)
        server = await serve(
            made.play, "127.0.0.1", 0, process_request=made.check, compression="deflate", close_timeout=1, **options
        )
        made.port = server.sockets[0].getsockname()[1]
        try:
            yield made
        finally:
            server.close()
            await server.wait_closed()

    return start


async def until(condition: Callable[[], Any], what: str, bound_s: float = 5.0) -> None:
    """Wait until a condition holds."""
    try:
        async with asyncio.timeout(bound_s):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"did not happen within {bound_s} s: {what}") from None


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., Awaitable[None]]:
    return until
