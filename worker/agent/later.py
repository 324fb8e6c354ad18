"""The agent file's `[later]`: what is offered where a tool takes long, and how callers are called back."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from worker.agent.table import AgentTable
from worker.call_tools.later import OFFERS, Way

__all__ = ["AgentLater"]


class AgentLater(AgentTable):
    """What the caller is offered where a tool takes long, and how the caller is called back.

    Only what this installation can do is offered: see OFFHOOK_CALL_BACK_URI and OFFHOOK_NOTIFY_HOOKS.
    """

    offer_after: float = Field(
        default=30.0, ge=0, description="s that a queued tool has run, or will by all that is known; 0: never offered"
    )
    ways: tuple[Way, ...] = Field(default=("call_back", "send"), description="what is offered: call_back, send")
    words: dict[str, str] = Field(
        default_factory=dict, description="the offer, by what is possible: both, call_back, send; empty: none is made"
    )
    words_by_language: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="the same for an agent that speaks this language"
    )
    call_back_to: tuple[str, ...] = Field(default=("*",), description="patterns of the callers who may be called back")
    opening: str | None = Field(default=None, description="the first words of a call back; left out: by the language")
    ring_seconds: float = Field(default=45.0, ge=5, le=180, description="s that a call back rings")
    pauses: tuple[Annotated[float, Field(ge=1, le=86400)], ...] = Field(
        default=(60.0, 300.0, 900.0, 3600.0), description="s before each further try where nobody was reached"
    )

    @field_validator("words")
    @classmethod
    def _known_offers(cls, words: dict[str, str]) -> dict[str, str]:
        for key in words:
            if key not in OFFERS:
                raise ValueError(f"there is no {key}: allowed are {', '.join(OFFERS)}")
        return words

    @field_validator("words_by_language")
    @classmethod
    def _known_offers_each(cls, words: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        return {language: cls._known_offers(some) for language, some in words.items()}
