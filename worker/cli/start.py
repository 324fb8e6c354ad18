"""What most commands begin with: the settings, the log, the agent file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from worker.agent.agent_file import AgentFile
    from worker.settings.settings import Settings

Protocol = Literal["openai", "gemini"]
AgentOption = Annotated[Path | None, typer.Option(help="The agent file, in place of OFFHOOK_AGENT.", dir_okay=False)]


def start(process: str, *, quiet: bool = False, **options: object) -> Settings:
    """Read the settings and send the logs where they say. options: of the command line, None where it has none.

    quiet: only errors are logged, unless a level is set: a conversation stands there.
    """
    from worker.log import setup_logging
    from worker.settings.load import load_settings, unknown_variables

    settings = load_settings(**options)
    level = "error" if quiet and "log_level" not in settings.model_fields_set else settings.log_level
    setup_logging(level, settings.log_format, secrets=settings.secret_values(), process=process)
    for line in unknown_variables(settings):
        print(f"offhook: warning: {line}", file=sys.stderr)
    return settings


def agent_file(agent: Path | None = None) -> AgentFile:
    """Read this agent file, else that which the settings name, else the shipped one."""
    from worker.agent.agent_file import load_agent_file
    from worker.settings.load import load_settings

    return load_agent_file(load_settings(agent=agent).agent)
