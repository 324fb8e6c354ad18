"""A scene's model: a realtime session in memory, which speaks and calls what the scene says.

It behaves as OpenAI's service does: the end of the caller's turn makes it respond, the caller's voice interrupts it, a
response goes on while another one beside the conversation runs, and a second one in it is refused. It says at once
what it is to say word for word (greeting, fillers, goodbye); for all else it waits until the scene has words for it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from worker.realtime.base import Attach, Codec, HangUp, SessionConfig
from worker.realtime.connection import RealtimeConnection
from worker.realtime.events import (
    AgentTranscript,
    AudioDelta,
    AudioDone,
    CallerTranscript,
    ConnectionLost,
    ItemCreated,
    ProviderError,
    RealtimeEvent,
    ResponseDone,
    ResponseStarted,
    SessionReady,
    SpeechStarted,
    SpeechStopped,
    ToolCallRequested,
)
from worker.realtime.formats import RATE_HZ, AudioFormat
from worker.realtime.provider import Provider

__all__ = ["Asked", "SceneConnection", "SceneModel", "speech_s"]

WORDS_PER_MINUTE = 160
SHORTEST_S = 0.4
WORD_FOR_WORD = "Say exactly: "
FORMAT: AudioFormat = "pcm24k"


def speech_s(text: str) -> float:
    """How long it takes to say a text."""
    return max(SHORTEST_S, len(text.split()) * 60 / WORDS_PER_MINUTE)


@dataclass(frozen=True, slots=True)
class Asked:
    """A tool call for the model to make: the tool, and the function that stands for it with its arguments (JSON)."""

    tool: str
    name: str
    arguments: str


@dataclass(slots=True)
class _Response:
    """A response that is not done. words: what it has to say word for word; None: what the scene says."""

    response_id: str
    metadata: dict[str, str] = field(default_factory=dict)
    beside: bool = False
    words: str | None = None
    given: bool = False
    """It has its words, and is about to say them."""


class SceneModel:
    """The model's side of one call.

    latency_s: from a response's beginning to its first audio. told: gets (tool call id, text) for each thing that it
    is given. calls: gets (tool, arguments) for each call that it makes. responds, interrupts: as the turn detection
    says.
    """

    def __init__(self, latency_s: float, told: Callable[[str, str], None], calls: Callable[[str, str], None]) -> None:
        self.latency_s = latency_s
        self.responds = True
        self.interrupts = True
        self.sent_ms = 0.0
        """The caller's audio that the session has got."""
        self.called: dict[str, str] = {}
        """The tool of each tool call."""
        self._told = told
        self._calls = calls
        self._emit: Callable[[RealtimeEvent], None] = lambda event: None
        self._loop = asyncio.get_running_loop()
        self._responses: dict[str, _Response] = {}
        self._numbers: dict[str, int] = {}
        self._speaking: str | None = None

    # --- what the scene does ------------------------------------------------------------------------------------------

    @property
    def waits_for_words(self) -> bool:
        """Whether a response has begun that the scene has to fill."""
        return self._unfilled() is not None

    @property
    def about_to_speak(self) -> bool:
        """Whether words are on their way."""
        return any(response.given for response in self._responses.values())

    def say(self, text: str, calls: tuple[Asked, ...]) -> None:
        """Fill the response that waits for it."""
        response = self._unfilled()
        assert response is not None
        self._give(response, text, calls)

    def caller_begins(self) -> None:
        """The caller's voice is heard."""
        self._speaking = self._name("item")
        self._emit(SpeechStarted(self._speaking, round(self.sent_ms)))
        if self.interrupts:
            for response in [one for one in self._responses.values() if not one.beside]:
                self._done(response, "cancelled", "turn_detected")

    def caller_ends(self, text: str) -> None:
        """The caller's turn is over."""
        item_id, self._speaking = self._speaking or self._name("item"), None
        self._emit(SpeechStopped(item_id, round(self.sent_ms)))
        self._emit(ItemCreated(item_id, "message", "user"))
        self._emit(CallerTranscript(item_id, text))
        if self.responds and self._active() is None:
            self._begin(_Response(self._name("resp")))

    def lose(self) -> None:
        """The connection breaks."""
        self._responses.clear()
        self._speaking = None
        self._emit(ConnectionLost(1006, "cut by the scene", False))

    # --- what the session sends ---------------------------------------------------------------------------------------

    def connect(self, emit: Callable[[RealtimeEvent], None]) -> SessionReady:
        """Begin a session, whose events go to `emit`."""
        self._emit, self.sent_ms = emit, 0.0
        return SessionReady(self._name("sess"), FORMAT, FORMAT)

    def take(self, frame: bytes) -> None:
        """Take a frame; what follows from it comes later, as over a network."""
        message: dict[str, Any] = json.loads(frame)
        self._loop.call_soon(self._react, message)

    def _react(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "conversation.item.create":
                self._item(message["item"])
            case "response.create":
                self._asked(message.get("response") or {}, message.get("event_id", ""))
            case "response.cancel":
                found = self._responses.get(message.get("response_id", ""), self._active())
                if found is not None:
                    self._done(found, "cancelled", "client_cancelled")
            case _:
                pass

    def _item(self, item: dict[str, Any]) -> None:
        kind = item["type"]
        if kind == "function_call_output":
            self._told(item["call_id"], item["output"])
        elif kind == "message":
            text = " ".join(part.get("text", "") for part in item["content"])
            self._told("", f"[{item['role']}] {text}")
        self._emit(ItemCreated(self._name("item"), kind, item.get("role", "")))

    def _asked(self, wanted: dict[str, Any], event_id: str) -> None:
        metadata, beside = wanted.get("metadata") or {}, wanted.get("conversation") == "none"
        if not beside and (active := self._active()) is not None:
            code, text = "conversation_already_has_active_response", f"{active.response_id} is in progress"
            self._emit(ProviderError(code, text, event_id, request="create_response", metadata=metadata))
            return
        instructions = wanted.get("instructions")
        words = None if instructions is None else str(instructions).removeprefix(WORD_FOR_WORD)
        response = _Response(self._name("resp"), metadata, beside, words)
        self._begin(response)
        if words is not None and response.response_id in self._responses:
            self._give(response, words, ())

    # --- responses ----------------------------------------------------------------------------------------------------

    def _active(self) -> _Response | None:
        return next((one for one in self._responses.values() if not one.beside), None)

    def _unfilled(self) -> _Response | None:
        response = self._active()
        return response if response is not None and response.words is None and not response.given else None

    def _begin(self, response: _Response) -> None:
        self._responses[response.response_id] = response
        self._emit(ResponseStarted(response.response_id, response.metadata))

    def _give(self, response: _Response, text: str, calls: tuple[Asked, ...]) -> None:
        response.given = True
        self._loop.call_later(self.latency_s, self._speak, response, text, calls)

    def _speak(self, response: _Response, text: str, calls: tuple[Asked, ...]) -> None:
        response_id = response.response_id
        if text and response_id in self._responses:
            item_id = self._name("item")
            self._emit(AgentTranscript(response_id, item_id, text))
            self._emit(AudioDelta(response_id, item_id, bytes(2 * round(RATE_HZ[FORMAT] * speech_s(text)))))
            self._emit(AudioDone(response_id, item_id))
        for call in calls:
            if response_id in self._responses:
                call_id = self._name("call")
                self.called[call_id] = call.tool
                self._calls(call.tool, call.arguments)
                self._emit(ToolCallRequested(response_id, self._name("item"), call_id, call.name, call.arguments))
        self._done(response, "completed")

    def _done(self, response: _Response, status: Any, reason: str = "") -> None:
        if self._responses.pop(response.response_id, None) is not None:
            self._emit(ResponseDone(response.response_id, status, reason, metadata=response.metadata))

    def _name(self, kind: str) -> str:
        self._numbers[kind] = self._numbers.get(kind, 0) + 1
        return f"{kind}_{self._numbers[kind]}"


class SceneConnection(RealtimeConnection):
    """In the place of a WebSocket: the codec's frames go to the scene's model, its events come back."""

    def __init__(
        self, model: SceneModel, provider: Provider, codec: Codec, on_event: Callable[[RealtimeEvent], None], **kw: Any
    ) -> None:
        super().__init__(provider, codec, on_event, _no_network, **kw)
        self._model = model
        self._up = False

    @property
    def is_open(self) -> bool:
        """Whether there is a session."""
        return self._up

    async def open(self, config: SessionConfig, *, timeout_s: float = 10.0) -> SessionReady:
        """Begin a session."""
        self.codec.session_update(config)
        self._up = True
        ready = self._model.connect(self._take_event)
        self.on_ready(ready)
        self.on_event(ready)
        return ready

    def append(self, pcm: bytes) -> None:
        """Count the caller's audio."""
        self._model.sent_ms += len(pcm) / 2 / RATE_HZ[FORMAT] * 1000

    def send(self, frames: Iterable[bytes]) -> bool:
        """Send frames."""
        if self._up:
            for frame in frames:
                self._model.take(frame)
        return self._up

    async def close(self) -> None:
        """End the session."""
        self._up = False

    def _take_event(self, event: RealtimeEvent) -> None:
        self._up = self._up and not isinstance(event, ConnectionLost)
        self.on_event(event)
        if isinstance(event, ConnectionLost):
            self.on_lost(event)


async def _no_network(provider: Provider, attach: Attach) -> HangUp:
    raise AssertionError("a scene dials nobody")
