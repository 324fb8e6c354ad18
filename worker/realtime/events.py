"""What comes of a realtime session, in no provider's words: what a codec's `decode` and the connection hand on.

Audio is raw bytes in the session's format (`AudioFormat`), never base64; milliseconds are counted in the item's or the
session's own audio, as each field says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from worker.realtime.formats import AudioFormat
from worker.realtime.remote import (
    ApprovalWanted,
    RemoteToolEnded,
    RemoteToolOutput,
    RemoteToolsFailed,
    RemoteToolsListed,
    RemoteToolStarted,
)

RECYCLED: Final = "replaced before the provider's limit"
"""The reason of a `ConnectionLost` that we planned: the session is replaced between turns."""

ResponseStatus: TypeAlias = Literal["completed", "cancelled", "failed", "incomplete"]
"""How a response ended; only `completed` promises that all that was meant has been said."""

Request: TypeAlias = Literal[
    "session_update",
    "append",
    "tool_output",
    "tool_call_item",
    "message",
    "create_response",
    "cancel_response",
    "truncate",
    "delete_item",
    "approval",
]
"""The codec method whose frame an error answers."""


@dataclass(frozen=True, slots=True)
class SessionReady:
    """The provider confirmed our session settings; comes once per session."""

    session_id: str
    """The provider's name for the session ("" when it gives none)."""
    input_format: AudioFormat
    """The effective format of what we send."""
    output_format: AudioFormat
    """The effective format of what we receive."""
    resumed: bool = False
    """It goes on where an earlier one ended, and knows what was said: nothing has to be told to it again."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The provider heard the caller begin to speak."""

    item_id: str
    """The caller's item that this speech will become."""
    audio_ms: int
    """Where it began, in ms of all the audio sent in this session (before the beginning, by the padding)."""


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The provider heard the caller stop speaking."""

    item_id: str
    """The caller's item."""
    audio_ms: int
    """Where it ended, in ms of all the audio sent in this session."""


@dataclass(frozen=True, slots=True)
class ResponseStarted:
    """A response began; audio, transcripts and tool calls of `response_id` follow."""

    response_id: str
    """The provider's id of the response."""
    metadata: Mapping[str, str]
    """The metadata of our `ResponseRequest`, echoed; empty when the provider began it by itself."""


@dataclass(frozen=True, slots=True)
class AudioDelta:
    """A piece of the agent's speech, sent faster than real time."""

    response_id: str
    """The response that it belongs to."""
    item_id: str
    """The item that it belongs to: playout and truncation count by it."""
    audio: bytes
    """Audio in the session's output format, base64 already undone."""


@dataclass(frozen=True, slots=True)
class AudioDone:
    """No more audio will come for this item; it may still be playing."""

    response_id: str
    """The response that it belongs to."""
    item_id: str
    """The item whose audio is complete."""


@dataclass(frozen=True, slots=True)
class AgentTranscriptDelta:
    """A piece of the words that the agent speaks (or writes, in a text-only response)."""

    response_id: str
    """The response that it belongs to."""
    item_id: str
    """The item that it belongs to."""
    text: str
    """The next words, spacing included."""


@dataclass(frozen=True, slots=True)
class AgentTranscript:
    """All the words of an item of the agent's; the caller may hear less of them."""

    response_id: str
    """The response that it belongs to."""
    item_id: str
    """The item that it belongs to."""
    text: str
    """The whole text."""


@dataclass(frozen=True, slots=True)
class CallerTranscript:
    """What the caller said, as the provider's transcriber heard it. May come after the answer began."""

    item_id: str
    """The caller's item."""
    text: str
    """The whole text; "" when nothing was understood."""
    took: Usage | None = None
    """What writing it down took, where the provider says so."""


@dataclass(frozen=True, slots=True)
class CallerTranscriptFailed:
    """The provider could not transcribe the caller's item; the conversation goes on without its text."""

    item_id: str
    """The caller's item."""
    reason: str
    """The provider's words."""


@dataclass(frozen=True, slots=True)
class ToolCallRequested:
    """The model wants a tool run; comes exactly once per `tool_call_id`, never for a cancelled response."""

    response_id: str
    """The response that asked."""
    item_id: str
    """The item of the call."""
    tool_call_id: str
    """The id that the output must carry."""
    name: str
    """The tool's name as the model wrote it; it need not exist."""
    arguments: str
    """The arguments as the model wrote them: meant to be a JSON object, not checked."""


@dataclass(frozen=True, slots=True)
class ResponseDone:
    """The response is complete on the provider's side. Not silence: its audio may play on for seconds."""

    response_id: str
    """The response that ended."""
    status: ResponseStatus
    """How it ended."""
    reason: str = ""
    """Why it was not completed: turn_detected, client_cancelled, max_output_tokens, content_filter, or the
    words of an error."""
    error_code: str = ""
    """The provider's error code when it failed: rate_limit_exceeded, server_error ..."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """The metadata of our `ResponseRequest`, echoed."""


@dataclass(frozen=True, slots=True)
class ItemCreated:
    """An item entered the conversation."""

    item_id: str
    """The item."""
    kind: str
    """message, function_call, function_call_output, or a provider's own kind."""
    role: str
    """user, assistant or system for a message, else ""."""


@dataclass(frozen=True, slots=True)
class ProviderError:
    """The provider complained, or said what we can't work with."""

    code: str
    """The provider's code, or one of ours: format_mismatch, bad_frame, unknown_error."""
    message: str
    """For the log: the provider's words, cut to a sane length."""
    event_id: str | None = None
    """The id of our frame that it answers, if the provider says."""
    fatal: bool = False
    """True: no session with these settings will work. False: the session, or a new one, can go on."""
    request: Request | None = None
    """Which of our requests it answers, if known. `create_response`: that response won't come."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """The metadata of the refused `ResponseRequest`; of a refused tool output its `tool_call_id`, of a refused approval
    its `approval_id`."""


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The connection ended without our asking; nothing more comes. Comes once per opened connection."""

    code: int
    """The WebSocket close code (1006: cut without one)."""
    reason: str
    """The provider's words, or ours."""
    fatal: bool
    """True when connecting again with the same settings can't help."""


@dataclass(frozen=True, slots=True)
class GoingAway:
    """The provider will end this session soon: it is to be replaced at the next quiet moment."""

    left_s: float
    """Seconds that it has left, by the provider's word."""


@dataclass(frozen=True, slots=True)
class ToolCallsWithdrawn:
    """The model no longer waits for these tool calls, since the caller has spoken. No output may be sent for them."""

    tool_call_ids: tuple[str, ...]
    """Calls that had been asked for."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a response took, in the provider's tokens. Comes once for a response at most."""

    response_id: str
    """The response; "" where the provider does not say."""
    input_tokens: int
    """All that the model read: audio, text, and what was cached of it."""
    output_tokens: int
    """All that it made."""
    cached_tokens: int = 0
    """How many of the input were cached."""
    input_audio_tokens: int = 0
    """How many of the input were audio."""
    output_audio_tokens: int = 0
    """How many of the output were audio."""
    cached_audio_tokens: int = 0
    """How many of the cached ones were audio."""
    seconds: float = 0.0
    """Of audio, where that is billed in place of tokens (s)."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A frame of a type that this codec does not know. For the log; the session goes on."""

    type: str
    """The type as it stood on the wire."""


RealtimeEvent: TypeAlias = (
    SessionReady
    | SpeechStarted
    | SpeechStopped
    | ResponseStarted
    | AudioDelta
    | AudioDone
    | AgentTranscriptDelta
    | AgentTranscript
    | CallerTranscript
    | CallerTranscriptFailed
    | ToolCallRequested
    | ResponseDone
    | ItemCreated
    | ProviderError
    | ConnectionLost
    | GoingAway
    | ToolCallsWithdrawn
    | RemoteToolsListed
    | RemoteToolsFailed
    | RemoteToolStarted
    | RemoteToolEnded
    | RemoteToolOutput
    | ApprovalWanted
    | Usage
    | Unknown
)
