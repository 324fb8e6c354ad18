"""MCP servers whose tools the provider runs itself: their definition, and what a session tells of them. Pure.

*Remote* is what runs at the provider: it lists a server's tools, calls them and puts the outcome into the conversation.
No output is sent for such a call, and it can't be cancelled by us.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "SEPARATOR",
    "ApprovalWanted",
    "RemoteServer",
    "RemoteToolEnded",
    "RemoteToolOutput",
    "RemoteToolStarted",
    "RemoteToolsFailed",
    "RemoteToolsListed",
    "hidden",
    "remote_name",
]

SEPARATOR = "__"
"""Between a server's label and its tool's name, where both stand as one name: in records, fillers and metrics."""
SECRET_CHARS = 8
"""Shorter values are no secrets, and would blank out plain words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteServer:
    """One MCP server as a session is told of it. Its repr shows no secret."""

    label: str
    """Its name in the session."""
    url: str | None = None
    """Where it listens (streamable HTTP); one of url, connector_id and tunnel_id."""
    connector_id: str | None = None
    """One of the provider's own connectors."""
    tunnel_id: str | None = None
    """A private server that the provider reaches through its tunnel."""
    authorization: str | None = field(default=None, repr=False)
    """The token itself."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Further headers of the provider's requests; these may be secrets, too."""
    allowed_tools: tuple[str, ...] | None = None
    """The tools that the model may have, by name; None: all."""
    read_only: bool = False
    """Only those that say readOnlyHint."""
    require_approval: str | Mapping[str, Any] = "never"
    """Which calls wait for an approval: always, never, or {"always": F, "never": F}; F has tool_names, read_only."""
    description: str | None = None
    """What it is, for the model."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown."""
        found = (self.authorization or "", *self.headers.values())
        # A header such as "Bearer TOKEN" may come back without its first word.
        parts = [part for value in found for part in (value, value.rpartition(" ")[2])]
        return tuple(dict.fromkeys(part for part in parts if len(part) >= SECRET_CHARS))


def remote_name(label: str, tool: str) -> str:
    """Return the one name of a server's tool."""
    return f"{label}{SEPARATOR}{tool}"


def hidden(text: str, secrets: Iterable[str]) -> str:
    """Return a text without these secrets: services quote what they refuse."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


# --- events ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RemoteToolsListed:
    """The provider knows a server's tools: from now on the model may call them."""

    label: str
    """The server."""
    tools: tuple[str, ...]
    """Their names, as the server has them."""


@dataclass(frozen=True, slots=True)
class RemoteToolsFailed:
    """The provider could not list a server's tools: the model goes on without them."""

    label: str
    """The server; "" where the provider does not say."""
    reason: str = ""
    """The provider's words, if there are any."""


@dataclass(frozen=True, slots=True)
class RemoteToolStarted:
    """The provider runs a tool; comes once per call, before its end."""

    response_id: str
    """The response that made the call; "" where it belongs to none (it was approved after its response)."""
    tool_call_id: str
    """The call, by a name that is unique in the phone call."""
    label: str
    """The server."""
    name: str
    """The tool, as the server calls it."""
    arguments: str
    """JSON text."""
    approval_id: str = ""
    """The approval that it was given, if it waited for one."""


@dataclass(frozen=True, slots=True)
class RemoteToolEnded:
    """The outcome of such a call is in the provider's conversation; comes once per call."""

    tool_call_id: str
    """The call."""
    ok: bool
    """Whether the tool did its work."""


@dataclass(frozen=True, slots=True)
class RemoteToolOutput:
    """What came of such a call, in words; before or after its end, or never."""

    tool_call_id: str
    """The call."""
    output: str
    """The tool's output; "" where there is none."""
    error: str = ""
    """What went wrong: protocol_error, tool_execution_error or http_error, its code if it has one, and the message."""


@dataclass(frozen=True, slots=True)
class ApprovalWanted:
    """A call waits until somebody approves or declines it (`Codec.approve`); comes once per call."""

    response_id: str
    """The response that wants to make the call."""
    approval_id: str
    """What the answer has to name; known to this session only."""
    label: str
    """The server."""
    name: str
    """The tool, as the server calls it."""
    arguments: str
    """JSON text."""
