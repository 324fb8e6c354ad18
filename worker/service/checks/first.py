"""What is looked at before anything starts: settings, agents, tools, folders and what they need of each other."""

from __future__ import annotations

import datetime
import sys

from tools.errors import ToolDefinitionError
from worker.agent.agent_file import load_agent_file
from worker.agent.tool_rules import approvals_of
from worker.call.config import written_down
from worker.embedded.services import redis_program
from worker.errors import HostError, OffhookError, OperatorError
from worker.realtime.retiring import ending
from worker.service.checks.finding import Finding, LookFirst, Site
from worker.service.loaded import (
    check_accounts,
    check_programs,
    check_transfers,
    check_written,
    kept_folders,
    load_tools_of,
)
from worker.settings.load import unknown_variables
from worker.turns.consent import LANGUAGES, judges

__all__ = ["FIRST"]


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


FIRST: tuple[LookFirst, ...] = (
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
