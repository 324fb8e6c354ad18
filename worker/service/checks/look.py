"""Looks at all of it: for `offhook check`, before a start, and beside a worker that has started.

- `FIRST`: before anything starts. serve does not start where one of them is wrong (`load`).
- `START`: what a start does itself. check tries it, and shows the words that serve would end with.
- `BESIDE`: a worker starts without, since calls can be answered, or will be soon; serve looks once it is up, and
  says what is wrong in its log (`tell_beside`).

Each check returns findings; none raises for what it finds. Nothing is registered and no call is made.
"""

from __future__ import annotations

import structlog

from worker.agent.agent_file import AgentFile
from worker.errors import OperatorError
from worker.service.checks.beside import BESIDE
from worker.service.checks.finding import Finding, Site
from worker.service.checks.first import FIRST
from worker.service.checks.start import START
from worker.service.loaded import Loaded
from worker.settings.settings import Settings

__all__ = ["find", "load", "tell_beside"]

log = structlog.get_logger(__name__)


async def find(settings: Settings) -> list[Finding]:
    """Return all findings, in the order in which they are shown."""
    site = Site(settings)
    found = [finding for look in FIRST for finding in look(site)]
    return found + [finding for later in (*START, *BESIDE) for finding in await later(site)]


def load(settings: Settings, agents: AgentFile) -> Loaded:
    """Return what a worker is made of, where nothing is wrong that can be known before a start.

    Raises OperatorError, or ToolDefinitionError or HostError where there is nothing else, with a line for each thing
    that is wrong, in the words of `offhook check`.
    """
    site = Site(settings, agents)
    wrong = [finding for look in FIRST for finding in look(site) if finding.level == "wrong"]
    lines = [finding.text for finding in wrong]
    if any(isinstance(error, OperatorError) for error in site.errors):
        raise OperatorError(lines)
    if wrong:
        raise type(site.errors[0])("\n".join(lines))
    assert site.loaded is not None
    return site.loaded


async def tell_beside(settings: Settings, loaded: Loaded, capacity: int) -> None:
    """Write into the log what is wrong though the worker has started, in the words of `offhook check`."""
    site = Site(settings, loaded.agents, loaded, capacity, sessions=False)
    for look in BESIDE:
        for finding in await look(site):
            if finding.level == "wrong":
                log.warning("not_well", about=finding.about, text=finding.text, mend=finding.mend)
