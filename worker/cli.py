"""The command line: `offhook`.

Each command imports what it needs when it runs, so that a tool worker loads neither pjsua2 nor a WebSocket library,
and `--help` answers at once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from worker.errors import HostError, OffhookError, OperatorError, SettingsError
from worker.installed import remedy

if TYPE_CHECKING:
    from tools.define.spec import ToolSpec
    from tools.queue.queued import QueuedRunner
    from tools.run.catalog import Catalog
    from tools.run.inline import InlineRunner
    from tools.tool_call.outcome import Outcome
    from worker.agent.agent_file import AgentFile
    from worker.records.story import Story
    from worker.settings.settings import Settings

Protocol = Literal["openai", "gemini"]

OURS = ("worker", "telephony", "tools")

app = typer.Typer(
    name="offhook",
    help="Answers phone calls with a realtime voice agent; its slow tools run as jobs while the conversation goes on.",
    rich_markup_mode="markdown",
    epilog="Settings are environment variables: see the README, and `offhook check` for how they stand.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
tools_app = typer.Typer(help="The agent's tools: list them, describe one, run one.", no_args_is_help=False)
app.add_typer(tools_app, name="tools")
agent_app = typer.Typer(help="The agent file.", no_args_is_help=True)
app.add_typer(agent_app, name="agent")


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


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="The folder for call.wav and call.json.")] = Path("."),
    as_json: Annotated[bool, typer.Option("--json", help="Print the call's record alone, as JSON.")] = False,
    protocol: Annotated[Protocol, typer.Option(help="What the local realtime server speaks.")] = "openai",
) -> None:
    """Play one whole spoken call on this machine, with nothing configured.

    A caller with a voice of its own dials the worker over real SIP and RTP, asks for something that takes a slow
    tool, hears the answer and says goodbye. Exit code 0 only if the caller understood the answer.
    """
    from worker.demo.run import run_demo

    raise typer.Exit(run_demo(out, as_json, protocol))


AgentOption = Annotated[Path | None, typer.Option(help="The agent file, in place of OFFHOOK_AGENT.", dir_okay=False)]


@app.command()
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
    settings = _start("worker", agent=agent, sip_port=port)
    from worker.service.run import serve as run

    run(settings, reload=reload)


@app.command()
def dial(
    uri: Annotated[str, typer.Argument(metavar="URI", help="Whom to call, such as sip:alice@192.0.2.7.")],
    context: Annotated[str, typer.Option(help="What the agent is told of the call: why, and for whom.")] = "",
    name: Annotated[
        str | None, typer.Option("--name", help="The name of the agent in the file; else its routes say which.")
    ] = None,
) -> None:
    """Call somebody; the agent speaks once they answer. Ends with the call."""
    settings = _start("worker")
    from worker.service.run import dial as run

    run(settings, uri, context, name)


@app.command()
def console(
    agent: AgentOption = None,
    dialled: Annotated[str, typer.Option(help="The number that was dialled, for the file's routes.")] = "agent",
    caller: Annotated[str, typer.Option(help="Who calls.")] = "console",
    microphone: Annotated[bool, typer.Option("--microphone", help="Speak and listen (needs sounddevice).")] = False,
) -> None:
    """Talk with the agent by typing, without a telephone: the prompt and the tools are those of a call.

    /keys 427# types on the keypad, /hangup or Ctrl-D hangs up.
    """
    settings = _start("console", quiet=True, agent=agent)
    from worker.console.run import run_console

    record = run_console(settings, caller=caller, dialled=dialled, microphone=microphone)
    raise typer.Exit(1 if record.outcome == "failed" else 0)


@app.command("eval")
def evaluate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The evaluation (TOML); see worker/eval/example.toml.")],
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.", dir_okay=False)] = None,
    out: Annotated[Path | None, typer.Option(help="Write a page and the recordings here.", file_okay=False)] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="In place of the file's.")] = None,
    at_once: Annotated[int | None, typer.Option(min=1, max=100, help="Calls at once, in place of the file's.")] = None,
    scenario: Annotated[str | None, typer.Option(help="The calls of this scenario alone.")] = None,
) -> None:
    """Let simulated callers call an agent over real SIP, and judge each call. Exit code 0 only if all passed.

    The file says what they say, how bad their line is, what is broken meanwhile, and what is expected. Redis, tool
    worker and worker are started for it, and the local realtime server where no provider is set: nothing in use is
    touched.
    """
    settings = _start("eval", quiet=True)
    from worker.eval.run import run_eval

    raise typer.Exit(run_eval(settings, file, junit=junit, out=out, seed=seed, at_once=at_once, only=scenario))


@app.command("tool-worker")
def tool_worker(
    burst: Annotated[bool, typer.Option("--burst", help="End when the queue is empty.")] = False,
    simple: Annotated[
        bool,
        typer.Option(
            "--simple", help="Run tools in this process, not in a fork each: sooner, but one that hangs ends it."
        ),
    ] = False,
) -> None:
    """Run the agent's queued tools, for any number of workers; REDIS_URL says where the queue is."""
    settings = _start("tool-worker")
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


@app.command("realtime-server")
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
    _start("realtime-server")
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


@app.command()
def calls(
    call_id: Annotated[str | None, typer.Argument(metavar="[CALL]", help="One call's id; left out: all.")] = None,
    past: Annotated[bool, typer.Option("--past", help="Those that are over, too, the latest first.")] = False,
    caller: Annotated[str, typer.Option(help="Those of this caller, or of a part of the number.")] = "",
    since: Annotated[str, typer.Option(help="Begun then or later: 2026-11-26, 2026-11-26T07:24 (UTC).")] = "",
    until: Annotated[str, typer.Option(help="Begun then or before.")] = "",
    outcome: Annotated[str, typer.Option(help="Those that ended so: completed, failed, ...")] = "",
) -> None:
    """Print the calls in progress of all workers that share REDIS_URL: one JSON object a line, with its worker.

    With --past, or anything that is searched by, those that are over, too. `offhook call ID` tells all of one.
    """
    import asyncio

    settings = _start("calls")
    if settings.redis_url is None:
        raise SettingsError("REDIS_URL is not set: set it to the Redis that the workers use (not the embedded one)")
    from worker.calls import calls_of_all, find_calls, found_lines, lines
    from worker.records.search import Query
    from worker.settings.values import reveal

    token = reveal(settings.http_token)
    query = Query(caller, since, until, outcome)
    if past or query != Query():
        if call_id is not None:
            raise OperatorError(f"a call's id and a search exclude each other: offhook call {call_id} tells all of it")
        for line in found_lines(asyncio.run(find_calls(settings.queue_settings(), query, token))):
            print(line)
        return
    for line in lines(asyncio.run(calls_of_all(settings.queue_settings(), token)), call_id):
        print(line)


@app.command()
def call(
    call_id: Annotated[str, typer.Argument(metavar="ID", help="The call's id, as the log and its page have it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything that is known of it, as JSON.")] = False,
    as_vcon: Annotated[bool, typer.Option("--vcon", help="Print it as a vCon, with its recording.")] = False,
    recording: Annotated[
        str,
        typer.Option(help="With --vcon: inline, none, or an https: URL at which the recording can be had."),
    ] = "inline",
) -> None:
    """Tell a call's whole story: what was said, why it was silent, its tools, SIP messages and line.

    It comes from the files (OFFHOOK_JOURNAL, OFFHOOK_RECORDINGS), else from the workers that share REDIS_URL, or from
    the one at OFFHOOK_HTTP: a call in progress, or one of their last.
    """
    import asyncio

    from worker.calls import find_recording, find_story
    from worker.records.archive import Archive

    if recording not in ("inline", "none") and not recording.startswith("https://"):
        raise OperatorError(f"--recording {recording}: it takes inline, none, or a URL that begins with https://")
    settings = _start("call")
    from worker.settings.values import reveal

    archive = Archive(settings.records_folder(), settings.journal_folder(), settings.recordings)
    queue = settings.queue_settings() if settings.redis_url is not None else None
    http, token = settings.own_url(), reveal(settings.http_token)
    story = asyncio.run(find_story(call_id, archive, queue, http, token))
    if as_json:
        print(story.model_dump_json(indent=2))
        return
    if as_vcon:
        wanted = recording != "none" and story.recorded and not story.live
        wav = asyncio.run(find_recording(call_id, archive, queue, http, token)) if wanted else None
        if wanted and wav is None:
            why = "is encrypted (`offhook decrypt` opens it)" if story.sealed else "can't be had"
            print(f"offhook: the recording {why}; the vCon is without it", file=sys.stderr)
        _print_vcon(story, wav, recording, settings.told().words)
        return
    from rich.console import Console

    from worker.pages.terminal import print_story

    print_story(story, Console(soft_wrap=True))


def _print_vcon(story: Story, wav: bytes | None, recording: str, words: bool) -> None:
    import time

    from worker.records.record import wall
    from worker.records.vcon import Recording, VConError, vcon_of

    url = None if recording == "inline" else recording
    part = Recording(wav, f"{story.call_id}.wav", url) if wav is not None else None
    try:
        print(json.dumps(vcon_of(story, wall(time.time()), part, words=words), ensure_ascii=False))
    except VConError as error:
        raise OperatorError(str(error)) from None


@app.command()
def keys(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="recordings: a pair; digits: one for both sides.")],
) -> None:
    """Make keys: a pair for encrypted recordings, or the one for digits on their way to a tool worker."""
    from worker.records.sealed import new_keys, require_sealing

    require_sealing()
    if what == "recordings":
        public, secret = new_keys()
        print(f"OFFHOOK_RECORDINGS_KEY={public}")
        print(secret)
        print("offhook: the second line opens the recordings: keep it away from the workers", file=sys.stderr)
    elif what == "digits":
        from tools.queue.sealed_digits import new_key

        print(f"OFFHOOK_DIGITS_KEY={new_key()}")
        print("offhook: for every worker and tool worker of this Redis, and nobody else", file=sys.stderr)
    else:
        raise OperatorError(f"keys {what}: it takes recordings or digits")


@app.command()
def decrypt(
    file: Annotated[Path, typer.Argument(help="The recording, as CALL.wav.sealed.", exists=True, dir_okay=False)],
    key: Annotated[Path, typer.Option(help="A file with the secret key, or - for standard input.", allow_dash=True)],
    out: Annotated[Path | None, typer.Option(help="The WAV file; left out: beside it, as CALL.wav.")] = None,
) -> None:
    """Open an encrypted recording with the secret key."""
    from worker.records.sealed import SUFFIX, open_sealed, secret_key

    target = out if out is not None else file.with_name(file.name.removesuffix(SUFFIX) + ".wav")
    try:
        secret = secret_key(sys.stdin.readline() if str(key) == "-" else key.read_text("utf-8"))
        whole = open_sealed(file, secret, target)
    except (ValueError, OSError) as error:
        raise OperatorError(f"{key if isinstance(error, ValueError) else file}: {error}") from None
    print(target)
    if not whole:
        print("offhook: it ends early: its worker died, or writes still", file=sys.stderr)


@app.command()
def check() -> None:
    """Say what is configured, what is reachable, and what this pjsua2 build can carry."""
    from worker.check import run_check
    from worker.log import setup_logging
    from worker.settings.load import load_settings

    settings = load_settings()
    setup_logging("error", settings.log_format, process="check")  # the findings say it already
    raise typer.Exit(run_check(settings))


@app.command()
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

    settings = _start("dashboard")
    if settings.redis_url is None:
        raise SettingsError("REDIS_URL is not set: set it to the Redis that the workers use (not the embedded one)")
    if importlib.util.find_spec("rq_dashboard") is None:
        raise HostError(f"rq-dashboard is not installed: {remedy('dashboard')}")
    from tools.dashboard import run_dashboard

    try:
        run_dashboard(settings.queue_settings(), port, lambda url: print(f"dashboard {url}", flush=True), host)
    except OSError as error:
        raise HostError(f"--port {port}: can't listen there ({error.strerror or error}); choose another") from None


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
def tools_list() -> None:
    """List the tools of the agent file: name, mode, server, who approves a run, and what each is for.

    MCP servers are asked what they offer; one that does not answer is told on stderr.
    """
    from functools import partial

    from worker.agent.listing import table
    from worker.agent.tool_rules import approval_words

    agents = _agents()
    for line in table(_load_tools(), agents.mcp_servers(), partial(approval_words, agents.default)):
        print(line)


@tools_app.command("describe")
def tools_describe(name: ToolName) -> None:
    """Print what the model is told of a tool, as JSON."""
    catalog = _catalog(_load_tools())
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
) -> None:
    """Run a tool as a call would, and print its outcome. Exit code 0 only if it is ok.

    A queued one goes through the queue where REDIS_URL is set and a tool worker is there; else it runs in this process.
    """
    raise typer.Exit(_run_tool(name, arguments))


@tools_app.command("late")
def tools_late(
    call_id: Annotated[str, typer.Argument(metavar="CALL", help="The call's id, as its record and the log have it.")],
) -> None:
    """Print how the tools ended that outlived a call: one JSON object a line, in the order in which they ended."""
    import asyncio
    from dataclasses import asdict

    settings = _start("tools")
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


@agent_app.command("schema")
def agent_schema() -> None:
    """Print the JSON schema of the agent file, for editors: what is allowed, and what each key is for."""
    from worker.agent.schema import schema_text

    print(schema_text(), end="")


def _start(process: str, *, quiet: bool = False, **options: object) -> Settings:
    """Read the settings and send the logs where they say. options: of the command line, None where it has none.

    quiet: only errors are logged, unless a level is set: a conversation stands there.
    """
    from worker.log import setup_logging
    from worker.settings.load import load_settings, unknown_variables

    settings = load_settings(**options)
    level = "error" if quiet and "log_level" not in settings.model_fields_set else settings.log_level
    setup_logging(level, settings.log_format, secrets=settings.secret_values(), process=process)
    for line in unknown_variables():
        print(f"offhook: warning: {line}", file=sys.stderr)
    return settings


def _agents() -> AgentFile:
    from worker.agent.agent_file import load_agent_file
    from worker.settings.load import load_settings

    return load_agent_file(load_settings().agent)


def _load_tools(*, ask: bool = True) -> list[ToolSpec]:
    """The tools of the agent file; of its MCP servers those that answer (ask), the others are told on stderr."""
    import asyncio

    from tools.define.loading import load_tools
    from tools.mcp.server import check_servers
    from worker.agent.remote import ask_servers, check_mcp_installed
    from worker.settings.load import load_settings

    agents, secrets = _agents(), load_settings().secrets_for_tools()
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


def _run_tool(name: str, arguments: str) -> int:
    """Run one tool: through the queue where it is queued and that can be, else here, with a line that says why."""
    import asyncio
    import uuid

    from tools.queue.queued import QueuedRunner
    from tools.run.inline import InlineRunner
    from tools.tool_call.request import ToolRequest

    settings, specs = _start("tools"), _load_tools()

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
