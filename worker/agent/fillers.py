"""The agent file's `[fillers]`: what is said while tools run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypeVar

from pydantic import Field, field_validator

from worker.agent.table import AgentTable
from worker.call_tools.durations import ABOUT

__all__ = ["AgentFillers"]

T = TypeVar("T")


class AgentFillers(AgentTable):
    """What is said while tools run, in other words each time. A tool's own filler comes first.

    In a text, {about} stands for what is left of the time that the tool usually takes; where that isn't known the text
    is passed over.
    """

    mode: Literal["model", "canned", "tone"] = Field(
        default="model",
        description="model: the provider speaks them; canned: WAV files or the local voice; tone: no words at all",
    )
    texts: tuple[str, ...] = Field(
        default=(
            "One moment, please.",
            "I am still looking.",
            "Thank you for waiting.",
            "It takes a little longer today.",
            "I have not forgotten you.",
        ),
        description="sentences to choose from, in turn",
    )
    texts_by_language: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="the same for an agent that speaks this language"
    )
    tools: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="a tool's own sentences, in place of those that it was written with"
    )
    tools_by_language: dict[str, dict[str, tuple[str, ...]]] = Field(
        default_factory=dict, description="the same for an agent that speaks this language"
    )
    wav: dict[str, str] = Field(default_factory=dict, description="canned: the file of a text, instead of the voice")
    voice: str | None = Field(default=None, description="canned: an espeak voice, such as en-us+f2")
    grace_ms: int = Field(default=500, ge=0, le=60_000, description="ms of quiet before the first sentence")
    interval_ms: int = Field(
        default=4000, ge=500, le=60_000, description="ms without words before the second; later ones grow"
    )
    tone: bool = Field(default=True, description="whether a soft tone sounds between the sentences")

    @field_validator("texts")
    @classmethod
    def _some_text(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        if not texts or not all(texts):
            raise ValueError("needs at least one text, and none empty")
        return _placeholders_known(texts)

    @field_validator("texts_by_language", "tools")
    @classmethod
    def _some_text_each(cls, texts: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return {key: _placeholders_known(some) for key, some in texts.items()}

    def texts_for(self, language: str) -> tuple[str, ...]:
        """The sentences for a language (a BCP 47 tag): its own, those of the language without a region, or `texts`."""
        return _of_language(self.texts_by_language, language) or self.texts

    def tools_for(self, language: str) -> Mapping[str, tuple[str, ...]]:
        """The tools' own sentences that are given here for a language."""
        return {**self.tools, **(_of_language(self.tools_by_language, language) or {})}


def _placeholders_known(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        for found in re.findall(r"\{[^}]*\}?", text):
            if found != ABOUT:
                raise ValueError(f"there is no {found}: a text may have {ABOUT} in it")
    return texts


def _of_language(by_language: Mapping[str, T], language: str) -> T | None:
    found = {key.lower(): value for key, value in by_language.items()}
    tag = language.lower()
    return found.get(tag, found.get(tag.partition("-")[0]))
