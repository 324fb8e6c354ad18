"""What a check is given and what it returns: the site that is looked at, and findings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from worker.agent.agent_file import AgentFile
from worker.service.loaded import Loaded
from worker.settings.settings import Settings

__all__ = ["Finding", "Level", "Look", "LookFirst", "Site"]

Level = Literal["ok", "note", "wrong"]
LookFirst = Callable[["Site"], list["Finding"]]
Look = Callable[["Site"], Awaitable[list["Finding"]]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    level: wrong makes `offhook check` end with 1. about: settings, agent, sip, redis, realtime, ...
    text: how it stands. mend: what to do about it, empty where there is nothing to do.
    """

    level: Level
    about: str
    text: str
    mend: str = ""


@dataclass(slots=True)
class Site:
    """What is looked at; a check leaves here what later ones need.

    capacity: calls at once that the build carries. sessions: whether one may be opened at the provider, which costs
    one of those that it allows. errors: what findings were made of.
    """

    settings: Settings
    agents: AgentFile | None = None
    loaded: Loaded | None = None
    capacity: int | None = None
    sessions: bool = True
    errors: list[Exception] = field(default_factory=list)
