"""The agent's tools: listed, described, run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.start import AgentOption, agent_file, start
from worker.errors import OperatorError, SettingsError

if TYPE_CHECKING:
    from tools.define.spec import ToolSpec
    from tools.queue.queued import QueuedRunner
    from tools.run.catalog import Catalog
    from tools.run.inline import InlineRunner
    from tools.tool_call.outcome import Outcome


tools_app = typer.Typer(help="The agent's tools: list them, describe one, run one.", no_args_is_help=False)


def _tool_names(begun: str) -> list[str]:
    """The tools of the agent file that begin so; none where they can't be read: a shell that completes has no place
    for that, and no time to ask MCP servers.
    """
    try:
        return [spec.name for spec in _load_tools(ask=False) if spec.name.startswith(begun)]
    except Exception:
        return []


ToolName = Annotated[str, typer.Argument(help="The tool.", autocompletion=_tool_names)]


@tools_app.callback(invoke_without_command=True)
def tools_default(context: typer.Context) -> None:
    """List the tools when no command is given."""
    if context.invoked_subcommand is None:
        tools_list()


@tools_app.command("list")
def tools_list(agent: AgentOption = None) -> None:
    """List the tools of the agent file: name, mode, server, who approves a run, and what each is for.

    MCP servers are asked what they offer; one that does not answer is told on stderr.
    """
    from functools import partial

    from worker.agent.listing import table
    from worker.agent.tool_rules import approval_words

    agents = agent_file(agent)
    for line in table(_load_tools(agent), agents.mcp_servers(), partial(approval_words, agents.default)):
        print(line)


@tools_app.command("describe")
def tools_describe(name: ToolName, agent: AgentOption = None) -> None:
    """Print what the model is told of a tool, as JSON."""
    catalog = _catalog(_load_tools(agent))
    spec = catalog.spec(name)
    if spec is None:
        from tools.define.schema import nearest

        near = nearest(name, [known.name for known in catalog.specs()])
        raise OperatorError(f"there is no tool {name}" + (f"; did you mean {near}?" if near else ""))
    # Here, without a queue, it would say that all tools run inline.
    print(json.dumps({**catalog.describe(name), "mode": spec.mode}, indent=2, ensure_ascii=False))


@tools_app.command("run")
def tools_run(
    name: ToolName,
    arguments: Annotated[str, typer.Argument(metavar="JSON", help='Its arguments, such as {"order": "427"}.')] = "{}",
    agent: AgentOption = None,
) -> None:
    """Run a tool as a call would, and print its outcome. Exit code 0 only if it is ok.

    A queued one goes through the queue where REDIS_URL is set and a tool worker is there; else it runs in this process.
    """
    raise typer.Exit(_run_tool(name, arguments, agent))


@tools_app.command("late")
def tools_late(
    call_id: Annotated[str, typer.Argument(metavar="CALL", help="The call's id, as its record and the log have it.")],
) -> None:
    """Print how the tools ended that outlived a call: one JSON object a line, in the order in which they ended."""
    import asyncio
    from dataclasses import asdict

    settings = start("tools")
    if settings.redis_url is None:
        raise SettingsError("REDIS_URL is not set: set it to the Redis that the workers use (not the embedded one)")
    from tools.queue.queued import QueuedRunner
    from tools.queue.store.late import LateResult

    async def read() -> list[LateResult]:
        runner = QueuedRunner(settings.queue_settings())
        try:
            return await runner.late_results(call_id)
        finally:
            await runner.aclose()

    for late in asyncio.run(read()):
        fields = {**asdict(late), "result": json.loads(late.output)}
        del fields["output"]
        print(json.dumps({**fields.pop("orphan"), **fields}, ensure_ascii=False))


def _load_tools(agent: Path | None = None, *, ask: bool = True) -> list[ToolSpec]:
    """The tools of the agent file; of its MCP servers those that answer (ask), the others are told on stderr."""
    import asyncio

    from tools.define.loading import load_tools
    from tools.mcp.server import check_servers
    from worker.agent.remote import ask_servers, check_mcp_installed
    from worker.settings.load import load_settings

    agents, secrets = agent_file(agent), load_settings().secrets_for_tools()
    own = load_tools(agents.tool_modules())
    if not ask:
        return own
    check_mcp_installed(agents)
    check_servers(agents.mcp_servers(), own, secrets)
    remote = []
    for answer in asyncio.run(ask_servers(agents, secrets)):
        if answer.wrong:
            print(f"offhook: mcp {answer.server.label} at {answer.server.where} {answer.wrong}", file=sys.stderr)
        remote += answer.specs
    return [*own, *remote]


def _catalog(specs: list[ToolSpec], runner: InlineRunner | None = None, queued: QueuedRunner | None = None) -> Catalog:
    """The tools of the agent file; without a queue all of them would run in this process."""
    from tools.run.catalog import Catalog
    from tools.run.inline import InlineRunner
    from worker.settings.load import load_settings

    secrets = load_settings().secrets_for_tools()
    return Catalog(specs, inline=runner or InlineRunner(), queued=queued, secrets=secrets)


def _run_tool(name: str, arguments: str, agent: Path | None) -> int:
    """Run one tool: through the queue where it is queued and that can be, else here, with a line that says why."""
    import asyncio
    import uuid

    from tools.queue.queued import QueuedRunner
    from tools.run.inline import InlineRunner
    from tools.tool_call.request import ToolRequest

    settings, specs = start("tools", agent=agent), _load_tools(agent)

    async def run() -> Outcome:
        inline = InlineRunner()
        queued = QueuedRunner(settings.queue_settings()) if settings.redis_url else None
        request = ToolRequest(call_id=uuid.uuid4().hex, tool_call_id="cli", name=name, arguments=arguments)
        try:
            catalog = _catalog(specs, inline, queued)
            if why := await _why_here(catalog, name, queued):
                print(f"offhook: {name} runs in this process, not through the queue: {why}", file=sys.stderr)
                catalog = _catalog(specs, inline)
            return await catalog.run(request)
        finally:
            await inline.aclose()
            if queued is not None:
                await queued.aclose()

    outcome = asyncio.run(run())
    print(outcome.output)
    if outcome.status != "ok":
        print(f"offhook: {outcome.status}: {outcome.detail}", file=sys.stderr)
    return 0 if outcome.status == "ok" else 1


async def _why_here(catalog: Catalog, name: str, queued: QueuedRunner | None) -> str:
    """Say why a tool that wants the queue can't have it; "" where it can, or wants none."""
    from tools.errors import QueueUnavailable

    spec = catalog.spec(name)
    needed = [] if spec is None else [catalog.spec(need.tool) for need in spec.signature.needs.values()]
    if not any(one is not None and one.queued for one in (spec, *needed)):
        return ""
    if queued is None:
        return "REDIS_URL is not set"
    try:
        await queued.ask(lambda redis: redis.ping())
        workers = await queued.workers()
    except QueueUnavailable as error:
        return str(error)
    return "" if workers else "no tool worker is there; start one: offhook tool-worker"
