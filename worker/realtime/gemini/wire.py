"""The Live API's messages: the setup, and the frames that a client sends. Pure functions.

Field names are those of the service's JSON (camelCase), as `google.genai` 3.6 puts them on the wire; the tests hold
these messages against its types.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from worker.realtime.base import Frame, SessionConfig

__all__ = [
    "ACTIVITY_ENDED",
    "ACTIVITY_STARTED",
    "content",
    "context_update",
    "merged",
    "said_text",
    "setup",
    "tool_response",
    "turn",
    "value_of",
]

ACTIVITY_STARTED: Final[Frame] = b'{"realtimeInput":{"activityStart":{}}}'
ACTIVITY_ENDED: Final[Frame] = b'{"realtimeInput":{"activityEnd":{}}}'
OTHERS_VOICES: Final = frozenset("alloy ash ballad cedar coral echo marin sage shimmer verse".split())
"""OpenAI's, which agent files have: the service's own default stands for them, where it would end the session."""
NOTHING: Final = "done; there is nothing to tell of it"
"""In place of an empty output, after which models call again."""


def setup(
    config: SessionConfig, model: str, *, non_blocking: bool, handle: str | None, with_history: bool
) -> dict[str, Any]:
    """Return the `setup` of a session's first message; `config.extra` is merged over it deeply.

    model: its full path. non_blocking: the model goes on talking while a tool runs. handle: of the session to resume.
    with_history: an earlier conversation follows, which asks for no answer.
    """
    generation: dict[str, Any] = {"responseModalities": ["AUDIO"]}
    if config.voice is not None and config.voice not in OTHERS_VOICES:
        generation["speechConfig"] = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": config.voice}}}
    message: dict[str, Any] = {
        "model": model,
        "generationConfig": generation,
        # Where the caller begins and ends to speak is heard on our side: the service tells of it on Vertex AI only.
        "realtimeInputConfig": {"automaticActivityDetection": {"disabled": True}},
        "outputAudioTranscription": {},
        # Without it a session ends at 15 minutes of audio.
        "contextWindowCompression": {"slidingWindow": {}},
        "sessionResumption": {"handle": handle} if handle else {},
        "inputAudioTranscription": {},
    }
    message |= told(config, non_blocking=non_blocking)
    if with_history:
        message["historyConfig"] = {"initialHistoryInClientContent": True}
    return merged(message, config.extra)


def context_update(config: SessionConfig, *, non_blocking: bool) -> dict[str, Any]:
    """Return the `contextUpdate` that gives a running session other instructions and tools."""
    update = told(config, non_blocking=non_blocking)
    tools = update.pop("tools", [{"functionDeclarations": []}])
    return {**update, "tools": {"tools": tools}}


def told(config: SessionConfig, *, non_blocking: bool) -> dict[str, Any]:
    """Return what may change within a session: the instructions and the tools."""
    found: dict[str, Any] = {}
    if config.instructions:
        found["systemInstruction"] = {"parts": [{"text": config.instructions}]}
    if config.tools and config.tool_choice != "none":
        declared = [declaration(tool, non_blocking=non_blocking) for tool in config.tools]
        found["tools"] = [{"functionDeclarations": declared}]
    return found


def declaration(tool: Mapping[str, Any], *, non_blocking: bool) -> dict[str, Any]:
    """Return a function as the service wants it declared; its JSON schema goes as it is."""
    made = {"name": tool["name"], "description": tool.get("description", "")}
    if tool.get("parameters"):
        made["parametersJsonSchema"] = tool["parameters"]
    if non_blocking:
        made["behavior"] = "NON_BLOCKING"
    return made


def turn(role: str, text: str) -> dict[str, Any]:
    """Return one turn of a conversation; role: user or model, the service has no other."""
    return {"role": role, "parts": [{"text": text}]}


def content(turns: Iterable[Mapping[str, Any]], *, complete: bool = True) -> Frame:
    """Return a message of turns. complete: the model answers it, unless it is the history."""
    found = list(turns)
    return orjson.dumps({"clientContent": {**({"turns": found} if found else {}), "turnComplete": complete}})


def said_text(text: str) -> Frame:
    """Return text that counts as said: the model answers it."""
    return orjson.dumps({"realtimeInput": {"text": text}})


def tool_response(responses: Iterable[Mapping[str, Any]]) -> Frame:
    """Return the answers to tool calls."""
    return orjson.dumps({"toolResponse": {"functionResponses": list(responses)}})


def value_of(output: str) -> Any:
    """Return a tool's output (JSON text) as a value that is not empty."""
    try:
        value = orjson.loads(output)
    except ValueError:
        value = output
    return NOTHING if value is None or value in ({}, [], "") else value


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` laid on it: objects are merged, everything else is replaced."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return result
