"""OpenAI's GA realtime protocol: its names, formats and the session object. Pure tables and functions.

Field names are those of the types in `openai.types.realtime` (3.52), which the tests hold this against.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from worker.realtime.base import SessionConfig
from worker.realtime.dialect import OPENAI
from worker.realtime.formats import AudioFormat

OLD_NAMES: Final[Mapping[str, str]] = {
    "response.audio.delta": "response.output_audio.delta",
    "response.audio.done": "response.output_audio.done",
    "response.audio_transcript.delta": "response.output_audio_transcript.delta",
    "response.audio_transcript.done": "response.output_audio_transcript.done",
    "response.text.delta": "response.output_text.delta",
    "response.text.done": "response.output_text.done",
    "response.output_tool_call.arguments.delta": "response.function_call_arguments.delta",
    "response.output_tool_call.completed": "response.function_call_arguments.done",
    "conversation.item.created": "conversation.item.added",
}
"""Event types of the beta and of Azure's preview, understood inbound and never sent."""

OLD_KINDS: Final[Mapping[str, str]] = {"tool_call": "function_call", "tool_result": "function_call_output"}
"""Item types of the preview."""

IGNORED: Final[frozenset[str]] = frozenset(
    {
        "conversation.created",
        "conversation.item.deleted",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.segment",
        "conversation.item.retrieved",
        "conversation.item.truncated",
        "input_audio_buffer.cleared",
        "input_audio_buffer.committed",
        "input_audio_buffer.dtmf_event_received",
        "input_audio_buffer.timeout_triggered",
        "mcp_list_tools.completed",
        "mcp_list_tools.in_progress",
        "output_audio_buffer.cleared",
        "output_audio_buffer.started",
        "output_audio_buffer.stopped",
        "rate_limits.updated",
        "response.content_part.added",
        "response.content_part.done",
        "response.mcp_call_arguments.delta",
    }
)
"""Known types that carry nothing which the session needs."""

RESPONSE_REFUSED: Final = "conversation_already_has_active_response"
CANCEL_REFUSED: Final = "response_cancel_not_active"

_FORMATS: Final[Mapping[str, Mapping[str, Any]]] = {
    "pcm24k": {"type": "audio/pcm", "rate": 24000},
    "pcmu": {"type": "audio/pcmu"},
    "pcma": {"type": "audio/pcma"},
}
_OLD_FORMATS: Final[Mapping[str, str]] = {"pcm16": "pcm24k", "g711_ulaw": "pcmu", "g711_alaw": "pcma"}
_PCM_RATES: Final[Mapping[int, str]] = {24000: "pcm24k", 16000: "pcm16k"}


def is_fatal(code: str) -> bool:
    """Tell whether an error code (`invalid_api_key`, `invalid_request_error.invalid_api_key`) leaves no hope."""
    return code.rpartition(".")[2] in OPENAI.fatal_codes


def wire_format(audio_format: AudioFormat) -> Mapping[str, Any]:
    """Return the protocol's object for a format.

    Raises:
        ValueError: the protocol has no such format (pcm16k).
    """
    found = _FORMATS.get(audio_format)
    if found is None:
        raise ValueError(f"OpenAI's protocol has no format {audio_format}; it has {', '.join(_FORMATS)}")
    return found


def tool_choice(choice: str) -> str | dict[str, str]:
    """Return auto, none and required as they are, and a tool's name as the object that forces it."""
    return choice if choice in ("auto", "none", "required") else {"type": "function", "name": choice}


def text_item(role: str, text: str) -> dict[str, Any]:
    """Return a message item of text; the agent's own words have another content type than all others'."""
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def session_object(
    config: SessionConfig, remote: Iterable[Mapping[str, Any]] = (), *, flat_turn_detection: bool = False
) -> dict[str, Any]:
    """Return the `session` of a session.update; `config.extra` is merged over it deeply, its tools come beside ours.

    remote: the definitions of MCP servers. flat_turn_detection: it stands in the session itself.

    Raises:
        ValueError: a format that the protocol doesn't have.
    """
    transcription: dict[str, Any] | None = None
    if config.transcription_model is not None:
        transcription = {"model": config.transcription_model}
        if config.language is not None:
            transcription["language"] = config.language
    output: dict[str, Any] = {"format": wire_format(config.output_format)}
    if config.voice is not None:
        output["voice"] = config.voice
    session: dict[str, Any] = {
        "type": "realtime",
        "output_modalities": ["audio"],
        "audio": {
            "input": {
                "format": wire_format(config.input_format),
                "turn_detection": config.turn_detection,
                "transcription": transcription,
            },
            "output": output,
        },
        "tools": [*config.tools, *remote],
        "tool_choice": tool_choice(config.tool_choice),
    }
    if config.instructions:
        session["instructions"] = config.instructions
    if flat_turn_detection:
        session["turn_detection"] = session["audio"]["input"].pop("turn_detection")
    extra = dict(config.extra)
    session["tools"] = _beside(session["tools"], extra.pop("tools", None))
    session = merged(session, extra)
    if session["audio"]["input"].get("transcription") is False:  # TOML has no null
        session["audio"]["input"]["transcription"] = None
    return session


def _beside(tools: list[Mapping[str, Any]], more: Any) -> list[Mapping[str, Any]]:
    """Return our tools and those of the provider's options: a list that replaced ours would take the agent's away.

    One of the same name, or of the same server's label, stands in the other's place.
    """
    if not isinstance(more, list):
        return tools
    return list({_tool_name(tool, place): tool for place, tool in enumerate((*tools, *more))}.values())


def _tool_name(tool: Any, place: int) -> tuple[object, object]:
    found = tool if isinstance(tool, Mapping) else {}
    return found.get("type"), found.get("name") or found.get("server_label") or place


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` laid on it: objects are merged, everything else is replaced."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        result[key] = merged(below, value) if both else value  # type: ignore[arg-type]
    return result


def effective_format(session: Mapping[str, Any], side: str) -> str | None:
    """Return what a session.updated says of `side` ("input" or "output").

    An `AudioFormat`, or the wire's own words for anything else; None when the server does not say.
    """
    audio = session.get("audio")
    part = audio.get(side) if isinstance(audio, Mapping) else None
    wire = part.get("format") if isinstance(part, Mapping) else None
    if wire is None:
        wire = session.get(f"{side}_audio_format")
    if isinstance(wire, str):
        return _OLD_FORMATS.get(wire, wire)
    if not isinstance(wire, Mapping) or not wire.get("type"):
        return None
    if wire["type"] == "audio/pcm":
        rate = wire.get("rate", 24000)
        return _PCM_RATES.get(rate, f"audio/pcm at {rate} Hz") if isinstance(rate, int) else "audio/pcm"
    return {"audio/pcmu": "pcmu", "audio/pcma": "pcma"}.get(str(wire["type"]), str(wire["type"]))
