"""The agent file's `[refer]`: who may have a call go on elsewhere, and where. Left out, nobody may."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from telephony.sip.hand_over import HandOverRules, fault_of_source
from telephony.sip.on_list import fault_of_pattern
from worker.agent.table import AgentTable

__all__ = ["AgentRefer"]


class AgentRefer(AgentTable):
    """Whose REFER and whose INVITE with Replaces is followed in a call with this agent."""

    sources: tuple[str, ...] = Field(default=(), description="addresses or networks that may ask for it")
    targets: tuple[str, ...] = Field(
        default=(), description="patterns of the URIs that REFER may have us dial: sip:2*@pbx.example.com"
    )
    replaces: bool = Field(default=False, description="whether they may put another call in the place of this one")

    @field_validator("sources")
    @classmethod
    def _networks(cls, sources: tuple[str, ...]) -> tuple[str, ...]:
        for one in sources:
            if fault := fault_of_source(one):
                raise ValueError(f"{one!r} {fault}")
        return sources

    @field_validator("targets")
    @classmethod
    def _patterns(cls, targets: tuple[str, ...]) -> tuple[str, ...]:
        for one in targets:
            if fault := fault_of_pattern(one):
                raise ValueError(f"{one!r} {fault}")
        return targets

    @model_validator(mode="after")
    def _somebody(self) -> AgentRefer:
        if (self.targets or self.replaces) and not self.sources:
            raise ValueError('needs sources = ["192.0.2.10"]: the addresses or networks that may ask for it')
        if self.sources and not (self.targets or self.replaces):
            raise ValueError("allows nothing: give targets, or replaces = true")
        return self

    @property
    def rules(self) -> HandOverRules | None:
        """What a call is given of it; None where nobody may anything."""
        return HandOverRules(self.sources, self.targets, self.replaces) if self.sources else None
