"""What every realtime provider has in common: the session's settings, what is asked of it, and the codec's protocol.

Nothing here does I/O and nothing here knows a provider's wire format. A codec turns a provider's frames into events
(`events`) and our requests into frames; the connection carries the frames. Audio is raw bytes in the session's format
(`formats`), never base64.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, TypeAlias

from worker.errors import ProviderFault
from worker.realtime.events import RealtimeEvent
from worker.realtime.formats import AudioFormat
from worker.realtime.remote import RemoteServer

SERVER_VAD: Final[Mapping[str, Any]] = {"type": "server_vad", "create_response": True, "interrupt_response": True}
"""What is asked for is said: not every service of this protocol answers a turn by itself unless it is told to."""

Role: TypeAlias = Literal["user", "assistant", "system"]
"""Whose words a message has: the caller's, the agent's, or nobody's (a note of ours)."""


class RealtimeRefused(ProviderFault):
    """The provider refused the connection or our settings, or ended it before a session began.

    Attributes:
        code: the HTTP status or WebSocket close code; 0 when nothing answered.
        fatal: True when trying again with the same settings can't help (refused key, unknown model).
        settings: True when it is the session's settings that were refused.
    """

    def __init__(self, message: str, *, code: int = 0, fatal: bool = False, settings: bool = False) -> None:
        """Take the message for the operator: who refused what, and how to mend it."""
        super().__init__(message)
        self.code = code
        self.fatal = fatal
        self.settings = settings


# --- what we ask for --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionConfig:
    """The settings of one session, in no provider's words. Sent whole, also after a reconnect."""

    instructions: str = ""
    """The system prompt."""
    voice: str | None = None
    """The provider's name of a voice; None: its default. Frozen after the first audio."""
    tools: tuple[Mapping[str, Any], ...] = ()
    """Function tools: {"type": "function", "name", "description", "parameters"}."""
    remote: tuple[RemoteServer, ...] = ()
    """MCP servers whose tools the provider runs."""
    tool_choice: str = "auto"
    """auto, none, required, or the name of the one tool that must be called."""
    language: str | None = None
    """ISO-639-1 code that helps the transcriber; None: it guesses."""
    transcription_model: str | None = None
    """The model that writes down the caller's words; None: no `CallerTranscript` comes."""
    turn_detection: Mapping[str, Any] | None = field(default_factory=lambda: dict(SERVER_VAD))
    """Who notices that the caller speaks, in the provider's words; None: nobody (turns are then by hand)."""
    input_format: AudioFormat = "pcm24k"
    """What we want to send; of G.711 the provider may make something else (`SessionReady`)."""
    output_format: AudioFormat = "pcm24k"
    """What we want to receive; the same holds."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """The provider's further options, merged deeply over the rest: an entry here wins. Its tools come beside ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnTaking:
    """What the provider does by itself around the caller's turns."""

    responds: bool = True
    """It creates a response at the end of the caller's turn."""
    interrupts: bool = True
    """It cancels its response when the caller begins to speak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseRequest:
    """One response asked of the model. What is None stays as the session has it."""

    instructions: str | None = None
    """Replaces the session's instructions for this response."""
    out_of_band: bool = False
    """True: beside the conversation; its audio is not part of the history and can't be truncated there."""
    input_text: str | None = None
    """Out of band only: answer this text alone instead of the conversation."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Echoed in `ResponseStarted`, `ResponseDone` and a refusal: put a correlation id here (16 pairs at most,
    values of up to 512 characters)."""
    tools: tuple[Mapping[str, Any], ...] | None = None
    """Replaces the session's tools; () means no tools."""
    remote: tuple[RemoteServer | str, ...] | None = None
    """The MCP servers of this response alone, in place of the session's; a str: the label of one that it knows."""
    tool_choice: str | None = None
    """As in `SessionConfig`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a provider can do, so that the session asks instead of assuming."""

    input_formats: tuple[AudioFormat, ...]
    """Formats that we may send, the preferred one first."""
    output_formats: tuple[AudioFormat, ...]
    """Formats that we may ask for, the preferred one first."""
    truncate: bool = True
    """The history can be cut at what was heard, and what nobody heard taken out. False: the model is told of it."""
    out_of_band: bool = True
    """A response may run beside the conversation. False: fillers are not the provider's to speak."""
    talks_while_call_pending: bool = True
    """The model may respond while a tool call is unanswered. False: answer with a placeholder first."""
    cancel: bool = True
    """A response can be cancelled by us."""
    ears: bool = True
    """It hears where the caller begins and ends to speak. False: it is told (`Codec.activity_started`)."""
    acknowledges: bool = True
    """It says which outputs are in the conversation (`ItemCreated`)."""
    updates: bool = True
    """Instructions and tools may change within a session. False: it takes a new one."""
    leaves_turns: bool = True
    """It can be told neither to cancel its response when the caller speaks nor to answer by itself."""
    remote_tools: bool = False
    """It runs the tools of MCP servers itself (`SessionConfig.remote`)."""


# --- the codec --------------------------------------------------------------------------------------------

Frame: TypeAlias = bytes
"""One message to the provider: UTF-8 JSON, sent as a WebSocket text message."""

Attach: TypeAlias = Callable[..., Any]
"""Makes the socket of a connection that begins: what `websockets` calls `create_connection`."""
HangUp: TypeAlias = Callable[[int], Awaitable[None]]
"""Ends a connection with a WebSocket close code. Raises nothing."""
Dial: TypeAlias = Callable[[Any, Attach], Awaitable[HangUp]]
"""Connects to a `Provider`. Raises `RealtimeRefused`."""


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A tool call that has no output yet."""

    tool_call_id: str
    """The provider's id."""
    name: str
    """The function's name."""
    arguments: str
    """JSON text."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing said."""

    role: Role
    """user: the caller; assistant: the agent; system: a note of ours."""
    text: str
    """What was said, and of the agent's words what was heard."""


class Codec(Protocol):
    """Between our words and one provider's frames. Pure: no I/O, no clock; state is of one session only.

    What asks for something returns the frames for it, in order: none where the provider needs none. `decode` never
    raises for what a peer sends: what can't be used becomes a `ProviderError` or an `Unknown`.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What the provider behind this codec can do."""
        ...

    def reset(self) -> None:
        """Forget the session's state: a new connection begins."""
        ...

    def closed(self, code: int, reason: str) -> bool:
        """The connection ended so (WebSocket close code). True: the next one is asked for otherwise, so may be had."""
        ...

    def turn_taking(self, options: Mapping[str, Any]) -> TurnTaking:
        """What the provider will do by itself in a session with these options (`SessionConfig.extra`)."""
        ...

    def session_update(self, config: SessionConfig) -> list[Frame]:
        """Settings for the session; the answer is `SessionReady` or a `ProviderError`."""
        ...

    def append(self, pcm: bytes) -> Frame:
        """The caller's audio in the session's input format, any length. The hot path."""
        ...

    def activity_started(self, item_id: str) -> list[Frame]:
        """The caller begins to speak: for a provider without ears of its own. item_id: what this speech is called."""
        ...

    def activity_ended(self) -> list[Frame]:
        """The caller has spoken: such a provider answers now."""
        ...

    def tool_output(self, tool_call_id: str, output: str, *, told: bool = True) -> list[Frame]:
        """The one answer to a tool call; `output` is JSON text. Asks for no response.

        told: a response that tells it will be asked for; False: nothing is to be said of it.
        """
        ...

    def approve(self, approval_id: str, approve: bool, reason: str = "") -> list[Frame]:
        """The answer to an `ApprovalWanted` of this session, once. reason: for the model, where it is declined."""
        ...

    def history(self, said: Iterable[Entry], open_calls: Iterable[OpenCall]) -> list[Frame]:
        """The conversation of a lost session, and the calls that still wait for an output, for the session after it."""
        ...

    def message(self, role: Role, text: str) -> list[Frame]:
        """A text item. Asks for no response."""
        ...

    def create_response(self, request: ResponseRequest) -> list[Frame]:
        """Ask for a response; `ResponseStarted` echoes the request's metadata."""
        ...

    def cancel_response(self, response_id: str | None = None) -> list[Frame]:
        """Cancel that response, or the one in progress."""
        ...

    def truncate(self, item_id: str, audio_end_ms: int) -> list[Frame]:
        """Cut an item of the agent's at what was heard: ms from its beginning, not over what was received."""
        ...

    def delete_item(self, item_id: str) -> list[Frame]:
        """Take an item out of the conversation (nothing of it was heard)."""
        ...

    def decode(self, raw: str | bytes | bytearray | memoryview) -> list[RealtimeEvent]:
        """The events of one frame, often none. Never raises for the frame's content."""
        ...
