"""The agent file's MCP servers that the provider runs: checked before a start, and as a session has them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tools.mcp.server import McpServer
from worker.agent.agent_file import Agent, AgentFile
from worker.errors import AgentFileError
from worker.realtime.base import Capabilities
from worker.realtime.remote import RemoteServer, remote_name

__all__ = ["asks_nobody", "check_remote", "named_tools", "remote_servers", "servers_of", "time_limit"]

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


def _labels_in_options(agent: Agent) -> set[str]:
    tools = agent.provider.get("tools")
    found = tools if isinstance(tools, list) else []
    return {str(tool.get("server_label")) for tool in found if isinstance(tool, Mapping) and tool.get("type") == "mcp"}


def remote_servers(servers: Iterable[McpServer], secrets: Mapping[str, str]) -> dict[str, RemoteServer]:
    """Return the servers that the provider runs, by label, with their secrets. secrets: by name; KeyError for none."""
    return {server.label: _remote(server, secrets) for server in servers if server.run_by == "provider"}


def servers_of(agent: Agent, remote: Mapping[str, RemoteServer]) -> tuple[RemoteServer, ...]:
    """Return those of an agent."""
    return tuple(remote[server.label] for server in agent.mcp_run_by("provider") if server.label in remote)


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

    The provider knows no patterns: it asks for each call then, and `asks_nobody` answers for those that need none.
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


def asks_nobody(agent: Agent, label: str, tool: str) -> bool:
    """Whether a call that the provider asks about may run unasked: it asks for more than the agent file wants."""
    server = next((one for one in agent.mcp_run_by("provider") if one.label == label), None)
    return server is not None and server.require_approval is None and server.options(tool).approval == NEVER


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
