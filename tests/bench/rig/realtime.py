"""A realtime server that does what a scene tells it, and notes what the worker sends and when.

It speaks the part of OpenAI's GA protocol that a worker needs. Hot messages are prepared bytes; the rest is JSON.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from rig.audio import SESSION_HZ, session_noise
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

APPEND = b'{"type":"input_audio_buffer.append"'
ENVELOPE = len(APPEND + b',"audio":""}')
BYTES_PER_MS = SESSION_HZ * 2 // 1000
DELTA_MS = 100
NOISE_MS = 10_000
AHEAD_MS = 500
WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class ClientEvent:
    """A control event of the worker's. `at`: monotonic ns when it had been read."""

    at: int
    type: str
    body: Mapping[str, Any]


@dataclass(slots=True)
class Speech:
    """Audio of one item that was sent."""

    response_id: str
    item_id: str
    ms: int
    sent_at: list[int] = field(default_factory=list)
    """monotonic ns just before each delta was given to the socket."""


def delta(response_id: str, item_id: str, pcm: bytes) -> bytes:
    """One audio delta as the service words it."""
    head = {
        "type": "response.output_audio.delta",
        "event_id": "event_bench",
        "response_id": response_id,
        "item_id": item_id,
        "output_index": 0,
        "content_index": 0,
    }
    return orjson.dumps({**head, "delta": base64.b64encode(pcm).decode()})


def noise_piece(at_ms: int, ms: int) -> bytes:
    """A piece of the noise that all items consist of."""
    pcm = session_noise(NOISE_MS)
    return pcm[at_ms * BYTES_PER_MS : (at_ms + ms) * BYTES_PER_MS]


class Session:
    """One connection of the worker's."""

    def __init__(self, socket: ServerConnection, number: int) -> None:
        self.number = number
        self.events: list[ClientEvent] = []
        self.appends = 0
        self.append_bytes = 0
        self.on_append: Callable[[int, bytes], None] | None = None
        """Gets the time and the frame of every append."""
        self.on_event: Callable[[ClientEvent], None] | None = None
        self.closed = asyncio.Event()
        self._turn = ""
        self._socket = socket
        self._ids = itertools.count(1)
        self._came = asyncio.Event()

    # --- from the worker

    async def read(self) -> None:
        """Take what comes until the connection ends."""
        await self.send("session.created", session={"id": f"sess_{self.number}", "type": "realtime"})
        with contextlib.suppress(ConnectionClosed):
            while True:
                frame = await self._socket.recv(decode=False)
                now = time.monotonic_ns()
                if frame.startswith(APPEND):
                    self.appends += 1
                    self.append_bytes += len(frame)
                    if self.on_append is not None:
                        self.on_append(now, frame)
                else:
                    await self._control(now, orjson.loads(frame))
        self.closed.set()
        self._came.set()

    async def _control(self, now: int, body: dict[str, Any]) -> None:
        event = ClientEvent(now, body["type"], body)
        self.events.append(event)
        self._came.set()
        if self.on_event is not None:
            self.on_event(event)
        if event.type == "session.update":
            await self.send("session.updated", session={"id": f"sess_{self.number}", **body["session"]})
        elif event.type == "conversation.item.create":
            item = {"id": f"item_c{next(self._ids)}", **body["item"]}
            await self.send("conversation.item.added", item=item, previous_item_id=None)
        elif event.type == "conversation.item.truncate":
            kept = {name: body[name] for name in ("item_id", "content_index", "audio_end_ms")}
            await self.send("conversation.item.truncated", **kept)
        elif event.type == "conversation.item.delete":
            await self.send("conversation.item.deleted", item_id=body["item_id"])

    async def wait(self, type_: str, after: int = 0, **fields: Any) -> ClientEvent:
        """The first such event after that time (ns). Raises TimeoutError."""
        async with asyncio.timeout(WAIT_S):
            while True:
                for event in self.events:
                    if event.type == type_ and event.at > after:
                        if all(event.body.get(key) == value for key, value in fields.items()):
                            return event
                self._came.clear()
                await self._came.wait()

    # --- to the worker

    async def send(self, type_: str, **fields: Any) -> int:
        """Send an event; returns the time (ns) just before."""
        frame = orjson.dumps({"type": type_, "event_id": f"event_{next(self._ids)}", **fields})
        now = time.monotonic_ns()
        await self._socket.send(frame, text=True)
        return now

    async def send_raw(self, frame: bytes) -> int:
        """Send a prepared frame; returns the time (ns) just before."""
        now = time.monotonic_ns()
        await self._socket.send(frame, text=True)
        return now

    @property
    def audio_ms(self) -> float:
        """How much of the caller's audio was appended so far: the clock of the server's VAD."""
        return (self.append_bytes - self.appends * ENVELOPE) * 3 / 4 / BYTES_PER_MS

    async def speech_started(self) -> int:
        """The caller begins to speak, as the server hears it."""
        self._turn = f"item_u{self.number}_{next(self._ids)}"
        where = {"audio_start_ms": int(self.audio_ms), "item_id": self._turn}
        return await self.send("input_audio_buffer.speech_started", **where)

    async def speech_stopped(self) -> int:
        """The caller's turn is over."""
        where = {"audio_end_ms": int(self.audio_ms), "item_id": self._turn}
        at = await self.send("input_audio_buffer.speech_stopped", **where)
        await self.send("input_audio_buffer.committed", item_id=self._turn, previous_item_id=None)
        return at

    async def begin_response(self, metadata: Mapping[str, str] | None = None, response_id: str = "") -> str:
        """Create a response; returns its id."""
        response_id = response_id or f"resp_{self.number}_{next(self._ids)}"
        response = {"id": response_id, "object": "realtime.response", "status": "in_progress", "output": []}
        await self.send("response.created", response={**response, "metadata": metadata})
        return response_id

    async def end_response(
        self, response_id: str, status: str = "completed", metadata: Mapping[str, str] | None = None, **more: Any
    ) -> int:
        """End a response."""
        response = {"id": response_id, "object": "realtime.response", "status": status, "output": [], **more}
        return await self.send("response.done", response={**response, "metadata": metadata})

    async def begin_item(self, response_id: str, item_id: str = "") -> str:
        """Add a spoken item to a response; returns its id."""
        item_id = item_id or f"item_a{self.number}_{next(self._ids)}"
        item = {"id": item_id, "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        await self.send("response.output_item.added", response_id=response_id, output_index=0, item=item)
        await self.send("conversation.item.added", item=item, previous_item_id=None)
        return item_id

    async def speak(self, response_id: str, ms: int, *, every_s: float = 0.0) -> Speech:
        """Send an item of noise, all at once or a delta each `every_s`; it is ended only where it is all at once."""
        speech = Speech(response_id, await self.begin_item(response_id), ms)
        for at_ms in range(0, ms, DELTA_MS):
            frame = delta(response_id, speech.item_id, noise_piece(at_ms, min(DELTA_MS, ms - at_ms)))
            speech.sent_at.append(await self.send_raw(frame))
            if every_s:
                await asyncio.sleep(every_s)
        await self.end_item(speech)
        return speech

    async def end_item(self, speech: Speech) -> None:
        """All of an item's audio was sent."""
        where = {"response_id": speech.response_id, "item_id": speech.item_id, "output_index": 0}
        await self.send("response.output_audio.done", **where, content_index=0)
        await self.send("response.output_audio_transcript.done", **where, content_index=0, transcript="noise")
        item = {"id": speech.item_id, "type": "message", "role": "assistant", "status": "completed", "content": []}
        await self.send("response.output_item.done", response_id=speech.response_id, output_index=0, item=item)
        await self.send("conversation.item.done", item=item, previous_item_id=None)

    async def call_tool(self, response_id: str, name: str, arguments: Mapping[str, Any]) -> tuple[str, int]:
        """Let the model call a tool; returns the call's id and the time (ns) at which the worker could know."""
        item_id, call_id = f"item_f{self.number}_{next(self._ids)}", f"call_{self.number}_{next(self._ids)}"
        text = orjson.dumps(arguments).decode()
        item = {"id": item_id, "type": "function_call", "call_id": call_id, "name": name, "arguments": ""}
        where = {"response_id": response_id, "output_index": 0}
        await self.send("response.output_item.added", **where, item={**item, "status": "in_progress"})
        await self.send(
            "response.function_call_arguments.done",
            **where,
            item_id=item_id,
            call_id=call_id,
            name=name,
            arguments=text,
        )
        done = {**item, "arguments": text, "status": "completed"}
        at = await self.send("response.output_item.done", **where, item=done)
        return call_id, at

    async def endless(self, frames: list[bytes], phase: float) -> None:
        """Speak for ever, in real time, `AHEAD_MS` ahead of it: prepared deltas, played round. Until cancelled."""
        for frame in frames[: AHEAD_MS // DELTA_MS]:
            await self.send_raw(frame)
        loop = asyncio.get_running_loop()
        due = loop.time() + phase
        for frame in itertools.cycle(frames[AHEAD_MS // DELTA_MS :] + frames[: AHEAD_MS // DELTA_MS]):
            due += DELTA_MS / 1000
            await asyncio.sleep(due - loop.time())
            await self._socket.send(frame, text=True)


def endless_frames(response_id: str, item_id: str, ms: int = 5000) -> list[bytes]:
    """The deltas of `Session.endless`; sessions whose ids are alike can share them."""
    return [delta(response_id, item_id, noise_piece(at, DELTA_MS)) for at in range(0, ms, DELTA_MS)]


def append_audio(frame: bytes) -> bytes:
    """The PCM of an append."""
    return base64.b64decode(orjson.loads(frame)["audio"])


class RealtimeServer:
    """Listens on loopback; each connection becomes a `Session`."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self._ready: asyncio.Queue[Session] = asyncio.Queue()
        self._server: Server | None = None
        self.url = ""

    async def start(self, listener: socket.socket | None = None) -> None:
        """Listen on a free port, or take over a socket that listens already."""
        session_noise(NOISE_MS)
        options: dict[str, Any] = {"compression": None, "max_size": 1 << 24, "ping_interval": None, "close_timeout": 1}
        where: dict[str, Any] = {"host": "127.0.0.1", "port": 0} if listener is None else {"sock": listener}
        self._server = await serve(self._serve, **where, **options)
        port = next(iter(self._server.sockets)).getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}/v1"

    async def _serve(self, socket: ServerConnection) -> None:
        session = Session(socket, len(self.sessions))
        self.sessions.append(session)

        def ready(event: ClientEvent) -> None:
            if event.type == "session.update":
                session.on_event = None
                self._ready.put_nowait(session)

        session.on_event = ready
        await session.read()

    async def next(self) -> Session:
        """The next session that the worker opens. Raises TimeoutError."""
        async with asyncio.timeout(WAIT_S):
            return await self._ready.get()

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
