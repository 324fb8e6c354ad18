"""The agent file's `[recording]`: whether calls are recorded, what is asked before, and what goes with it."""

from __future__ import annotations

from pydantic import Field, field_validator

from worker.agent.table import AgentTable

__all__ = ["AgentRecording", "not_asked"]


class AgentRecording(AgentTable):
    """Of calls that are recorded at all (OFFHOOK_RECORDINGS)."""

    enabled: bool = Field(default=True, description="whether this agent's calls are recorded")
    consent: str = Field(
        default="",
        max_length=500,
        description="asked before anything is recorded, such as: May I record this call? Without a yes it is not."
        " Empty: nobody is asked",
    )
    pause: bool = Field(default=False, description="whether the agent may pause its recording, and go on with it")
    beep_seconds: float = Field(
        default=0,
        ge=0,
        le=30,
        description="s from beep to beep (1400 Hz) that tells of a recording, 1 or more; 0: none",
    )

    @field_validator("beep_seconds")
    @classmethod
    def _some_quiet(cls, seconds: float) -> float:
        if 0 < seconds < 1:
            raise ValueError("give 1 to 30 seconds, or 0 for no beeps")
        return seconds


def not_asked(rules: AgentRecording) -> AgentRecording:
    """Return the rules for a second line, whose far side is not asked: where the caller is, it is not recorded.

    The caller is heard on it, who may have said no.
    """
    return rules.model_copy(update={"enabled": rules.enabled and not rules.consent, "consent": "", "pause": False})
