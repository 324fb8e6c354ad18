"""What a worker is made of before anything of it is started: the agents, their tools and the tools' secrets.

What can be known to be wrong before a start raises here; `worker.service.checks.first` makes findings of it.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from telephony.sip.target import is_ours, same_user
from telephony.sip.uri import host_of, over_tls, registrar_uri
from tools.define.loading import load_tools
from tools.define.spec import ToolSpec
from tools.mcp.server import check_servers
from tools.queue.queued import QueuedRunner
from tools.run.catalog import Catalog
from tools.run.inline import InlineRunner
from worker.agent.agent_file import AgentFile
from worker.agent.remote import check_mcp_installed
from worker.call.config import check_tools
from worker.call.remote_servers import check_remote
from worker.embedded.services import redis_program
from worker.errors import AgentFileError, HostError, SettingsError
from worker.installed import remedy
from worker.realtime.choose import codec_for
from worker.records.sealed import require_sealing
from worker.settings.settings import Settings

__all__ = [
    "NOT_YET",
    "Catalogs",
    "Loaded",
    "ToolsKey",
    "check_accounts",
    "check_programs",
    "check_transfers",
    "check_written",
    "kept_folders",
    "load_tools_of",
    "make_catalogs",
]

NO_REDIS = "redis://localhost"
"""A queue for a catalog that is only looked at: nothing connects to it."""
NOT_YET = "ws://127.0.0.1/v1"
"""The local realtime server, before it runs."""
SPEECH = ("pocketsphinx", "espeakng_loader")
"""What the local realtime server hears and speaks with."""

ToolsKey = tuple[tuple[str, ...], tuple[str, ...], float]
"""`Agent.tools_key`."""
Catalogs = dict[ToolsKey, Catalog]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The agents of the agent file, with what they need. tools: those of each list of modules. secrets: by name."""

    agents: AgentFile
    tools: Mapping[tuple[str, ...], list[ToolSpec]]
    secrets: Mapping[str, str] = field(repr=False, default_factory=dict)

    def specs(self) -> list[ToolSpec]:
        """Every tool of the agents, each once."""
        return list({id(spec): spec for specs in self.tools.values() for spec in specs}.values())


def make_catalogs(loaded: Loaded, inline: InlineRunner, queue: QueuedRunner) -> Catalogs:
    """Return the catalog of each agent; agents with the same tools and bounds share one. Remote tools come later.

    Raises `ToolDefinitionError` for two tools of one name, needs that can't be met, and a missing secret.
    """
    found: Catalogs = {}
    for agent in loaded.agents.agents():
        if agent.tools_key not in found:
            specs, most_s = loaded.tools[agent.tools.modules], agent.limits.tool_seconds
            found[agent.tools_key] = Catalog(
                specs, inline=inline, queued=queue, most_s=most_s, secrets=loaded.secrets, paged=True
            )
    return found


def load_tools_of(settings: Settings, agents: AgentFile) -> Loaded:
    """Load the tools with all that they need; where a tool worker is a child of ours, what it needs as well.

    Raises AgentFileError, SettingsError or ToolDefinitionError, HostError where MCP servers need what isn't installed.
    """
    check_mcp_installed(agents)
    tools = {agent.tools.modules: load_tools(agent.tools.modules) for agent in agents.agents()}
    loaded = Loaded(agents, tools, settings.secrets_for_tools())
    check_tools(agents, tools)
    for agent in agents.agents():
        check_servers(agent.mcp, tools[agent.tools.modules], loaded.secrets)
    _check_remote(settings, agents)
    make_catalogs(loaded, InlineRunner(), QueuedRunner(settings.queue_settings(NO_REDIS)))
    if settings.needs_embedded_redis():
        for spec in loaded.specs():
            spec.secrets_from(loaded.secrets)
    return loaded


def check_transfers(settings: Settings, agents: AgentFile) -> None:
    """Whether the agents hand calls on to anybody but ourselves, as far as can be known here. Raises AgentFileError."""
    hosts = [host for place in settings.sip_places() for host in place.hosts]
    ours = [
        f"sip:{user}@{one.host}"
        for one in settings.account_settings()
        for user in (one.username, one.number or one.username)
    ]
    if settings.sip_registrar is not None and settings.sip_username is not None:
        ours = [f"sip:{settings.sip_username}@{host_of(registrar_uri(settings.sip_registrar))}"]
    ports = (settings.sip_port, settings.sip_tls_port)
    for target in (target for agent in agents.agents() for target in agent.transfer):
        where = f"{agents.path}: transfer {target.label!r}: {target.uri}"
        if is_ours(target.uri, hosts, ports) or any(same_user(target.uri, one) for one in ours):
            raise AgentFileError(f"{where} is this worker's own address: the call would come back to it")
        if over_tls(target.uri) and "tls" not in settings.sip_transports:
            raise AgentFileError(f"{where} is called over TLS: put tls into OFFHOOK_SIP_TRANSPORTS")


def check_accounts(settings: Settings, agents: AgentFile) -> None:
    """Whether the accounts that routes and transfers name are there. Raises AgentFileError with a line for each."""
    names = [one.name for one in settings.account_settings()]
    named = [(f"route[{n}].account", route.when.account) for n, route in enumerate(agents.routes, 1)]
    targets = {(target.label, target.account) for agent in agents.agents() for target in agent.transfer}
    named += [(f"transfer {label!r}.account", name) for label, name in sorted(targets, key=str)]
    there = f"there are {', '.join(names)}" if names else "OFFHOOK_SIP_ACCOUNTS names no file with accounts"
    if wrong := [(where, name) for where, name in named if name is not None and name not in names]:
        lines = [f"{agents.path}: {where}: there is no account {name!r}; {there}" for where, name in wrong]
        raise AgentFileError(lines)


def _check_remote(settings: Settings, agents: AgentFile) -> None:
    """Whether the provider runs the MCP servers that it is to run. Raises AgentFileError."""
    if any(agent.mcp_run_by("provider") for agent in agents.agents()):
        provider = settings.provider(NOT_YET)
        check_remote(agents, provider.name, codec_for(provider).capabilities)


def kept_folders(settings: Settings) -> dict[str, Path]:
    """Return the folders in which something of calls is kept, by their variables."""
    found = {"OFFHOOK_RECORDINGS": settings.recordings, "OFFHOOK_JOURNAL": settings.journal}
    return {variable: folder for variable, folder in found.items() if isinstance(folder, Path)}


def check_written(variable: str, folder: Path) -> None:
    """Whether that can be written. Raises SettingsError; it leaves nothing behind."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    try:
        _write_something(there)
    except OSError as error:
        where = "" if there == folder.absolute() else f" in {there}"
        raise SettingsError(
            f"{variable}={folder}: can't write{where} ({error.strerror or error}); make it writable for this"
            " user, or name another folder"
        ) from None


def _write_something(folder: Path) -> None:
    """A file without a name where the system has such. Raises OSError."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"offhook")


def check_programs(settings: Settings) -> None:
    """Whether what is to run as a child is installed. Raises HostError."""
    if settings.needs_embedded_redis():
        redis_program()
    if settings.recordings is not None and settings.recordings_key is not None:
        require_sealing()
    if settings.needs_local_realtime():
        missing = [name for name in SPEECH if importlib.util.find_spec(name) is None]
        if missing:
            needs = f"the local realtime server needs {', '.join(missing)}"
            raise HostError(f"{needs}: install it with `{remedy('embedded')}`, or set OFFHOOK_REALTIME")
