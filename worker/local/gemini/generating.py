"""One turn of the model's, streamed: its messages one after the other. Pure.

`stream` is a generator of pauses in ms: whoever runs it waits so long and goes on. To interrupt it, drop the generator.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.local.brain import Call, Plan, Say
from worker.local.conversation import Conversation, Item
from worker.local.response import Pace

__all__ = ["PCM", "Turn"]

PCM = "audio/pcm"
"""What the mouth is asked for: 24 kHz."""
BYTES_PER_MS = 48
Emit = Callable[[Mapping[str, Any]], None]


@dataclass(slots=True, eq=False)
class Turn:
    """A turn in progress: of the conversation, with what it will say."""

    id: str
    context: list[Item]
    instructions: str | None = None
    plan: Plan | None = None
    sounds: dict[int, bytes] = field(default_factory=dict)
    run: Iterator[float] | None = None
    due: float = 0.0
    audio_ms: float = 0.0
    audio_began: float | None = None
    words: int = 0
    calls: list[str] = field(default_factory=list)
    """The ids of the calls that it made."""

    def ready(self) -> bool:
        """Whether all its speech is there."""
        said = sum(isinstance(part, Say) for part in self.plan.output) if self.plan else -1
        return len(self.sounds) == said

    def stream(
        self, pace: Pace, conversation: Conversation, emit: Emit, new_id: Callable[[str], str], *, shows_words: bool
    ) -> Iterator[float]:
        """Say and call all that is planned, the calls together at the end; yields the pause (ms) after each step."""
        assert self.plan is not None
        if pace.first_audio_ms and self.sounds:
            yield pace.first_audio_ms
        for index, part in enumerate(self.plan.output):
            if isinstance(part, Say):
                yield from self._says(index, part, pace, conversation, emit, new_id, shows_words)
        calls = [part for part in self.plan.output if isinstance(part, Call)]
        if calls:
            made = [_call(conversation, call, new_id) for call in calls]
            emit({"toolCall": {"functionCalls": made}})
            yield pace.piece_ms

    def _says(
        self,
        index: int,
        say: Say,
        pace: Pace,
        conversation: Conversation,
        emit: Emit,
        new_id: Callable[[str], str],
        shows_words: bool,
    ) -> Iterator[float]:
        item = Item(new_id("item"), "message", "assistant", answered=True)
        item.content.append({"type": "output_audio", "transcript": ""})
        conversation.add(item)
        sound, words = self.sounds[index], say.text.split(" ")
        self.words += len(words)
        size = pace.chunk_ms * BYTES_PER_MS
        steps = max(1, -(-len(sound) // size))
        told = 0
        for step in range(steps):
            chunk = sound[step * size : (step + 1) * size]
            if chunk:
                item.audio_ms += len(chunk) / BYTES_PER_MS
                self.audio_ms += len(chunk) / BYTES_PER_MS
                blob = {"mimeType": "audio/pcm;rate=24000", "data": base64.b64encode(chunk).decode()}
                emit({"serverContent": {"modelTurn": {"parts": [{"inlineData": blob}]}}})
            upto = -(-len(words) * (step + 1) // steps)
            text = (" " if told else "") + " ".join(words[told:upto])
            if upto > told:
                item.content[0]["transcript"] += text
                if shows_words:
                    emit({"serverContent": {"outputTranscription": {"text": text}}})
            told = upto
            yield pace.chunk_ms / pace.speed


def _call(conversation: Conversation, call: Call, new_id: Callable[[str], str]) -> dict[str, Any]:
    item = Item(new_id("item"), "function_call", name=call.name, call_id=new_id("function-call"))
    item.arguments = call.arguments
    conversation.add(item)
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        arguments = {}  # this protocol has objects here, and no text that could be wrong
    return {"id": item.call_id, "name": call.name, "args": arguments}
