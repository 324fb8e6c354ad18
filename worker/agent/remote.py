"""What an agent file's MCP servers need of this installation, and what they answer when they are asked once."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field

from tools.define.spec import ToolSpec
from tools.mcp.server import McpServer
from worker.agent.agent_file import AgentFile
from worker.errors import HostError
from worker.installed import remedy

__all__ = ["ServerAnswer", "ask_servers", "check_mcp_installed"]

ASK_S = 10.0


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """What came of asking a server.

    specs: its tools, as tools of ours. left_out: a line for each of its tools that can be none. protocol: the revision
    that both speak. wrong: why it has not answered, in words; then mend says what to do.
    """

    server: McpServer
    specs: list[ToolSpec] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    protocol: str = ""
    wrong: str = ""
    mend: str = ""


def check_mcp_installed(agents: AgentFile) -> None:
    """Whether the SDK is there, where the agent file names a server that we are to speak with. Raises HostError."""
    for server in agents.mcp_servers():
        if server.run_by == "offhook" and importlib.util.find_spec("mcp") is None:
            raise HostError(f"mcp {server.label} needs the MCP SDK: install it with `{remedy('mcp')}`")


async def ask_servers(agents: AgentFile, secrets: Mapping[str, str]) -> list[ServerAnswer]:
    """Ask each server whose tools we run what it offers, all at once and each for at most `ASK_S` and its list."""
    servers = [server for server in agents.mcp_servers() if server.run_by == "offhook"]
    return list(await asyncio.gather(*(_ask(server, secrets) for server in servers)))


async def _ask(server: McpServer, secrets: Mapping[str, str]) -> ServerAnswer:
    from tools.mcp.asking import AnswerLost, Listed, ServerAway
    from tools.mcp.client import Session, with_session
    from tools.mcp.job import alone
    from tools.mcp.specs import offered_by

    async def work(session: Session) -> tuple[list[Listed], str]:
        return await session.tools(), session.protocol

    try:
        listed, protocol = await with_session(server, secrets, work, open_s=ASK_S)
    except ServerAway as error:
        return ServerAnswer(server, wrong=str(error), mend=error.mend)
    except AnswerLost as error:
        return ServerAnswer(server, wrong=str(error), mend="look at the server")
    offered = offered_by(server, listed, alone(secrets))
    return ServerAnswer(server, offered.specs, offered.left_out, protocol)
