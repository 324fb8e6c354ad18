"""The table that `offhook tools list` prints. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tools.define.approval import Approval
from tools.define.spec import ToolSpec
from tools.mcp.server import McpServer

__all__ = ["table"]

OURS = "-"


Approved = Callable[[str, Approval], str]
"""Says who approves a run of a tool, by its name and its own policy."""


def table(specs: Iterable[ToolSpec], servers: Iterable[McpServer], approved: Approved) -> list[str]:
    """Return a line for each tool: name, mode, MCP server, who approves a run of it, and what it is for.

    Without any MCP server its column is left out. What the provider runs is told by a line for each
    name in allowed_tools, or one for all: only the provider knows more.
    """
    known = {server.label: server for server in servers}
    rows = [_row(spec, approved) for spec in specs]
    rows += [row for server in known.values() if server.run_by == "provider" for row in _by_provider(server, approved)]
    shown = (0, 1, 2, 3) if known else (0, 1, 3)
    widths = {column: max((len(row[column]) for row in rows), default=0) for column in shown}
    return ["  ".join((*(f"{row[n]:<{widths[n]}}" for n in shown), row[4])).rstrip() for row in rows]


def _row(spec: ToolSpec, approved: Approved) -> tuple[str, str, str, str, str]:
    purpose = spec.description.strip().partition("\n")[0]
    server = OURS if spec.remote is None else spec.remote.label
    return spec.name, spec.mode, server, approved(spec.name, spec.approval), purpose


def _by_provider(server: McpServer, approved: Approved) -> list[tuple[str, str, str, str, str]]:
    purpose = f"by the provider, at {server.where}"
    return [
        (name := server.prefix + tool, "provider", server.label, approved(name, server.options(tool).approval), purpose)
        for tool in server.allowed_tools
    ]
