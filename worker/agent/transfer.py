"""The agent file's `[[transfer]]`: to whom the agent may hand a call on."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from telephony.sip.target import fault_of
from worker.agent.table import AgentTable
from worker.call_tools.transfer import Target, TransferWay, Unanswered

__all__ = ["AgentTransfer", "labels_once", "tables_each"]


class AgentTransfer(AgentTable):
    """One target: who it is for the model, and where."""

    label: str = Field(min_length=1, max_length=64, description="what the model calls them by: sales, a name")
    uri: str = Field(description="whom to dial: sip:USER@HOST")
    description: str = Field(default="", max_length=300, description="what the model has to know to choose them")
    callers: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=("*",), description="patterns of the callers who may be handed on to them"
    )
    ways: tuple[TransferWay, ...] = Field(default=("blind",), min_length=1, description="how, the usual one first")
    account: str | None = Field(
        default=None,
        min_length=1,
        description="the account of OFFHOOK_SIP_ACCOUNTS to dial them by; None: that of their host, or the call's",
    )
    refer: bool = Field(default=True, description="whether the caller's side is asked first to dial them (REFER)")
    ring_seconds: float = Field(default=30.0, ge=5, le=180, description="s that they may ring")
    brief_seconds: float = Field(default=30.0, ge=5, le=180, description="attended: s that they have to take the call")
    briefing: str | None = Field(
        default=None,
        max_length=500,
        description="attended: what they are told, with {summary} in it; None: by language",
    )
    unanswered: Unanswered = Field(
        default="tell",
        description="where they don't take the call: tell; call_back: the caller is offered to be called back and put"
        " through then; send: to leave a note, which goes out by OFFHOOK_NOTIFY_HOOKS",
    )
    call_back_seconds: float = Field(
        default=300.0, ge=0, le=86400, description="call_back: s after the call, at the earliest"
    )

    @field_validator("uri")
    @classmethod
    def _dialled(cls, uri: str) -> str:
        if fault := fault_of(uri):
            raise ValueError(fault)
        return uri

    @field_validator("briefing")
    @classmethod
    def _has_a_summary(cls, briefing: str | None) -> str | None:
        if briefing is not None and "{summary}" not in briefing:
            raise ValueError("needs {summary} in it: what the model has to say of the caller")
        return briefing

    @property
    def target(self) -> Target:
        """What a call is given of it."""
        return Target(
            label=self.label,
            uri=self.uri,
            account=self.account,
            description=self.description,
            callers=self.callers,
            ways=self.ways,
            refer=self.refer,
            ring_s=self.ring_seconds,
            brief_s=self.brief_seconds,
            briefing=self.briefing,
            unanswered=self.unanswered,
            call_back_s=self.call_back_seconds,
        )


def tables_each(value: object) -> object:
    """Raise ValueError where they are not written as tables of a list."""
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, (dict, AgentTransfer)) for one in value):
        raise ValueError("write each target as a table of its own, [[transfer]]")
    return value


def labels_once(targets: tuple[AgentTransfer, ...]) -> tuple[AgentTransfer, ...]:
    """Raise ValueError where two have one label: the model could not tell them apart."""
    seen: set[str] = set()
    for target in targets:
        if target.label.lower() in seen:
            raise ValueError(f"there are two targets with the label {target.label!r}: each needs its own")
        seen.add(target.label.lower())
    return targets
