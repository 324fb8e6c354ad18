"""The table that `offhook tools list` prints. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tools.define.spec import ToolSpec
from tools.mcp.server import McpServer

__all__ = ["table"]

OURS = "-"


def table(specs: Iterable[ToolSpec], servers: Iterable[McpServer]) -> list[str]:
    """Return a line for each tool: name, mode, MCP server, who approves a run of it, and what it is for.

    Without any MCP server the two columns in the middle are left out. What the provider runs is told by a line for each
    name in allowed_tools, or one for all: only the provider knows more.
    """
    known = {server.label: server for server in servers}
    rows = [_row(spec, known) for spec in specs]
    rows += [row for server in known.values() if server.run_by == "provider" for row in _by_provider(server)]
    shown = (0, 1, 2, 3) if known else (0, 1)
    widths = {column: max((len(row[column]) for row in rows), default=0) for column in shown}
    return ["  ".join((*(f"{row[n]:<{widths[n]}}" for n in shown), row[4])).rstrip() for row in rows]


def _row(spec: ToolSpec, servers: dict[str, McpServer]) -> tuple[str, str, str, str, str]:
    purpose = spec.description.strip().partition("\n")[0]
    if spec.remote is None:
        return spec.name, spec.mode, OURS, "never", purpose
    server = servers[spec.remote.label]
    return spec.name, spec.mode, server.label, server.options(spec.remote.tool).approval, purpose


def _by_provider(server: McpServer) -> list[tuple[str, str, str, str, str]]:
    purpose = f"by the provider, at {server.where}"
    return [
        (server.prefix + tool, "provider", server.label, server.options(tool).approval, purpose)
        for tool in server.allowed_tools
    ]
