"""The processes that stay: worker, tool worker, local realtime server, dashboard; and one call that we make."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from worker.cli.start import AgentOption, Protocol, start
from worker.errors import HostError, SettingsError
from worker.installed import remedy


def serve(
    agent: AgentOption = None,
    port: Annotated[
        int | None, typer.Option(help="The SIP port, in place of OFFHOOK_SIP_PORT; 0: any free one.")
    ] = None,
    reload: Annotated[
        bool,
        typer.Option("--reload", help="Read agent file and tools again when they change; for whoever writes them."),
    ] = False,
) -> None:
    """Answer phone calls, until SIGTERM or Ctrl-C: then no new ones, and those in progress may end."""
    settings = start("worker", agent=agent, sip_port=port)
    from worker.service.run import serve as run

    run(settings, reload=reload)


def dial(
    uri: Annotated[str, typer.Argument(metavar="URI", help="Whom to call, such as sip:alice@192.0.2.7.")],
    context: Annotated[str, typer.Option(help="What the agent is told of the call: why, and for whom.")] = "",
    name: Annotated[
        str | None, typer.Option("--name", help="The name of the agent in the file; else its routes say which.")
    ] = None,
    account: Annotated[
        str | None, typer.Option(help="The account of OFFHOOK_SIP_ACCOUNTS to call by; else the one at the URI's host.")
    ] = None,
    agent: AgentOption = None,
) -> None:
    """Call somebody; the agent speaks once they answer. Ends with the call."""
    settings = start("worker", agent=agent)
    from worker.service.run import dial as run

    run(settings, uri, context, name, account)


def tool_worker(
    burst: Annotated[bool, typer.Option("--burst", help="End when the queue is empty.")] = False,
    simple: Annotated[
        bool,
        typer.Option(
            "--simple", help="Run tools in this process, not in a fork each: sooner, but one that hangs ends it."
        ),
    ] = False,
    agent: AgentOption = None,
) -> None:
    """Run the agent's queued tools, for any number of workers; REDIS_URL says where the queue is."""
    settings = start("tool-worker", agent=agent)
    if settings.redis_url is None:
        raise SettingsError(
            "REDIS_URL is not set: a tool worker needs the Redis that the workers use, such as redis://127.0.0.1:6379"
        )
    from tools.worker.tool_worker import run_tool_worker
    from worker.agent.agent_file import load_agent_file
    from worker.agent.remote import check_mcp_installed

    agents = load_agent_file(settings.agent)
    check_mcp_installed(agents)
    # A plain line, not a log line, which a log level may hide: whoever started this process waits for it.
    run_tool_worker(
        settings.queue_settings(),
        agents.tool_modules(),
        burst=burst,
        simple=simple,
        on_ready=lambda: print("tool worker ready", flush=True),
        secrets=settings.secrets_for_tools(),
        notify=settings.notify_settings(),
        servers=[server for server in agents.mcp_servers() if server.run_by == "offhook"],
        traces=settings.traces(),
    )


def realtime_server(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0: any free one.")] = 8089,
    dialogue: Annotated[Path | None, typer.Option(help="A dialogue file (TOML); left out: the shipped one.")] = None,
    api_key: Annotated[str | None, typer.Option(help="Refuse clients that bring another key.")] = None,
    protocol: Annotated[Protocol, typer.Option(help="Whose protocol to speak.")] = "openai",
    tls: Annotated[
        Path | None,
        typer.Option(help="TLS with a self-signed certificate, which is made in this folder (certificate.pem)."),
    ] = None,
    connection_seconds: Annotated[
        float, typer.Option(min=1, help="gemini: a connection ends after so long, and says so a minute before.")
    ] = 600.0,
) -> None:
    """Run the local realtime server alone, without a key or a network: as OpenAI's service, or as Google's Live API."""
    start("realtime-server")
    from worker.local.server import run_server

    run_server(
        host=host,
        port=port,
        dialogue=dialogue,
        api_key=api_key,
        protocol=protocol,
        tls=tls,
        connection_s=connection_seconds,
    )


def dashboard(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port on 127.0.0.1; 0: any free one.")] = 9181,
    host: Annotated[
        str, typer.Option(help="In a container 0.0.0.0, which is to be published on 127.0.0.1.")
    ] = "127.0.0.1",
) -> None:
    """Show the tool jobs in rq-dashboard, on 127.0.0.1 only: it shows results. Delete cancels a job there.

    It is an extra of the wheel, offhook[dashboard], and in a clone a group: uv run --group dashboard offhook dashboard
    """
    import importlib.util

    settings = start("dashboard")
    if settings.redis_url is None:
        raise SettingsError("REDIS_URL is not set: set it to the Redis that the workers use (not the embedded one)")
    if importlib.util.find_spec("rq_dashboard") is None:
        raise HostError(f"rq-dashboard is not installed: {remedy('dashboard')}")
    from tools.dashboard import run_dashboard

    try:
        run_dashboard(settings.queue_settings(), port, lambda url: print(f"dashboard {url}", flush=True), host)
    except OSError as error:
        raise HostError(f"--port {port}: can't listen there ({error.strerror or error}); choose another") from None
