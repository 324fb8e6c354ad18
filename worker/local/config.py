"""A session's configuration: what stands in session.created, and how a session.update changes it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from worker.local.errors import RequestError
from worker.local.remote import shown
from worker.local.wire import VOICES

__all__ = ["Config", "VadSettings"]

INSTRUCTIONS = (
    "You are the voice of a dialogue file: you say what it says, and call the functions that it names. "
    "A line `Say exactly: ...` in the instructions of a response makes you say that and nothing else."
)
SERVER_VAD: Mapping[str, Any] = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
    "idle_timeout_ms": None,
    "create_response": True,
    "interrupt_response": True,
}
SEMANTIC_VAD: Mapping[str, Any] = {
    "type": "semantic_vad",
    "eagerness": "auto",
    "create_response": True,
    "interrupt_response": True,
}
EAGERNESS_MS = {"low": 1200, "medium": 700, "auto": 700, "high": 400}
"""How long a silence ends a turn under semantic_vad: this server judges by silence alone."""


@dataclass(frozen=True, slots=True)
class VadSettings:
    """Turn detection in effect. Times in ms; threshold from 0 (everything is speech) to 1."""

    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500
    idle_timeout_ms: int | None = None
    create_response: bool = True
    interrupt_response: bool = True


@dataclass(slots=True)
class Config:
    """The configuration of one session, in the wire's own shape."""

    session_id: str
    model: str
    values: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start from the service's defaults."""
        pcm = {"type": "audio/pcm", "rate": 24000}
        self.values = {
            "output_modalities": ["audio"],
            "instructions": INSTRUCTIONS,
            "tools": [],
            "tool_choice": "auto",
            "max_output_tokens": "inf",
            "tracing": None,
            "truncation": "auto",
            "prompt": None,
            "include": None,
            "audio": {
                "input": {
                    "format": dict(pcm),
                    "transcription": None,
                    "noise_reduction": None,
                    "turn_detection": dict(SERVER_VAD),
                },
                "output": {"format": dict(pcm), "voice": "alloy", "speed": 1.0},
            },
        }

    def update(self, session: Mapping[str, Any], *, audio_was_out: bool) -> None:
        """Take over a checked `session.update`. What is left out stays.

        Raises RequestError for what may not change any more: the model, and the voice once audio was sent.
        """
        fresh = deepcopy(dict(session))
        fresh.pop("type", None)
        model = fresh.pop("model", self.model)
        if model != self.model:
            message = f"The model of a session can't be changed: it is '{self.model}'."
            raise RequestError(message, code="cannot_update_model", param="session.model")
        audio = fresh.pop("audio", {})
        output = audio.get("output", {})
        self._check_voice(output, audio_was_out)
        self.values.update(fresh)
        self.values["audio"]["input"].update(self._filled(audio.get("input", {})))
        if "format" in output:
            output["format"] = _format(output["format"])
        self.values["audio"]["output"].update(output)

    def _check_voice(self, output: Mapping[str, Any], audio_was_out: bool) -> None:
        voice = output.get("voice", self.voice)
        if voice not in VOICES:
            names = ", ".join(f"'{name}'" for name in VOICES)
            message = f"Invalid value: '{voice}'. Supported values are: {names}."
            raise RequestError(message, code="invalid_value", param="session.audio.output.voice")
        if voice != self.voice and audio_was_out:
            message = "Cannot update a conversation's voice if assistant audio is present."
            raise RequestError(message, code="cannot_update_voice", param="session.audio.output.voice")

    @staticmethod
    def _filled(given: dict[str, Any]) -> dict[str, Any]:
        """Fill in what the client left out of the objects that are replaced as a whole."""
        if "format" in given:
            given["format"] = _format(given["format"])
        turns = given.get("turn_detection")
        if turns is not None:
            given["turn_detection"] = {**(SERVER_VAD if turns["type"] == "server_vad" else SEMANTIC_VAD), **turns}
        return given

    def wire(self) -> dict[str, Any]:
        """The session object of session.created and session.updated."""
        head = {"type": "realtime", "object": "realtime.session", "id": self.session_id, "model": self.model}
        return {**head, **deepcopy(self.values), "tools": shown(self.values["tools"])}

    @property
    def voice(self) -> str:
        """The voice's name."""
        return str(self.values["audio"]["output"]["voice"])

    @property
    def speed(self) -> float:
        """How fast the voice speaks, 1.0 by default."""
        return float(self.values["audio"]["output"]["speed"])

    @property
    def input_format(self) -> str:
        """`audio/pcm`, `audio/pcmu` or `audio/pcma`."""
        return str(self.values["audio"]["input"]["format"]["type"])

    @property
    def output_format(self) -> str:
        """`audio/pcm`, `audio/pcmu` or `audio/pcma`."""
        return str(self.values["audio"]["output"]["format"]["type"])

    @property
    def transcribes(self) -> bool:
        """Whether the client wants transcripts of what is said."""
        return self.values["audio"]["input"]["transcription"] is not None

    @property
    def vad(self) -> VadSettings | None:
        """Turn detection, None when the client commits by itself."""
        turns = self.values["audio"]["input"]["turn_detection"]
        if turns is None:
            return None
        ours = {key: turns[key] for key in ("create_response", "interrupt_response")}
        if turns["type"] == "semantic_vad":
            return VadSettings(silence_duration_ms=EAGERNESS_MS[turns["eagerness"]], **ours)
        times = {key: turns[key] for key in ("prefix_padding_ms", "silence_duration_ms", "idle_timeout_ms")}
        return VadSettings(threshold=turns["threshold"], **times, **ours)

    @property
    def tool_names(self) -> tuple[str, ...]:
        """The names of the functions that may be called."""
        return tuple(tool["name"] for tool in self.values["tools"] if tool["type"] == "function")


def _format(given: Mapping[str, Any]) -> dict[str, Any]:
    return {"rate": 24000, **given} if given["type"] == "audio/pcm" else dict(given)
