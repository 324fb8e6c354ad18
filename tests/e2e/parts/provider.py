"""A realtime service that a test plays: it begins sessions as the service does, and says what the test says.

It stands at the boundary, a WebSocket server on loopback that speaks the provider's protocol. What it "says" are tones,
so that a caller can tell one answer from another; it hears nothing: the test says when the caller speaks.
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from parts import sound
from parts.program import BOUND_S, until
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

RATE = 24000
FILLER_HZ = 450
FILLER_MS = 500
ANSWER_HZ = 900
ANSWER_MS = 600
WORDS_HZ = 700
WORDS_MS = 800
"""What is asked for word by word (greeting, goodbye)."""
GREETED_S = 1.0
"""A worker that greets has asked for it by then."""


@dataclass
class Opening:
    """How the next connection is met."""

    refuse: tuple[int, str] | None = None
    """HTTP status and body in place of the handshake."""
    close: tuple[int, str] | None = None
    """Close code and reason at once."""
    silent: bool = False
    """The session never begins."""
    formats: Mapping[str, Any] = field(default_factory=dict)
    """Audio formats in session.updated other than those asked for, by side."""
    first: tuple[Mapping[str, Any], ...] = ()
    """Events before session.created."""


class Session:
    """One realtime session. Every function may be called from the test's thread."""

    def __init__(self, connection: ServerConnection, loop: asyncio.AbstractEventLoop) -> None:
        self.connection = connection
        self.received: list[dict[str, Any]] = []
        """Every message but audio, in order."""
        self.audio = bytearray()
        """The caller's audio, as the session's format has it."""
        self.sent: list[dict[str, Any]] = []
        self.timeline: list[tuple[str, dict[str, Any]]] = []
        """What was received and sent, in one order: ("<", message) and (">", message)."""
        self.answers = True
        """Whether a response.create is answered with a tone by itself."""
        self.wedges = False
        """Whether it generates nothing at all, as Gemini does, while a function call of its own has no answer."""
        self.open = True
        self._loop = loop
        self._numbers = 0
        self._begun = threading.Event()
        """A response of this session was sent to its end."""

    # --- the wire

    def send(self, kind: str, **fields: Any) -> None:
        """Send one event."""
        message = {"type": kind, "event_id": self.new("event"), **fields}
        self.sent.append(message)
        self.timeline.append((">", message))
        self._run(self.connection.send(json.dumps(message)))

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(BOUND_S)
        else:
            task = self._loop.create_task(coroutine)
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def cut(self) -> None:
        """Lose the connection as a broken network does."""
        self._loop.call_soon_threadsafe(self.connection.transport.abort)

    def new(self, kind: str) -> str:
        """A fresh id."""
        self._numbers += 1
        return f"{kind}_{id(self) & 0xFFFFFF:x}_{self._numbers}"

    def take(self, message: dict[str, Any]) -> None:
        """On the loop: one message of the client's."""
        if message["type"] == "input_audio_buffer.append":
            self.audio += base64.b64decode(message["audio"])
            return
        self.received.append(message)
        self.timeline.append(("<", message))
        if message["type"] == "conversation.item.create":
            item = {"id": self.new("item"), "object": "realtime.item", "status": "completed", **message["item"]}
            self.send("conversation.item.added", previous_item_id=None, item=item)
            self.send("conversation.item.done", previous_item_id=None, item=item)
        elif message["type"] == "response.create" and self.answers and not (self.wedges and self.unanswered()):
            self.answer(message)

    # --- what the client said

    def got(self, kind: str, where: Callable[[dict[str, Any]], Any] = lambda message: True) -> list[dict[str, Any]]:
        """The messages of a type so far that fit."""
        return [message for message in list(self.received) if message["type"] == kind and where(message)]

    def wait(
        self,
        kind: str,
        where: Callable[[dict[str, Any]], Any] = lambda message: True,
        *,
        count: int = 1,
        within: float = BOUND_S,
    ) -> dict[str, Any]:
        """Wait for the so-manieth message of a type that fits."""
        what = lambda: f"{count} {kind}; the last were {self.received[-6:]}"  # noqa: E731
        return until(lambda: self.got(kind, where)[count - 1 : count], what, within)[0]

    def output(self, call_id: str, within: float = BOUND_S) -> dict[str, Any]:
        """Wait for the one answer to a function call; returns it as an object."""
        fits = lambda message: message["item"].get("call_id") == call_id  # noqa: E731
        fits_output = lambda message: fits(message) and message["item"]["type"] == "function_call_output"  # noqa: E731
        text = self.wait("conversation.item.create", fits_output, within=within)["item"]["output"]
        found = json.loads(text)
        return found if isinstance(found, dict) else {"result": found}

    def outputs(self, call_id: str) -> int:
        """How often a function call was answered."""
        items = [message["item"] for message in self.got("conversation.item.create")]
        return sum(item.get("call_id") == call_id and item["type"] == "function_call_output" for item in items)

    def unanswered(self) -> list[str]:
        """The function calls that have no answer: made here, or told of by the client to a new session."""
        found: dict[str, None] = {}
        for way, message in list(self.timeline):
            item = message.get("item", {})
            if way == ">" and message["type"] == "response.function_call_arguments.done":
                found[message["call_id"]] = None
            elif way == "<" and item.get("type") == "function_call":
                found[item["call_id"]] = None
            elif way == "<" and item.get("type") == "function_call_output":
                found.pop(item["call_id"], None)
        return list(found)

    def texts(self) -> list[tuple[str, str]]:
        """The text items that the client made: role and text."""
        items = [message["item"] for message in self.got("conversation.item.create")]
        return [(item["role"], item["content"][0]["text"]) for item in items if item["type"] == "message"]

    # --- what the service does

    def begin(self, metadata: Mapping[str, str] | None = None) -> str:
        """Create a response; returns its id."""
        response_id = self.new("resp")
        response = {"id": response_id, "status": "in_progress", "metadata": dict(metadata or {}), "output": []}
        self.send("response.created", response=response)
        return response_id

    def speak(self, response_id: str, hz: int, ms: float, *, words: str = "", end: bool = True) -> str:
        """A spoken item in a response: a tone. Returns the item's id."""
        item_id = self.new("item")
        item = {"id": item_id, "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        self.send("response.output_item.added", response_id=response_id, output_index=0, item=item)
        self.stream(response_id, item_id, sound.tone(hz, ms, RATE))
        self.send("response.output_audio_transcript.done", **self._of(response_id, item_id), transcript=words)
        if end:
            self.send("response.output_audio.done", **self._of(response_id, item_id))
        return item_id

    def stream(self, response_id: str, item_id: str, pcm: bytes, chunk: int = 24000) -> None:
        """Audio of an item, in pieces."""
        for at in range(0, len(pcm), chunk):
            delta = base64.b64encode(pcm[at : at + chunk]).decode()
            self.send("response.output_audio.delta", **self._of(response_id, item_id), delta=delta)

    def call(self, response_id: str, name: str, arguments: Any = None, *, call_id: str | None = None) -> str:
        """A function call in a response; text is taken as it is. Returns its call id."""
        call_id = call_id or self.new("call")
        text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
        item_id = self.new("item")
        item = {"id": item_id, "type": "function_call", "call_id": call_id, "name": name, "arguments": ""}
        self.send("response.output_item.added", response_id=response_id, output_index=0, item=item)
        done = {"response_id": response_id, "item_id": item_id, "call_id": call_id, "name": name, "arguments": text}
        self.send("response.function_call_arguments.done", output_index=0, **done)
        whole = {**item, "arguments": text, "status": "completed"}
        self.send("response.output_item.done", response_id=response_id, output_index=0, item=whole)
        return call_id

    def end(self, response_id: str, status: str = "completed", metadata: Mapping[str, str] | None = None) -> None:
        """The response is over."""
        response = {"id": response_id, "status": status, "metadata": dict(metadata or {}), "output": []}
        self.send("response.done", response=response)
        self._begun.set()

    def calls(self, name: str, arguments: Any = None) -> str:
        """A whole response that is one function call; returns its call id.

        After the greeting, where there is one: a service has one response at a time, and what is given word by word
        calls no function.
        """
        if threading.current_thread() is threading.main_thread():
            self._begun.wait(GREETED_S)
        response_id = self.begin()
        call_id = self.call(response_id, name, arguments)
        self.end(response_id)
        return call_id

    def says(self, hz: int, ms: float, words: str = "") -> str:
        """A whole spoken response; returns its item's id."""
        response_id = self.begin()
        item_id = self.speak(response_id, hz, ms, words=words)
        self.end(response_id)
        return item_id

    def answer(self, request: dict[str, Any], hz: int | None = None, ms: float | None = None) -> str:
        """Answer a response.create with a tone; returns the item's id."""
        wanted = request.get("response", {})
        metadata = wanted.get("metadata", {})
        text = str(wanted.get("instructions") or "")
        found = (ANSWER_HZ, ANSWER_MS)
        if metadata.get("purpose") == "filler":
            found = (FILLER_HZ, FILLER_MS)
        elif "Say exactly:" in text:
            found = (WORDS_HZ, WORDS_MS)
        words = text.partition("Say exactly: ")[2] or "the answer"
        response_id = self.begin(metadata)
        item_id = self.speak(response_id, hz or found[0], ms or found[1], words=words)
        self.end(response_id, metadata=metadata)
        return item_id

    def caller_starts(self) -> str:
        """The service hears the caller begin to speak; returns the item's id."""
        item_id = self.new("item")
        heard_ms = len(self.audio) // (RATE // 1000 * 2)
        self.send("input_audio_buffer.speech_started", item_id=item_id, audio_start_ms=heard_ms)
        return item_id

    def caller_stops(self, item_id: str, words: str = "") -> None:
        """The service hears the caller end; it has understood these words."""
        heard_ms = len(self.audio) // (RATE // 1000 * 2)
        self.send("input_audio_buffer.speech_stopped", item_id=item_id, audio_end_ms=heard_ms)
        self.send("input_audio_buffer.committed", item_id=item_id, previous_item_id=None)
        item = {"id": item_id, "type": "message", "role": "user", "status": "completed", "content": []}
        self.send("conversation.item.added", previous_item_id=None, item=item)
        kind = "conversation.item.input_audio_transcription.completed"
        self.send(kind, item_id=item_id, content_index=0, transcript=words)

    def caller_says(self, words: str) -> None:
        """A whole turn of the caller's; the service answers by itself, as the test says."""
        self.caller_stops(self.caller_starts(), words)

    def _of(self, response_id: str, item_id: str) -> dict[str, Any]:
        return {"response_id": response_id, "item_id": item_id, "output_index": 0, "content_index": 0}


def is_filler(request: Mapping[str, Any]) -> bool:
    """Whether a response.create asks for a filler."""
    return bool(request.get("response", {}).get("metadata", {}).get("purpose") == "filler")


def is_no_filler(request: Mapping[str, Any]) -> bool:
    """Whether it asks for anything else."""
    return not is_filler(request)


class Provider:
    """The server, on a thread of its own."""

    def __init__(self) -> None:
        self.openings: deque[Opening] = deque()
        """How the next connections are met, one after the other; then as the service does."""
        self.always: Opening | None = None
        """How every connection is met that `openings` says nothing of."""
        self.wedges = False
        """How new sessions are about function calls that have no answer: see there."""
        self.sessions: list[Session] = []
        self.connections = 0
        self.keys: list[str] = []
        self.port = 0
        self._taken = 0
        self._current: dict[ServerConnection, Opening] = {}
        self._loop = asyncio.new_event_loop()
        self._quit = asyncio.Event()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1"

    @property
    def settings(self) -> dict[str, str]:
        """Of a worker whose realtime service it is."""
        return {"OFFHOOK_REALTIME": "gateway", "OFFHOOK_REALTIME_URL": self.url}

    def start(self) -> Provider:
        self._thread.start()
        assert self._listening.wait(BOUND_S)
        return self

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._quit.set)
        self._thread.join(BOUND_S)
        self._loop.close()

    async def _serve(self) -> None:
        options: dict[str, Any] = {"process_request": self._request, "compression": None, "close_timeout": 1}
        async with serve(self._connected, "127.0.0.1", 0, max_size=2**24, **options) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            self._listening.set()
            await self._quit.wait()

    def _request(self, connection: ServerConnection, request: Request) -> Response | None:
        self.connections += 1
        self.keys.append(request.headers.get("Authorization", ""))
        opening = self.openings.popleft() if self.openings else self.always or Opening()
        if opening.refuse is not None:
            return connection.respond(*opening.refuse)  # type: ignore[arg-type]
        self._current[connection] = opening
        return None

    async def _connected(self, connection: ServerConnection) -> None:
        opening = self._current.pop(connection)
        try:
            await self._session(connection, opening)
        except ConnectionClosed:
            pass

    async def _session(self, connection: ServerConnection, opening: Opening) -> None:
        if opening.close is not None:
            await connection.close(*opening.close)
            return
        if opening.silent:
            await connection.wait_closed()
            return
        for event in opening.first:
            await connection.send(json.dumps(event))
        session = Session(connection, self._loop)
        session.wedges = self.wedges
        created = {"id": session.new("sess"), "type": "realtime", "object": "realtime.session"}
        await connection.send(json.dumps({"type": "session.created", "session": created}))
        update = await connection.recv()
        session.received.append(json.loads(update))
        wire = {**json.loads(update)["session"], **created}
        for side, audio_format in opening.formats.items():
            wire["audio"][side]["format"] = audio_format
        await connection.send(json.dumps({"type": "session.updated", "session": wire}))
        self.sessions.append(session)
        try:
            async for frame in connection:
                session.take(json.loads(frame))
        finally:
            session.open = False

    def session(self, within: float = BOUND_S) -> Session:
        """Wait for the next session that nobody has asked for."""
        self._taken += 1
        until(lambda: len(self.sessions) >= self._taken, "the worker's next session with the provider", within)
        return self.sessions[self._taken - 1]

    def forget(self) -> None:
        """The next session is one that is yet to come; connections are met as usual."""
        self._taken = len(self.sessions)
        self.openings.clear()
        self.always = None
        self.wedges = False
