"""What is configured: whether it fits, and what an agent file may have."""

from __future__ import annotations

import typer


def check() -> None:
    """Say what is configured, what is reachable, and what this pjsua2 build can carry."""
    from worker.check import run_check
    from worker.log import setup_logging
    from worker.settings.load import load_settings

    settings = load_settings()
    setup_logging("error", settings.log_format, process="check")  # the findings say it already
    raise typer.Exit(run_check(settings))


def agent_schema() -> None:
    """Print the JSON schema of the agent file, for editors: what is allowed, and what each key is for."""
    from worker.agent.schema import schema_text

    print(schema_text(), end="")
