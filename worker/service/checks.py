"""What `offhook check` looks at and `offhook serve` starts with: one list, so that both say the same of the same thing.

- `FIRST`: before anything starts. serve does not start where one of them is wrong (`load`).
- `START`: what a start does itself. check tries it, and shows the words that serve would end with.
- `BESIDE`: a worker starts without, since calls can be answered, or will be soon; serve looks once it is up, and
  says what is wrong in its log (`tell_beside`).

Each check returns findings; none raises for what it finds. Nothing is registered and no call is made.
"""

from __future__ import annotations

import asyncio
import datetime
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import structlog

from tools.errors import QueueUnavailable, ToolDefinitionError
from worker.agent.agent_file import AgentFile, load_agent_file
from worker.embedded.services import redis_program, try_redis
from worker.errors import HostError, OffhookError, OperatorError
from worker.service.loaded import (
    NOT_YET,
    Loaded,
    check_accounts,
    check_programs,
    check_transfers,
    check_written,
    kept_folders,
    load_tools_of,
)
from worker.settings.load import unknown_variables
from worker.settings.settings import Settings
from worker.settings.values import reveal, without_password

__all__ = ["BESIDE", "FIRST", "START", "Finding", "Site", "find", "load", "sip_refused", "tell_beside"]

log = structlog.get_logger(__name__)

Level = Literal["ok", "note", "wrong"]
Look = Callable[["Site"], Awaitable[list["Finding"]]]
REACH_S = 8.0
SHOWN = 8
"""Tools of a server that a finding names."""
PHONE_HZ = (8000, 16000)
MEND_REALTIME = "correct OFFHOOK_REALTIME, OFFHOOK_REALTIME_URL, OFFHOOK_REALTIME_MODEL or the key"


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


# --- first


def check_settings(site: Site) -> list[Finding]:
    """Python, and variables that look like settings and are none."""
    version = ".".join(str(number) for number in sys.version_info[:3])
    found = [Finding("ok", "python", version)]
    unknown = unknown_variables(site.settings)
    return found + [Finding("note", "settings", line, "correct or unset it") for line in unknown]


def check_agent(site: Site) -> list[Finding]:
    """The agent file."""
    try:
        file = site.agents or load_agent_file(site.settings.agent)
        check_transfers(site.settings, file)
        check_accounts(site.settings, file)
    except OperatorError as error:
        site.agents = None
        site.errors.append(error)
        return [Finding("wrong", "agent", line, "correct the file") for line in error.lines]
    site.agents = file
    return [Finding("ok", "agent", f"{file.path}, {len(file.routes)} routes")]


def check_tools(site: Site) -> list[Finding]:
    """Whether the tools load, with what they need and the agents' hooks, under names that are free."""
    if site.agents is None:
        return []
    try:
        site.loaded = load_tools_of(site.settings, site.agents)
    except (OffhookError, ToolDefinitionError) as error:
        site.errors.append(error)
        mend = "correct the tool, tools.modules, tools.hook or OFFHOOK_TOOL_SECRETS"
        return [Finding("wrong", "tools", line, mend) for line in str(error).splitlines()]
    specs = site.loaded.specs()
    return [Finding("ok", "tools", f"{len(specs)}, {sum(spec.queued for spec in specs)} of them queued")]


def check_folder(site: Site) -> list[Finding]:
    """Whether recordings and journals can be written."""
    found = []
    for variable, folder in kept_folders(site.settings).items():
        about = "recordings" if variable == "OFFHOOK_RECORDINGS" else "journals"
        try:
            check_written(variable, folder)
        except OperatorError as error:
            site.errors.append(error)
            found.append(Finding("wrong", about, str(error), "make it writable, or name another folder"))
        else:
            found.append(Finding("ok", about, str(folder)))
    return found


def check_consent(site: Site) -> list[Finding]:
    """Who is recorded without being asked, or told by beeps."""
    if site.settings.recordings is None or site.agents is None:
        return []
    rules = {agent.name: agent.recording for agent in site.agents.agents()}
    silent = [name for name, one in rules.items() if one.enabled and not (one.consent or one.beep_seconds)]
    if not silent:
        return []
    text = f"{', '.join(silent)}: callers are recorded without being asked; many countries' law wants that"
    mend = "set consent, or beep_seconds, in [recording] of the agent file, where nobody else tells the callers"
    return [Finding("note", "recordings", text, mend)]


def check_children(site: Site) -> list[Finding]:
    """The programs that are to run as children of the worker."""
    settings, found = site.settings, []
    try:
        check_programs(settings)
    except HostError as error:
        site.errors.append(error)
        mend = "install what is missing, or set REDIS_URL and OFFHOOK_REALTIME"
        return [Finding("wrong", "embedded", line, mend) for line in str(error).splitlines()]
    if settings.needs_embedded_redis():
        found.append(Finding("ok", "redis", f"embedded: {redis_program()}"))
    if settings.needs_local_realtime():
        found.append(Finding("ok", "realtime", "embedded: the local realtime server"))
    return found


def check_later(site: Site) -> list[Finding]:
    """What a caller may be told after the call, and how; the hooks are the tool workers' to import."""
    found = site.settings.later_ways()
    back = "the hook call_back" if found.hook else found.uri
    ways = [f"call back by {back}"] if back else []
    ways += ["send by the webhook" if found.send == "default" else "send by the hook send"] if found.send else []
    mend = "set OFFHOOK_CALL_BACK_URI, OFFHOOK_NOTIFY_URL or OFFHOOK_NOTIFY_HOOKS"
    return [Finding("ok", "later", ", ".join(ways))] if ways else [Finding("note", "later", "offers nothing", mend)]


def check_approvals(site: Site) -> list[Finding]:
    """Who approves tool calls, and whether they can be asked."""
    from worker.agent.tool_rules import approvals_of
    from worker.call.config import written_down
    from worker.turns.consent import LANGUAGES, judges

    loaded, settings = site.loaded, site.settings
    if loaded is None:
        return []
    found: list[Finding] = []
    wanted: set[str] = set()
    for agent in loaded.agents.agents():
        own = [(spec.name, spec.approval) for spec in loaded.tools[agent.tools.modules]]
        own += [(server.prefix + name, one.approval) for server in agent.mcp for name, one in server.tools.items()]
        approvals = approvals_of(agent, own)
        wanted |= set(approvals)
        by_voice = any("caller" in one for one in approvals.values() if one)
        if by_voice and not written_down(agent):
            text = f"{agent.name}: the provider is not to write down what callers say: by key alone"
            found.append(Finding("note", "approvals", text, "leave audio.input.transcription on"))
        elif by_voice and not judges(agent.language):
            text = f"{agent.name}: a yes is not known in {agent.language} (but in {', '.join(LANGUAGES)}): by key alone"
            found.append(Finding("note", "approvals", text))
        names = [name for name, one in approvals.items() if one is not None and not one - {"operator"}]
        if names and (settings.http is None or settings.approval_token is None):
            text = f"{agent.name}: an operator has to approve {', '.join(names)}, and none can: they never run"
            mend = "set OFFHOOK_APPROVAL_TOKEN, and OFFHOOK_HTTP to an address"
            found.append(Finding("note", "approvals", text, mend))
    ok = [Finding("ok", "approvals", f"wanted for {', '.join(sorted(wanted))}")] if wanted else []
    return ok + list({finding.text: finding for finding in found}.values())


def check_orders(site: Site) -> list[Finding]:
    """Whether other programs may have us call somebody, and whom."""
    settings = site.settings
    if settings.dial_token is None and not settings.dial_to:
        return []
    missing = [
        f"set {name} to {words}"
        for name, words, there in (
            ("OFFHOOK_DIAL_TOKEN", "a secret of at least 16 characters", settings.dial_token is not None),
            ("OFFHOOK_DIAL_TO", "whom they may have called, such as +49*", bool(settings.dial_to)),
            ("OFFHOOK_HTTP", "an address", settings.http is not None),
        )
        if not there
    ]
    if missing:
        return [Finding("note", "orders", "nobody is called by POST /calls", ", and ".join(missing))]
    limits = f"{settings.dial_calls} at once, {settings.dial_per_minute} a minute"
    return [Finding("ok", "orders", f"POST /calls may call {', '.join(settings.dial_to)}: {limits}")]


def check_models(site: Site) -> list[Finding]:
    """Models whose end is announced: the session's, and the transcriber's."""
    from worker.realtime.retiring import ending

    settings = site.settings
    if settings.realtime not in ("openai", "azure"):
        return []
    named = {
        "OFFHOOK_REALTIME_MODEL": settings.model_name(),
        "OFFHOOK_REALTIME_TRANSCRIBER": settings.provider().dialect.transcriber or "",
    }
    found = [(variable, ending(model, datetime.date.today())) for variable, model in named.items()]
    return [Finding("note", "model", told[0], f"set {variable}={told[1]}") for variable, told in found if told]


def check_connectors(site: Site) -> list[Finding]:
    """Connectors of the provider's own, which its newer models take no more."""
    servers = site.agents.mcp_servers() if site.agents is not None else ()
    text = "mcp {}: models released after 2026-09-01 take no connector_id"
    mend = "write url or tunnel_id"
    return [Finding("note", "mcp", text.format(one.label), mend) for one in servers if one.connector_id is not None]


# --- start


async def check_fillers(site: Site) -> list[Finding]:
    """The canned fillers: their voices and files."""
    from worker.call.canned import filler_mode
    from worker.call.config import prepare_canned
    from worker.realtime.choose import codec_for

    loaded = site.loaded
    if loaded is None:
        return []
    try:
        later = site.settings.later_ways()
        can = codec_for(site.settings.provider(NOT_YET)).capabilities
        modes = {agent.fillers.mode: filler_mode(agent, can) for agent in loaded.agents.agents()}
        if "canned" not in modes.values():
            text, mend = "the tone alone: this provider speaks none beside a conversation", "uv sync --group embedded"
            return [Finding("note", "fillers", text, mend)] if modes.get("model") == "tone" else []
        await asyncio.to_thread(prepare_canned, loaded.agents, loaded.tools, PHONE_HZ, later, can)
    except HostError as error:
        return [Finding("wrong", "fillers", str(error), "correct [fillers] of the agent file")]
    instead = ", since this provider speaks none beside a conversation" if modes.get("model") == "canned" else ""
    return [Finding("ok", "fillers", f"canned{instead}")]


async def check_interruption(site: Site) -> list[Finding]:
    """Agents whose barge-ins may be withdrawn: whether the provider lets them."""
    from worker.call.config import written_down
    from worker.call.interruption import hindrance
    from worker.realtime.choose import codec_for

    found: list[Finding] = []
    can = codec_for(site.settings.provider(NOT_YET)).capabilities
    for agent in site.agents.agents() if site.agents is not None else ():
        if agent.interruption != "reversible":
            continue
        if why := hindrance(agent, can):
            mend = 'write interruption = "exact", or mend that'
            found.append(Finding("note", "agent", f"{agent.name}: interruptions stay exact, since {why}", mend))
        elif not written_down(agent):
            text, mend = "a barge-in is judged by its length alone", "have [provider] transcribe the caller's words"
            found.append(Finding("note", "agent", f"{agent.name}: {text}", mend))
    return found


async def check_sip(site: Site) -> list[Finding]:
    """The pjsua2 build, and whether the SIP port can be had: starts an endpoint that takes no calls."""
    try:
        return await asyncio.to_thread(_try_endpoint, site)
    except ImportError as error:
        return [Finding("wrong", "pjsua2", str(error), "install pjsua2")]


def _try_endpoint(site: Site) -> list[Finding]:
    from telephony.endpoint import Endpoint
    from telephony.errors import SipStartError

    settings = site.settings
    endpoint = Endpoint(replace(settings.sip_settings(), registrar=None, proxy=None, accounts=()), lambda event: None)
    endpoint.accepting = False
    try:
        info = endpoint.start()
    except SipStartError as error:
        mend = "stop the other program, or set OFFHOOK_SIP_HOST or OFFHOOK_SIP_PORT"
        return [Finding("wrong", "sip", str(sip_refused(error)), mend)]
    finally:
        endpoint.stop()
    site.capacity = info.capacity
    build = f"{info.build}, library {info.version}, {info.tls}, up to {info.capacity} calls at once"
    found = [Finding("ok", "pjsua2", build), Finding("ok", "sip", ", ".join(info.addresses))]
    found.append(_rtp_source(settings, info.holds_source))
    if settings.sip_registrar is not None:
        text = f"{settings.sip_username} at {settings.sip_registrar} (not tried)"
        found.append(Finding("note", "registrar", text, "see /readyz of the running worker for how it stands"))
    for one in settings.account_settings():
        how = "(not tried)" if one.registers else "(is not registered with)"
        number = f", number {one.number}" if one.number is not None else ""
        mend = "see /readyz of the running worker for how it stands" if one.registers else ""
        found.append(Finding("note", f"account {one.name}", f"{one.aor} at {one.registrar_uri}{number} {how}", mend))
    return found


def _rtp_source(settings: Settings, holds: bool) -> Finding:
    """Whose RTP a call takes, and whether this build can hold it to that."""
    if holds:
        return Finding("ok", "rtp", f"a call's source by OFFHOOK_RTP_SOURCE={settings.rtp_source}")
    text = "this pjsua2 build can't hold a call to its source of RTP: a stranger's packets may turn the voice to him"
    if "rtp_source" in settings.model_fields_set and settings.rtp_source != "follow":
        text = f"OFFHOOK_RTP_SOURCE={settings.rtp_source}, but {text}"
    mend = "build pjsua2 with docker/build-pjsua2, set OFFHOOK_SRTP=required, or have a firewall keep strangers out"
    return Finding("note", "rtp", text, mend)


def sip_refused(error: Exception) -> HostError:
    """Return the error of an endpoint that could not start, with the names of the settings that it doesn't know."""
    return HostError(f"{error} (OFFHOOK_SIP_HOST, OFFHOOK_SIP_PORT)")


async def check_http(site: Site) -> list[Finding]:
    """Whether the HTTP port can be had."""
    from worker.service.http import try_http

    address = site.settings.http
    if address is None:
        return [Finding("ok", "http", "off")]
    try:
        await try_http(address)
    except HostError as error:
        return [Finding("wrong", "http", str(error), "choose another address with OFFHOOK_HTTP, or set it to off")]
    return [Finding("ok", "http", f"{address.host}:{address.port}")]


# --- beside


async def check_capacity(site: Site) -> list[Finding]:
    """Whether the build carries as many calls as are wanted."""
    wanted, capacity = site.settings.max_calls, site.capacity
    if wanted is None or capacity is None or wanted <= capacity:
        return []
    text = f"OFFHOOK_MAX_CALLS={wanted}, but this build carries {capacity} calls at once"
    mend = "set it lower, build pjsua2 with docker/build-pjsua2, or start more workers"
    return [Finding("wrong", "capacity", text, mend)]


async def check_redis(site: Site) -> list[Finding]:
    """The Redis of REDIS_URL, and whether tool workers are at it where any tool wants one."""
    url = reveal(site.settings.redis_url)
    if url is None:
        return []
    wrong = await try_redis(url)
    if wrong is not None:
        words, mend = wrong
        return [Finding("wrong", "redis", f"{without_password(url)}: {words}", mend)]
    found = [Finding("ok", "redis", f"{without_password(url)} answers")]
    return found + (await _tool_workers(site, without_password(url)) if site.loaded is not None else [])


async def _tool_workers(site: Site, where: str) -> list[Finding]:
    from tools.queue.queued import QueuedRunner

    queued = [spec.name for spec in site.loaded.specs() if spec.queued] if site.loaded is not None else []
    runner = QueuedRunner(site.settings.queue_settings())
    try:
        workers = await runner.workers()
    except QueueUnavailable as error:
        return [Finding("wrong", "redis", f"{where}: {error}", "start it, or correct REDIS_URL")]
    finally:
        await runner.aclose()
    if workers:
        return [Finding("ok", "tool worker", f"{workers} at {where}")]
    text = f"no tool worker is at {where}"
    if not queued:
        return [Finding("note", "tool worker", text, "start `offhook tool-worker` for tools that run long")]
    mend = "start `offhook tool-worker` with the same REDIS_URL and agent file"
    return [Finding("wrong", "tool worker", f"{text}: nobody would run {', '.join(queued)}", mend)]


async def check_realtime(site: Site) -> list[Finding]:
    """Whether the provider begins a session; the embedded one is looked after by `check_children`."""
    settings = site.settings
    if settings.needs_local_realtime():
        return []
    if not site.sessions:
        return await _reach(settings)
    from worker.realtime.base import RealtimeRefused, SessionConfig
    from worker.realtime.choose import codec_for, connection_for
    from worker.realtime.link import plain_formats

    provider = settings.provider()
    connection = connection_for(provider, codec_for(provider), lambda event: None)
    where = f"{provider.name} at {provider.address}, model {provider.model}"
    try:
        sent, received = plain_formats(connection.codec.capabilities)
        config = SessionConfig(instructions="Say nothing.", input_format=sent, output_format=received)
        await connection.open(config, timeout_s=REACH_S)
    except RealtimeRefused as error:
        return [Finding("wrong", "realtime", str(error), MEND_REALTIME)]
    finally:
        await connection.close()
    return [Finding("ok", "realtime", f"{where}: a session was opened")]


async def _reach(settings: Settings) -> list[Finding]:
    """Whether the provider's server is there at all: no session is asked for."""
    from worker.realtime.base import RealtimeRefused
    from worker.realtime.reach import reach

    try:
        await reach(settings.provider(), REACH_S)
    except RealtimeRefused as error:
        return [Finding("wrong", "realtime", str(error), MEND_REALTIME)]
    return []


async def check_mcp(site: Site) -> list[Finding]:
    """The MCP servers: which answer, and what they offer. A worker's own log tells of them once it is up."""
    if site.agents is None or site.loaded is None or not site.sessions:
        return []
    from worker.agent.remote import ask_servers

    found = []
    for answer in await ask_servers(site.agents, site.loaded.secrets):
        server = answer.server
        where = f"{server.label} at {server.where}"
        if answer.wrong:
            found.append(Finding("wrong", "mcp", f"{where} {answer.wrong}", answer.mend))
            continue
        names = [spec.remote.tool for spec in answer.specs if spec.remote is not None]
        shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
        inline = sum(spec.mode == "inline" for spec in answer.specs)
        text = f"{where}: {len(names)} tools ({inline} inline), protocol {answer.protocol}: {shown or 'none'}"
        found.append(Finding("ok", "mcp", text) if names else Finding("note", "mcp", text, "look at allowed_tools"))
        found += [Finding("note", "mcp", f"{server.label}: {line}", "") for line in answer.left_out[:SHOWN]]
    for server in site.agents.mcp_servers():
        if server.run_by == "provider":
            found.append(Finding("ok", "mcp", f"{server.label} at {server.where}: the provider speaks with it"))
    return found


FIRST: tuple[Callable[[Site], list[Finding]], ...] = (
    check_settings,
    check_agent,
    check_tools,
    check_folder,
    check_consent,
    check_children,
    check_later,
    check_approvals,
    check_orders,
    check_models,
    check_connectors,
)
START: tuple[Look, ...] = (check_fillers, check_interruption, check_sip, check_http)
BESIDE: tuple[Look, ...] = (check_capacity, check_redis, check_realtime, check_mcp)
