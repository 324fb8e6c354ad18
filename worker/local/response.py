"""One response: its object on the wire, and its events one after the other. Pure.

`stream` is a generator of pauses in ms: whoever runs it waits so long and goes on. To interrupt it, drop the generator
and call `finish`: an item in the middle is closed as incomplete.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from worker.local.brain import Call, Plan, Say
from worker.local.conversation import Conversation, Item
from worker.local.remote import RemoteTools
from worker.local.sound import bytes_per_ms

__all__ = ["Pace", "RemoteCalls", "Response"]

Emit = Callable[[str, Mapping[str, Any]], None]
ARGUMENT_PIECE = 12
AUDIO_TOKENS_PER_S = 20


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a response is streamed.

    chunk_ms: audio in one delta. speed: how many times faster than it plays. first_audio_ms: thinking before the
    first audio. piece_ms: between two pieces of a function call's arguments.
    """

    chunk_ms: int = 100
    speed: float = 8.0
    first_audio_ms: int = 0
    piece_ms: float = 2.0


@dataclass(frozen=True, slots=True)
class RemoteCalls:
    """Where a response has its MCP calls run. late: it does not wait for their outcome."""

    tools: RemoteTools
    late: bool = False


@dataclass(slots=True, eq=False)
class Response:
    """A response in progress. options: the checked `response` object of response.create."""

    id: str
    conversation: Conversation | None
    """None for an out-of-band response."""
    conversation_id: str
    options: Mapping[str, Any]
    modality: str
    voice: str
    format: str
    emit: Emit
    new_id: Callable[[str], str]
    context: list[Item] = field(default_factory=list)
    plan: Plan | None = None
    status: str = "in_progress"
    items: list[Item] = field(default_factory=list)
    sounds: dict[int, bytes] = field(default_factory=dict)
    idle: bool = False
    functions: tuple[str, ...] = ()
    """The functions that may be called."""
    remote: Mapping[str, str] = field(default_factory=dict)
    """The tools of MCP servers that may be called, each with its server's label."""
    waits_for: str | None = None
    """The item of the MCP call that it waits for."""
    rounds: int = 0
    """How often it has gone on after such calls."""
    stall: str | None = None
    """How it goes wrong on purpose (`brain.STALLS`)."""
    run: Iterator[float] | None = None
    due: float = 0.0
    audio_began: float | None = None
    _details: dict[str, Any] | None = None
    _open: Item | None = None

    @property
    def in_band(self) -> bool:
        """Whether it belongs to the conversation."""
        return self.conversation is not None

    @property
    def audio_ms(self) -> float:
        """How much audio was sent."""
        return sum(item.audio_ms for item in self.items)

    def wire(self) -> dict[str, Any]:
        """The response object of response.created and response.done."""
        done = self.status != "in_progress"
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": self.status,
            "status_details": self._details,
            "output": [item.wire() for item in self.items],
            "conversation_id": self.conversation_id if self.in_band else None,
            "output_modalities": [self.modality],
            "max_output_tokens": self.options.get("max_output_tokens") or "inf",
            "audio": {"output": {"format": self._format(), "voice": self.voice}},
            "usage": self._usage() if done else None,
            "metadata": self.options.get("metadata"),
        }

    def _format(self) -> dict[str, Any]:
        return {"type": self.format, "rate": 24000} if self.format == "audio/pcm" else {"type": self.format}

    def _usage(self) -> dict[str, Any]:
        """Tokens by a simple count: words, and 20 for a second of audio. Nothing is billed."""
        words = sum(len((item.text or item.arguments).split()) for item in self.items)
        audio = int(self.audio_ms / 1000 * AUDIO_TOKENS_PER_S)
        taken = sum(len((item.text or item.output or item.arguments).split()) for item in self.context)
        cached = {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0}
        return {
            "total_tokens": words + audio + taken,
            "input_tokens": taken,
            "output_tokens": words + audio,
            "input_token_details": {
                "text_tokens": taken,
                "audio_tokens": 0,
                "image_tokens": 0,
                "cached_tokens": 0,
                "cached_tokens_details": cached,
            },
            "output_token_details": {"text_tokens": words, "audio_tokens": audio},
        }

    def stream(self, pace: Pace, calls: RemoteCalls | None = None, *, twice: bool = False) -> Iterator[float]:
        """Emit the whole output; yields the pause (ms) after each step. twice: arguments.done is sent two times."""
        assert self.plan is not None
        if pace.first_audio_ms and any(isinstance(part, Say) for part in self.plan.output):
            yield pace.first_audio_ms
        for index, part in enumerate(self.plan.output, len(self.items)):
            if isinstance(part, Call) and calls is not None and self._is_remote(part):
                yield from self._calls_remotely(index, part, pace, calls)
            elif isinstance(part, Call):
                yield from self._calls(index, part, pace, twice)
            elif self.modality == "text":
                yield from self._writes(index, part, pace)
            else:
                yield from self._speaks(index, part, pace)

    def _begin(self, index: int, item: Item) -> Item:
        item.status = "in_progress"
        self.items.append(item)
        self._open = item
        self.emit("response.output_item.added", self._at(index, item=item.wire()))
        if self.conversation is not None:
            previous = self.conversation.add(item)
            self.emit("conversation.item.added", {"previous_item_id": previous, "item": item.wire()})
        return item

    def _end(self, item: Item, status: str) -> None:
        item.status = status
        self._open = None
        if self.conversation is not None and item in self.conversation.items:
            place = self.conversation.items.index(item)
            previous = self.conversation.items[place - 1].id if place else None
            self.emit("conversation.item.done", {"previous_item_id": previous, "item": item.wire()})
        self.emit("response.output_item.done", self._at(self.items.index(item), item=item.wire()))

    def _at(self, index: int, **more: Any) -> dict[str, Any]:
        return {"response_id": self.id, "output_index": index, **more}

    def _part(self, index: int, item: Item, **more: Any) -> dict[str, Any]:
        return self._at(index, item_id=item.id, content_index=0, **more)

    def _speaks(self, index: int, say: Say, pace: Pace) -> Iterator[float]:
        item = self._begin(index, Item(self.new_id("item"), "message", "assistant", answered=True))
        item.content.append({"type": "output_audio", "transcript": ""})
        self.emit("response.content_part.added", self._part(index, item, part={"type": "audio", "transcript": ""}))
        sound = self.sounds.pop(index, b"")
        words = say.text.split(" ")
        per_ms = bytes_per_ms(self.format)
        size = pace.chunk_ms * per_ms
        steps = max(1, -(-len(sound) // size))
        sent = 0
        for step in range(steps):
            upto = -(-len(words) * (step + 1) // steps)
            if upto > sent:
                text = (" " if sent else "") + " ".join(words[sent:upto])
                sent = upto
                item.content[0]["transcript"] += text
                self.emit("response.output_audio_transcript.delta", self._part(index, item, delta=text))
            chunk = sound[step * size : (step + 1) * size]
            if chunk:
                item.audio_ms += len(chunk) / per_ms
                delta = base64.b64encode(chunk).decode()
                self.emit("response.output_audio.delta", self._part(index, item, delta=delta))
            yield pace.chunk_ms / pace.speed
        self._close_part(index, item)
        self._end(item, "completed")

    def _writes(self, index: int, say: Say, pace: Pace) -> Iterator[float]:
        item = self._begin(index, Item(self.new_id("item"), "message", "assistant", answered=True))
        item.content.append({"type": "output_text", "text": ""})
        self.emit("response.content_part.added", self._part(index, item, part={"type": "text", "text": ""}))
        for number, word in enumerate(say.text.split(" ")):
            text = (" " if number else "") + word
            item.content[0]["text"] += text
            self.emit("response.output_text.delta", self._part(index, item, delta=text))
            yield pace.piece_ms
        self._close_part(index, item)
        self._end(item, "completed")

    def _close_part(self, index: int, item: Item) -> None:
        part = item.content[0]
        if part["type"] == "output_text":
            self.emit("response.output_text.done", self._part(index, item, text=part["text"]))
            shown = {"type": "text", "text": part["text"]}
        else:
            self.emit("response.output_audio.done", self._part(index, item))
            said = part["transcript"]
            self.emit("response.output_audio_transcript.done", self._part(index, item, transcript=said))
            shown = {"type": "audio", "transcript": said}
        self.emit("response.content_part.done", self._part(index, item, part=shown))

    def _calls(self, index: int, call: Call, pace: Pace, twice: bool) -> Iterator[float]:
        item = Item(self.new_id("item"), "function_call", name=call.name, call_id=self.new_id("call"))
        self._begin(index, item)
        for at in range(0, len(call.arguments), ARGUMENT_PIECE):
            piece = call.arguments[at : at + ARGUMENT_PIECE]
            item.arguments += piece
            delta = self._at(index, item_id=item.id, call_id=item.call_id, delta=piece)
            self.emit("response.function_call_arguments.delta", delta)
            yield pace.piece_ms
        for _ in range(2 if twice else 1):
            self._arguments_done(index, item)
        self._end(item, "completed")

    def _is_remote(self, call: Call) -> bool:
        return call.approval is not None or (call.name in self.remote and call.name not in self.functions)

    def _calls_remotely(self, index: int, call: Call, pace: Pace, calls: RemoteCalls) -> Iterator[float]:
        """A call of an MCP tool: a request for an approval, or the call itself, which ends when it has its outcome."""
        label = call.approval.label if call.approval is not None else self.remote[call.name]
        if call.approval is None and calls.tools.asks(label, call.name):
            wanted = Item(self.new_id("mcpr"), "mcp_approval_request", name=call.name, arguments=call.arguments)
            wanted.label = label
            self._end(self._begin(index, wanted), "completed")
            return
        item = Item(self.new_id("mcp"), "mcp_call", name=call.name, label=label)
        item.approval_request_id = "" if call.approval is None else call.approval.id
        self._begin(index, item)
        where = self._at(index, item_id=item.id)
        for at in range(0, len(call.arguments), ARGUMENT_PIECE):
            piece = call.arguments[at : at + ARGUMENT_PIECE]
            item.arguments += piece
            self.emit("response.mcp_call_arguments.delta", {**where, "delta": piece})
            yield pace.piece_ms
        self.emit("response.mcp_call_arguments.done", {**where, "arguments": item.arguments})
        self._open = None  # it runs on, whatever becomes of its response
        calls.tools.run(item, self.id, index)
        if not calls.late:
            self.waits_for = item.id
            yield inf

    def _arguments_done(self, index: int, item: Item) -> None:
        done = self._at(index, item_id=item.id, call_id=item.call_id, name=item.name, arguments=item.arguments)
        self.emit("response.function_call_arguments.done", done)

    def finish(self, status: str, *, reason: str | None = None, error: Mapping[str, str] | None = None) -> None:
        """End the response: completed, cancelled (with its reason) or failed (with its error)."""
        if self._open is not None:
            item, index = self._open, self.items.index(self._open)
            if item.kind == "message":
                self._close_part(index, item)
            elif item.kind == "function_call":
                self._arguments_done(index, item)
            self._end(item, "incomplete")
        self.status, self.run = status, None
        self.sounds.clear()
        if status != "completed":
            self._details = {"type": status}
            self._details.update({"reason": reason} if reason else {})
            self._details.update({"error": dict(error)} if error else {})
        self.emit("response.done", {"response": self.wire()})
