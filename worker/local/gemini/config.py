"""A session's configuration, from its setup. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.local.config import VadSettings
from worker.local.errors import RequestError

__all__ = ["Config", "Family", "family_of"]


@dataclass(frozen=True, slots=True)
class Family:
    """What the models of one family do. By the documentation, and by what clients report."""

    prefix: str
    blocking: bool = False
    """It knows no NON_BLOCKING functions, and is mute until a call is answered."""
    content: bool = True
    """It takes clientContent in mid session."""
    updates: bool = False
    """It takes contextUpdate."""
    refuses: tuple[str, ...] = ()
    """Fields of the setup that it refuses, by their path."""


FAMILIES = (
    Family(
        "gemini-3.1-flash-live",
        blocking=True,
        content=False,
        refuses=("proactivity", "generationConfig.enableAffectiveDialog"),
    ),
    Family("gemini-2.5-flash-native-audio"),
    Family(
        "gemini-3.8-live",
        updates=True,
        refuses=("generationConfig.thinkingConfig.thinkingLevel", "generationConfig.enableAffectiveDialog"),
    ),
    Family("local", updates=True),
)


def family_of(path: str) -> Family:
    """The family of a model, by its path. Raises RequestError for one that there is not."""
    name = path.rpartition("/")[2]
    found = next((family for family in FAMILIES if name.startswith(family.prefix)), None)
    if found is None or not path.startswith(("models/", "projects/", "publishers/")):
        raise RequestError(
            f"{path} is not found for API version v1beta, or is not supported for bidiGenerateContent.",
            code="not_found",
        )
    return found


@dataclass(slots=True)
class Config:
    """The configuration of one session."""

    setup: Mapping[str, Any]
    family: Family
    functions: dict[str, bool] = field(default_factory=dict)
    """Name -> whether the model goes on while it runs."""

    def __post_init__(self) -> None:
        """Check what depends on the model."""
        for path in self.family.refuses:
            if _at(self.setup, path) is not None:
                raise RequestError(f"{path} is not supported by this model.", code="invalid_argument")
        self.use_tools(self.setup.get("tools", []))

    def use_tools(self, tools: list[Mapping[str, Any]]) -> None:
        """Take these functions. Raises RequestError for two of one name, and for what the model can't do."""
        functions: dict[str, bool] = {}
        for one in (function for tool in tools for function in tool.get("functionDeclarations", ())):
            if one["name"] in functions:
                raise RequestError(f"Duplicate function declaration found: {one['name']}", code="invalid_argument")
            if self.family.blocking and one.get("behavior") == "NON_BLOCKING":
                raise RequestError("behavior NON_BLOCKING is not supported by this model.", code="invalid_argument")
            functions[one["name"]] = one.get("behavior") == "NON_BLOCKING"
        self.functions = functions

    def _has(self, path: str) -> bool:
        return _at(self.setup, path) is not None

    @property
    def voice(self) -> str:
        """The voice's name."""
        found = _at(self.setup, "generationConfig.speechConfig.voiceConfig.prebuiltVoiceConfig.voiceName")
        return str(found or "Puck")

    @property
    def vad(self) -> VadSettings | None:
        """Turn detection; None where the client says when somebody speaks."""
        found = _at(self.setup, "realtimeInputConfig.automaticActivityDetection") or {}
        if found.get("disabled"):
            return None
        return VadSettings(
            prefix_padding_ms=found.get("prefixPaddingMs", 300), silence_duration_ms=found.get("silenceDurationMs", 500)
        )

    @property
    def interrupts(self) -> bool:
        """Whether somebody who speaks interrupts the model."""
        return bool(_at(self.setup, "realtimeInputConfig.activityHandling") != "NO_INTERRUPTION")

    @property
    def hears_words(self) -> bool:
        """Whether the client wants to read what is said to the model."""
        return self._has("inputAudioTranscription")

    @property
    def shows_words(self) -> bool:
        """Whether the client wants to read what the model says."""
        return self._has("outputAudioTranscription")

    @property
    def resumable(self) -> bool:
        """Whether the client wants handles."""
        return self._has("sessionResumption")

    @property
    def handle(self) -> str | None:
        """The session to resume."""
        found = _at(self.setup, "sessionResumption.handle")
        return None if found is None else str(found)

    @property
    def begins_with_history(self) -> bool:
        """Whether an earlier conversation comes first."""
        return bool(_at(self.setup, "historyConfig.initialHistoryInClientContent"))


def _at(value: Any, path: str) -> Any:
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
