"""One call of a server's tool as values, between whoever wants it run and whoever runs it. Needs no SDK."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tools.define.context import ToolContext
from tools.mcp.server import McpServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A tool as a server lists it. read_only, idempotent: its hints of itself, which may be wrong."""

    name: str
    description: str
    schema: Mapping[str, Any]
    read_only: bool = False
    idempotent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One call of a tool. tool: the server's own name for it. limit_s: how long the server may take for it."""

    tool: str
    arguments: Mapping[str, Any] = field(repr=False)
    context: ToolContext
    limit_s: float


class AnswerLost(Exception):
    """The request was sent and no answer can be had: whether it was done, nobody knows. The message is for the log."""


class NeverRan(Exception):
    """The request was refused before anything of it ran. again: on a new session it may be taken."""

    def __init__(self, reason: str, *, again: bool = False) -> None:
        """Take the reason, for the log."""
        super().__init__(reason)
        self.again = again


class ServerAway(Exception):
    """No session with the server. mend: what the operator can do. passing: whether it may be there in a moment."""

    def __init__(self, reason: str, mend: str, *, passing: bool = True) -> None:
        """Take the reason, without secrets."""
        super().__init__(reason)
        self.mend = mend
        self.passing = passing


Run = Callable[[McpServer, Ask], Awaitable[Any]]
"""Runs a call and returns what the tool has answered.

Raises `ToolError` with the tool's own words, `ToolUnavailable` where nothing was done, `AnswerLost` where that is not
known.
"""
