"""What an agent file's MCP servers need of this installation."""

from __future__ import annotations

import importlib.util

from worker.agent.agent_file import AgentFile
from worker.errors import HostError
from worker.installed import remedy

__all__ = ["check_mcp_installed"]


def check_mcp_installed(agents: AgentFile) -> None:
    """Whether the SDK is there, where the agent file names a server that we are to speak with. Raises HostError."""
    for server in agents.mcp_servers():
        if server.run_by == "offhook" and importlib.util.find_spec("mcp") is None:
            raise HostError(f"mcp {server.label} needs the MCP SDK: install it with `{remedy('mcp')}`")
