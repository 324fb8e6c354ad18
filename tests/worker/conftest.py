"""A WebSocket peer on loopback that does what a scene tells it to, faults included."""

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from worker.realtime.provider import Provider

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
        session = {**copy.deepcopy(update["session"]), "id": "sess_1"}
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


class Service:
    """A realtime service that begins sessions by itself and otherwise says what the test says, when it says it."""

    def __init__(self, until: Callable[..., Awaitable[None]]) -> None:
        self._until = until
        self.peer: Peer
        self.sockets: list[ServerConnection] = []
        self.heard: list[list[dict[str, Any]]] = []
        """What each session was sent, session.update aside."""
        self.items = 0

    async def scene(self, peer: Peer, ws: ServerConnection) -> None:
        await peer.greet(ws)
        self.sockets.append(ws)
        self.heard.append([])
        heard = self.heard[-1]
        while True:
            heard.append(await peer.hear(ws))

    async def say(self, kind: str, **message: Any) -> None:
        await self.peer.say(self.sockets[-1], type=kind, **message)

    def sent(self, *kinds: str, session: int = -1) -> list[dict[str, Any]]:
        """What a session was sent of these types (of all but audio, without any)."""
        heard = self.heard[session] if self.heard else []
        return [m for m in heard if (m["type"] in kinds if kinds else m["type"] != "input_audio_buffer.append")]

    async def got(self, kind: str, count: int = 1, *, session: int = -1) -> dict[str, Any]:
        """Wait for the so-manieth message of a type; returns it."""
        await self._until(lambda: len(self.sent(kind, session=session)) >= count, f"{count} {kind}: {self.sent()}")
        return self.sent(kind, session=session)[count - 1]

    async def sessions(self, count: int) -> None:
        await self._until(lambda: len(self.sockets) >= count, f"{count} sessions")

    async def cut(self) -> None:
        """Lose the session as a broken network does."""
        self.sockets[-1].transport.abort()


@pytest.fixture
async def service(peer: Callable[..., Any]) -> AsyncIterator[Service]:
    """A `Service` that listens."""
    made = Service(until)
    async with peer(made.scene) as server:
        made.peer = server
        yield made
