"""The command line: `offhook`, its commands in the order of `--help`.

Each command imports what it needs when it runs, so that a tool worker loads neither pjsua2 nor a WebSocket library,
and `--help` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from worker.cli.calls import call, calls
from worker.cli.configured import agent_schema, check
from worker.cli.sealed import decrypt, keys
from worker.cli.serving import dashboard, dial, realtime_server, serve, tool_worker
from worker.cli.tools import tools_app
from worker.cli.trying import console, demo, evaluate
from worker.errors import OffhookError

OURS = ("worker", "telephony", "tools")

app = typer.Typer(
    name="offhook",
    help="Answers phone calls with a realtime voice agent; its slow tools run as jobs while the conversation goes on.",
    rich_markup_mode="markdown",
    epilog="Settings are environment variables: see the README, and `offhook check` for how they stand.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; a designed error is printed as plain lines, its exit code is the error's own."""
    from worker.settings.environment import tame_libraries

    tame_libraries()
    # Tools of the folder that offhook is started in can be imported, but shadow nothing: the folder comes last.
    sys.path.append(str(Path.cwd()))
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if not is_designed(error):
            raise
        for line in str(error).splitlines():
            print(f"offhook: {line}", file=sys.stderr)
        sys.exit(error.exit_code if isinstance(error, OffhookError) else 1)


def is_designed(error: BaseException) -> bool:
    """Tell whether an error was made to be read by an operator: its class is one of our packages'."""
    return type(error).__module__.partition(".")[0] in OURS


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"offhook {version('offhook')} (Python {'.'.join(map(str, sys.version_info[:3]))})")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is, and end.")
    ] = False,
) -> None:
    """Answers phone calls with a realtime voice agent; its slow tools run as jobs while the conversation goes on."""


app.command()(demo)
app.command()(serve)
app.command()(dial)
app.command()(console)
app.command("eval")(evaluate)
app.command("tool-worker")(tool_worker)
app.command("realtime-server")(realtime_server)
app.command()(calls)
app.command()(call)
app.command()(keys)
app.command()(decrypt)
app.command()(check)
app.command()(dashboard)
app.add_typer(tools_app, name="tools")
agent_app = typer.Typer(help="The agent file.", no_args_is_help=True)
agent_app.command("schema")(agent_schema)
app.add_typer(agent_app, name="agent")
