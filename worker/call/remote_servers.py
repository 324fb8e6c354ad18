"""The agent file's MCP servers that the provider runs: checked before a start, and as a session has them. Pure."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tools.mcp.server import McpServer, McpTool
from tools.tool_call.outcome import worked
from worker.agent.agent import Agent
from worker.agent.agent_file import AgentFile
from worker.call_tools.approval import Wanted
from worker.call_tools.reference import policy_of
from worker.errors import AgentFileError
from worker.realtime.base import Capabilities, SessionConfig
from worker.realtime.remote import RemoteServer, remote_name
from worker.turns.events import AskApproval

__all__ = [
    "ServersAfter",
    "check_after",
    "check_remote",
    "named_tools",
    "remote_servers",
    "servers_of",
    "time_limit",
    "wanted_of",
]

NEVER = "never"


def check_remote(agents: AgentFile, provider: str, can: Capabilities) -> None:
    """Find out before a start what would go wrong in a call. provider: its name.

    Raises AgentFileError with a line for each server that this provider can't run, and for what stands twice.
    """
    wrong = []
    for agent in agents.agents():
        servers = agent.mcp_run_by("provider")
        if servers and not can.remote_tools:
            labels = ", ".join(server.label for server in servers)
            wrong.append(
                f'{agents.path}: mcp {labels}: run_by = "provider", but {provider} runs no MCP servers; write'
                ' run_by = "offhook", or choose another OFFHOOK_REALTIME'
            )
        labels_there = _labels_in_options(agent)
        wrong += [
            f"{agents.path}: mcp {server.label}: the label stands in [provider] tools, too: leave one of them out"
            for server in servers
            if server.label in labels_there
        ]
    if wrong:
        raise AgentFileError(list(dict.fromkeys(wrong)))


def check_after(path: Path, agent: Agent, tools: Iterable[str]) -> None:
    """Whether there are the tools that servers come after. tools: our own. Raises AgentFileError."""
    names = list(tools)
    ours = tuple(server.prefix for server in agent.mcp_run_by("offhook"))
    for server in agent.mcp_run_by("provider"):
        for pattern in server.after:
            if not any(fnmatchcase(name, pattern) for name in names) and not pattern.startswith(ours or ("\0",)):
                near = difflib.get_close_matches(pattern, names, 1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(names) or 'none'}"
                raise AgentFileError(f"{path}: mcp {server.label}: after: no tool of ours is called {pattern!r}{hint}")


def _labels_in_options(agent: Agent) -> set[str]:
    tools = agent.provider.get("tools")
    found = tools if isinstance(tools, list) else []
    return {str(tool.get("server_label")) for tool in found if isinstance(tool, Mapping) and tool.get("type") == "mcp"}


def remote_servers(servers: Iterable[McpServer], secrets: Mapping[str, str]) -> dict[str, RemoteServer]:
    """Return the servers that the provider runs, by label, with their secrets. secrets: by name; KeyError for none."""
    return {server.label: _remote(server, secrets) for server in servers if server.run_by == "provider"}


def servers_of(agent: Agent, remote: Mapping[str, RemoteServer]) -> tuple[RemoteServer, ...]:
    """Return those that an agent's sessions have from the first response to the last."""
    servers = (server for server in agent.mcp_run_by("provider") if not server.after)
    return tuple(_asking(agent, server, remote[server.label]) for server in servers if server.label in remote)


def _asking(agent: Agent, server: McpServer, one: RemoteServer) -> RemoteServer:
    """One whose tools the agent may want approved, by a pattern of its own, asks about each call."""
    asks = server.require_approval is None and _may_concern(agent.tools.approval, server.prefix)
    return replace(one, require_approval="always") if asks else one


class ServersAfter:
    """The servers that one response has, after a tool of the agent file's `after`. One call's."""

    def __init__(
        self, agent: Agent, remote: Mapping[str, RemoteServer], configured: Callable[[], SessionConfig]
    ) -> None:
        """configured: the session's settings, as they stand."""
        self._configured = configured
        self._servers = [
            (server.after, _asking(agent, server, remote[server.label]))
            for server in agent.mcp_run_by("provider")
            if server.after and server.label in remote
        ]
        self._due: dict[str, RemoteServer] = {}

    def answered(self, tool: str, output: str) -> None:
        """A tool call has its outcome; one that did not work opens nothing."""
        if self._servers and worked(output):
            fits = (one for after, one in self._servers if any(fnmatchcase(tool, pattern) for pattern in after))
            self._due.update({one.label: one for one in fits})

    def take(self) -> tuple[tuple[Mapping[str, Any], ...], tuple[RemoteServer | str, ...]] | None:
        """Return the functions and servers of the response that tells it; None: those of the session."""
        if not self._due:
            return None
        due, self._due = tuple(self._due.values()), {}
        session = self._configured()  # what a response is given stands in the place of the session's
        return session.tools, (*(server.label for server in session.remote), *due)


def _may_concern(patterns: Mapping[str, str], prefix: str) -> bool:
    """Whether one of these patterns may mean a tool with this prefix, whatever its name."""
    heads = (re.split(r"[*?\[]", pattern, maxsplit=1) for pattern, text in patterns.items() if text != NEVER)
    return any(head[0].startswith(prefix) or (len(head) > 1 and prefix.startswith(head[0])) for head in heads)


def _remote(server: McpServer, secrets: Mapping[str, str]) -> RemoteServer:
    return RemoteServer(
        label=server.label,
        url=server.url,
        connector_id=server.connector_id,
        tunnel_id=server.tunnel_id,
        authorization=None if server.authorization is None else secrets[server.authorization],
        headers={name: value.value(secrets) for name, value in server.headers.items()},
        allowed_tools=None if "*" in server.allowed_tools else server.allowed_tools,
        read_only=server.read_only,
        require_approval=_approval(server),
        description=server.description,
    )


def _approval(server: McpServer) -> str | dict[str, object]:
    """What the provider asks for: by `require_approval`, else everything as soon as one tool wants an approval of ours.

    The provider knows no patterns: it asks for each call then, and those that need none have their answer at once.
    """
    given = server.require_approval
    if given is None:
        return NEVER if all(tool.approval == NEVER for tool in server.tools.values()) else "always"
    if given.all is not None:
        return given.all
    rules = {"always": given.always, "never": given.never}
    return {
        key: {
            **({"tool_names": list(rule.tool_names)} if rule.tool_names else {}),
            **({} if rule.read_only is None else {"read_only": rule.read_only}),
        }
        for key, rule in rules.items()
        if rule is not None
    }


def wanted_of(agent: Agent, ask: AskApproval) -> Wanted:
    """Return a call that the provider asks about as whoever approves it has it.

    By the tool's own `approval`; where it has none, and the agent file has the provider ask for it, it is the caller.
    """
    server = next((one for one in agent.mcp_run_by("provider") if one.label == ask.label), None)
    options = McpTool() if server is None else server.options(ask.name)
    policy = policy_of(options.approval)
    if policy == NEVER and (server is None or server.require_approval is not None):
        policy = "always"
    return Wanted(
        tool_call_id=ask.approval_id,
        tools=(remote_name(ask.label, ask.name),),
        arguments=_object(ask.arguments),
        policies=(policy,),
        summary=options.summary if options.summary is not None else ask.name.replace("_", " "),
    )


def _object(arguments: str) -> dict[str, object]:
    try:
        value = json.loads(arguments)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"arguments": arguments}


def named_tools(agent: Agent) -> dict[str, tuple[McpServer, str]]:
    """Return the tools that the agent file names, by the one name that they have here: each server, and its own name.

    A server's patterns stand for the names in `allowed_tools`; of other tools nothing is known before a call.
    """
    return {
        remote_name(server.label, tool): (server, tool)
        for server in agent.mcp_run_by("provider")
        for tool in (*server.tools, *server.allowed_tools)
        if not set(tool) & set("*?[")
    }


def time_limit(agent: Agent, name: str) -> float:
    """Return how long a call of a tool is waited for (s). name: as `remote_name` has it."""
    for server in agent.mcp_run_by("provider"):
        if name.startswith(server.prefix):
            return min(server.options(name.removeprefix(server.prefix)).timeout, agent.limits.tool_seconds)
    return agent.limits.tool_seconds
