"""Decoding of OpenAI's server events that needs no memory of the session, and a tool call's draft. Pure.

Decoders may raise AttributeError, LookupError, TypeError, ValueError or OverflowError for what a peer sends;
the codec turns that into a `ProviderError`. A missing or misplaced field reads as "" or 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, cast, get_args

import orjson

from worker.realtime.events import (
    AgentTranscript,
    AgentTranscriptDelta,
    AudioDone,
    CallerTranscript,
    CallerTranscriptFailed,
    ProviderError,
    RealtimeEvent,
    ResponseDone,
    ResponseStarted,
    ResponseStatus,
    SpeechStarted,
    SpeechStopped,
    Usage,
)
from worker.realtime.openai.wire import OLD_KINDS

Json: TypeAlias = Mapping[str, Any]

MESSAGE_CHARS: Final = 500  # of the provider's words in an event: enough for a log line
_STATUSES: Final = frozenset(get_args(ResponseStatus))


class CallDraft:
    """A tool call as far as the model has streamed it."""

    __slots__ = ("arguments", "asked", "call_id", "finished", "name", "pieces", "response_id")

    def __init__(self, response_id: str) -> None:
        """Begin with nothing known but the response."""
        self.response_id = response_id
        self.call_id = self.name = self.arguments = self.pieces = ""
        self.finished = self.asked = False

    def learn(self, source: Json) -> None:
        """Take what an event or item says of the call; a later word wins, silence does not."""
        self.call_id = word(source, "call_id") or word(source, "tool_call_id") or self.call_id
        self.name = word(source, "name") or self.name
        self.arguments = json_text(source, "arguments") or self.arguments


def word(source: Json, key: str) -> str:
    """Return a text field, "" when it is missing or no text."""
    value = source.get(key)
    return value if isinstance(value, str) else ""


def json_text(source: Json, key: str) -> str:
    """Return JSON text, also where a gateway sends the value itself; "" when it is missing."""
    value = source.get(key)
    return value if isinstance(value, str) else "" if value is None else orjson.dumps(value).decode()


def number(source: Json, key: str) -> int:
    """Return a whole number, 0 when it is missing or no number."""
    value = source.get(key)
    return int(value) if isinstance(value, int | float) else 0


def part(source: Json, key: str) -> Json:
    """Return an object within, an empty one when it is missing or no object."""
    value = source.get(key)
    return value if isinstance(value, dict) else {}


def is_call(item: Json) -> bool:
    """Tell whether an item is the model's request for a tool, by its new name or its old."""
    kind = word(item, "type")
    return OLD_KINDS.get(kind, kind) == "function_call"


def bad_frame(why: str) -> ProviderError:
    """Return the error for a frame that can't be used; the session goes on."""
    return ProviderError("bad_frame", why[:MESSAGE_CHARS])


def ended(response: Json) -> ResponseDone:
    """Return how the response of a response.done ended."""
    details = part(response, "status_details")
    error = part(details, "error")
    status = word(response, "status") or "completed"  # gateways leave it out when nothing went wrong
    return ResponseDone(
        response_id=word(response, "id"),
        status=cast(ResponseStatus, status) if status in _STATUSES else "failed",
        reason=(word(details, "reason") or word(error, "message"))[:MESSAGE_CHARS],
        error_code=word(error, "code") or word(error, "type"),
        metadata=_metadata(response),
    )


def used(response: Json) -> Usage | None:
    """Return what a response took, by its `usage`; None where the service does not say."""
    usage = response.get("usage")
    if not isinstance(usage, dict):
        return None
    taken, made = part(usage, "input_token_details"), part(usage, "output_token_details")
    return Usage(
        word(response, "id"),
        input_tokens=number(usage, "input_tokens"),
        output_tokens=number(usage, "output_tokens"),
        cached_tokens=number(taken, "cached_tokens"),
        input_audio_tokens=number(taken, "audio_tokens"),
        output_audio_tokens=number(made, "audio_tokens"),
        cached_audio_tokens=number(part(taken, "cached_tokens_details"), "audio_tokens"),
    )


def transcription_used(message: Json) -> Usage | None:
    """Return what writing down the caller's words took: tokens or seconds; None where the service does not say."""
    usage = message.get("usage")
    if not isinstance(usage, dict):
        return None
    seconds = usage.get("seconds")
    return Usage(
        "",
        input_tokens=number(usage, "input_tokens"),
        output_tokens=number(usage, "output_tokens"),
        input_audio_tokens=number(part(usage, "input_token_details"), "audio_tokens"),
        seconds=max(0.0, float(seconds)) if isinstance(seconds, int | float) else 0.0,
    )


def _metadata(response: Json) -> dict[str, str]:
    found = response.get("metadata")
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _response_started(message: Json) -> RealtimeEvent:
    response = message["response"]
    return ResponseStarted(word(response, "id"), _metadata(response))


def _audio_done(message: Json) -> RealtimeEvent:
    return AudioDone(word(message, "response_id"), word(message, "item_id"))


def _agent_words(message: Json) -> RealtimeEvent:
    return AgentTranscriptDelta(word(message, "response_id"), word(message, "item_id"), word(message, "delta"))


def _agent_transcript(message: Json) -> RealtimeEvent:
    said = word(message, "transcript") or word(message, "text")
    return AgentTranscript(word(message, "response_id"), word(message, "item_id"), said)


def _caller_transcript(message: Json) -> RealtimeEvent:
    return CallerTranscript(
        word(message, "item_id"), word(message, "transcript").strip(), took=transcription_used(message)
    )


def _caller_transcript_failed(message: Json) -> RealtimeEvent:
    error = part(message, "error")
    why = word(error, "message") or word(error, "code") or "no reason given"
    return CallerTranscriptFailed(word(message, "item_id"), why[:MESSAGE_CHARS])


def _speech_started(message: Json) -> RealtimeEvent:
    return SpeechStarted(word(message, "item_id"), number(message, "audio_start_ms"))


def _speech_stopped(message: Json) -> RealtimeEvent:
    return SpeechStopped(word(message, "item_id"), number(message, "audio_end_ms"))


DECODERS: Final[Mapping[str, Callable[[Json], RealtimeEvent]]] = {
    "conversation.item.input_audio_transcription.completed": _caller_transcript,
    "conversation.item.input_audio_transcription.failed": _caller_transcript_failed,
    "input_audio_buffer.speech_started": _speech_started,
    "input_audio_buffer.speech_stopped": _speech_stopped,
    "response.created": _response_started,
    "response.output_audio.done": _audio_done,
    "response.output_audio_transcript.delta": _agent_words,
    "response.output_audio_transcript.done": _agent_transcript,
    "response.output_text.delta": _agent_words,
    "response.output_text.done": _agent_transcript,
}
"""Event type -> its one event."""
