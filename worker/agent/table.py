"""What every table of the agent file has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["AgentTable"]


class AgentTable(BaseModel):
    """A table: no unknown keys, frozen, and texts without white space around them."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)
