"""What a client of the GA realtime protocol may send: every event's fields, in one place. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.local.checks import Anything, ByType, Choice, Flag, Listing, Number, OneOf, Rule, Shape, Table, Text, whole

__all__ = ["CLIENT_EVENTS", "VOICES", "check_event"]

VOICES = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")
NAME = r"^[a-zA-Z0-9_-]+$"
CONNECTORS = tuple(
    f"connector_{name}"
    for name in (
        *("dropbox", "gmail", "googlecalendar", "googledrive", "microsoftteams"),
        *("outlookcalendar", "outlookemail", "sharepoint"),
    )
)
ITEM_ID = Text(longest=32)
CALL_ID = Text(longest=32, pattern=NAME)

_TYPE = Anything()  # the discriminator itself, already looked at
_MODALITIES = Listing(Choice(("text", "audio")), most=1)
_FORMAT = ByType(
    {
        "audio/pcm": Shape({"type": _TYPE, "rate": whole(24000, 24000)}),
        "audio/pcmu": Shape({"type": _TYPE}),
        "audio/pcma": Shape({"type": _TYPE}),
    }
)
_VAD = ByType(
    {
        "server_vad": Shape(
            {
                "type": _TYPE,
                "threshold": Number(0.0, 1.0),
                "prefix_padding_ms": whole(0, 5000),
                "silence_duration_ms": whole(0, 10000),
                "idle_timeout_ms": whole(5000, 30000, nullable=True),
                "create_response": Flag(),
                "interrupt_response": Flag(),
            }
        ),
        "semantic_vad": Shape(
            {
                "type": _TYPE,
                "eagerness": Choice(("low", "medium", "high", "auto")),
                "create_response": Flag(),
                "interrupt_response": Flag(),
            }
        ),
    },
    nullable=True,
)
_TRANSCRIPTION = Shape(
    {
        "model": Text(),
        "language": Text(),
        "languages": Listing(Text()),
        "keywords": Listing(Text()),
        "prompt": Text(),
        "delay": Choice(("minimal", "low", "medium", "high", "xhigh")),
    },
    nullable=True,
)
_NOISE = Shape({"type": Choice(("near_field", "far_field")), "strength": Number(0, 1)}, nullable=True)
_AUDIO = Shape(
    {
        "input": Shape(
            {
                "format": _FORMAT,
                "turn_detection": _VAD,
                "transcription": _TRANSCRIPTION,
                "noise_reduction": _NOISE,
            }
        ),
        "output": Shape({"format": _FORMAT, "voice": Text(), "speed": Number(0.25, 1.5)}),
    }
)
_FUNCTION = Shape(
    {
        "type": _TYPE,
        "name": Text(longest=64, pattern=NAME),
        "description": Text(nullable=True),
        "parameters": Table(nullable=True),
    },
    required=("name",),
)
_FILTER = Shape({"tool_names": Listing(Text()), "read_only": Flag()})
_MCP = Shape(
    {
        "type": _TYPE,
        "server_label": Text(longest=64, pattern=NAME),
        "server_url": Text(),
        "connector_id": Choice(CONNECTORS),
        "tunnel_id": Text(),
        "authorization": Text(),
        "headers": Table(Text(), nullable=True),
        "allowed_tools": OneOf(Listing(Text()), _FILTER),
        "require_approval": OneOf(Choice(("always", "never")), Shape({"always": _FILTER, "never": _FILTER})),
        "server_description": Text(),
        "defer_loading": Flag(),
        "allowed_callers": Listing(Choice(("direct", "programmatic")), nullable=True),
    },
    required=("server_label",),
)
_TOOLS = Listing(ByType({"function": _FUNCTION, "mcp": _MCP}))
_TOOL_CHOICE = ByType(
    {
        "function": Shape({"type": _TYPE, "name": Text(longest=64)}, required=("name",)),
        "mcp": Shape(
            {"type": _TYPE, "server_label": Text(longest=64), "name": Text(nullable=True)}, required=("server_label",)
        ),
    },
    or_else=Choice(("none", "auto", "required")),
)
_TRUNCATION = ByType(
    {
        "retention_ratio": Shape(
            {"type": _TYPE, "retention_ratio": Number(0, 1), "token_limits": Table(nullable=True)},
            required=("retention_ratio",),
        )
    },
    or_else=Choice(("auto", "disabled")),
)
_MAX_TOKENS = whole(1, 4096, words=("inf",), nullable=True)
_REASONING = Shape({"effort": Choice(("minimal", "low", "medium", "high", "xhigh"))}, nullable=True)
_SESSION = ByType(
    {
        "realtime": Shape(
            {
                "type": _TYPE,
                "model": Text(),
                "instructions": Text(),
                "output_modalities": _MODALITIES,
                "audio": _AUDIO,
                "tools": _TOOLS,
                "tool_choice": _TOOL_CHOICE,
                "parallel_tool_calls": Flag(),
                "max_output_tokens": _MAX_TOKENS,
                "reasoning": _REASONING,
                "tracing": Anything(),
                "truncation": _TRUNCATION,
                "prompt": Table(nullable=True),
                "include": Listing(Choice(("item.input_audio_transcription.logprobs",)), nullable=True),
            }
        )
    }
)


def _message(role: str, *content: str) -> Shape:
    fields: dict[str, Mapping[str, Rule]] = {
        "input_text": {"text": Text()},
        "output_text": {"text": Text()},
        "input_audio": {"audio": Text(), "transcript": Text(nullable=True)},
        "input_image": {"image_url": Text(), "detail": Choice(("auto", "low", "high"))},
    }
    must = {"input_text": ("text",), "output_text": ("text",), "input_audio": ("audio",), "input_image": ("image_url",)}
    shapes = {kind: Shape({"type": _TYPE, **fields[kind]}, required=must[kind]) for kind in content}
    own: dict[str, Rule] = {"role": _TYPE, "content": Listing(ByType(shapes))}
    return Shape({**_ITEM, **own}, required=("content",))


_ITEM: Mapping[str, Rule] = {
    "type": _TYPE,
    "id": ITEM_ID,
    "object": Choice(("realtime.item",)),
    "status": Choice(("completed", "incomplete", "in_progress")),
}
_ITEMS: Mapping[str, Rule] = {
    "message": ByType(
        {
            "user": _message("user", "input_text", "input_audio", "input_image"),
            "assistant": _message("assistant", "output_text"),
            "system": _message("system", "input_text"),
        },
        key="role",
    ),
    "function_call": Shape(
        {**_ITEM, "call_id": CALL_ID, "name": Text(longest=64, pattern=NAME), "arguments": Text()},
        required=("name", "arguments"),
    ),
    "function_call_output": Shape({**_ITEM, "call_id": CALL_ID, "output": Text()}, required=("call_id", "output")),
    "mcp_approval_response": Shape(
        {
            "type": _TYPE,
            "id": ITEM_ID,
            "approval_request_id": Text(),
            "approve": Flag(),
            "reason": Text(nullable=True),
        },
        required=("id", "approval_request_id", "approve"),
    ),
}
_REFERENCE = Shape({"type": _TYPE, "id": ITEM_ID}, required=("id",))
_RESPONSE = Shape(
    {
        "conversation": Choice(("auto", "none")),
        "input": Listing(ByType({**_ITEMS, "item_reference": _REFERENCE}), nullable=True),
        "instructions": Text(nullable=True),
        "output_modalities": _MODALITIES,
        "audio": Shape({"output": Shape({"format": _FORMAT, "voice": Text()})}),
        "tools": _TOOLS,
        "tool_choice": _TOOL_CHOICE,
        "parallel_tool_calls": Flag(),
        "max_output_tokens": _MAX_TOKENS,
        "reasoning": _REASONING,
        "metadata": Table(Text(longest=512), most=16, longest_key=64, nullable=True),
        "prompt": Table(nullable=True),
    },
    nullable=True,
)


def _event(required: tuple[str, ...] = (), **fields: Rule) -> Shape:
    return Shape({"type": _TYPE, "event_id": Text(longest=512, nullable=True), **fields}, required)


CLIENT_EVENTS: Mapping[str, Rule] = {
    "session.update": _event(("session",), session=_SESSION),
    "input_audio_buffer.append": _event(("audio",), audio=Text()),
    "input_audio_buffer.commit": _event(),
    "input_audio_buffer.clear": _event(),
    "conversation.item.create": _event(("item",), item=ByType(_ITEMS), previous_item_id=Text(nullable=True)),
    "conversation.item.retrieve": _event(("item_id",), item_id=Text()),
    "conversation.item.truncate": _event(
        ("item_id", "content_index", "audio_end_ms"),
        item_id=Text(),
        content_index=whole(0, 2**31),
        audio_end_ms=whole(0, 2**31),
    ),
    "conversation.item.delete": _event(("item_id",), item_id=Text()),
    "response.create": _event(response=_RESPONSE),
    "response.cancel": _event(response_id=Text(nullable=True)),
}
"""The shape of each client event, by its type. `output_audio_buffer.clear` is for WebRTC and SIP only."""

_EVENT = ByType(CLIENT_EVENTS)


def check_event(event: Any) -> None:
    """Raise RequestError unless `event` is what a client may send."""
    _EVENT.check(event, "")
