"""A remote tool's call as a job: the tool worker is the MCP client, with a session of its own for each call.

A job names the server by its label; where that is and what may be called there is in the tool worker's own agent file.
The SDK is loaded with the first call, or before (`prepare`): once, for all forks.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import structlog

from tools.define.digits import Digits
from tools.define.needs import Needs
from tools.define.schema import values_of
from tools.define.spec import Effects, Remote, ToolSpec
from tools.errors import InvalidArguments, ToolDefinitionError, ToolUnavailable
from tools.mcp.asking import Ask, NeverRan, Run, ServerAway
from tools.mcp.recipe import remote_spec
from tools.mcp.server import McpServer

log = structlog.get_logger(__name__)

PAYLOAD = "mcp"
"""What a job has beside the tool's name and arguments: label, tool, version, effects."""
AWAY_S = 8.0
"""A server may be started anew while somebody waits for its tool; half the tool's time-out at most."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 1.0


@dataclass(frozen=True, slots=True)
class PassedOn:
    """A `Signature` on the tool worker's side: the calling side has checked the arguments, the server will again."""

    parameters: dict[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}, "required": []})
    context: str | None = "context"
    needs: Mapping[str, Needs] = field(default_factory=dict)
    digits: Mapping[str, Digits] = field(default_factory=dict)

    def bind(self, arguments: str) -> dict[str, Any]:
        """Return {"arguments": ...} from JSON text."""
        return self.bind_values(values_of(arguments))

    def bind_values(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return {"arguments": ...}."""
        return {"arguments": dict(data)}

    def bind_needed(self, parameter: str, value: object) -> Any:
        """Return nothing: a remote tool takes no results of ours."""
        raise InvalidArguments("This takes no other tool's result.", f"{parameter} is no parameter")

    def canonical(self, data: Mapping[str, Any]) -> str:
        """Return the arguments as JSON text."""
        return json.dumps(data, sort_keys=True)


def payload_of(spec: ToolSpec) -> dict[str, Any] | None:
    """Return what a job of a remote tool has to carry; None for a tool of ours."""
    if spec.remote is None:
        return None
    remote = spec.remote
    return {"label": remote.label, "tool": remote.tool, "version": remote.version, "effects": spec.effects}


def spec_of(
    servers: Mapping[str, McpServer], secrets: Mapping[str, str], name: str, wanted: Mapping[str, Any]
) -> ToolSpec | None:
    """Return the recipe of the tool that a job wants; None where the agent file has no such server, or allows it not.

    servers: by label. wanted: what `payload_of` made, read from Redis.
    """
    server, tool = servers.get(str(wanted.get("label"))), str(wanted.get("tool"))
    if server is None or not server.allows(tool):
        return None
    said = server.options(tool).effects
    claimed: Effects = wanted["effects"] if wanted.get("effects") in get_args(Effects) else "once"
    effects = said if said is not None else claimed if server.trust_annotations else "once"
    remote = Remote(server.label, tool, str(wanted.get("version")))
    return remote_spec(server, remote, name, effects, alone(secrets), tool, PassedOn())


def prepare(servers: Iterable[McpServer], secrets: Mapping[str, str]) -> None:
    """Load the SDK before the first fork, where there is a server to speak with. Raises `ToolDefinitionError`."""
    found = tuple(servers)
    for server in found:
        for secret in server.secrets:
            if not secrets.get(secret):
                raise ToolDefinitionError(
                    f"mcp {server.label} wants the secret {secret}: set it, and name it in OFFHOOK_TOOL_SECRETS"
                )
    if found:
        from tools.mcp.client import warm

        warm()


def alone(secrets: Mapping[str, str]) -> Run:
    """Return what runs a call in a session of its own: opened for it, and closed after it."""

    async def run(server: McpServer, ask: Ask) -> Any:
        from tools.mcp.client import OPEN_S, with_session

        began = time.monotonic()
        patience = began + min(ask.limit_s / 2, AWAY_S)
        pause_s = FIRST_PAUSE_S
        while True:
            left = replace(ask, limit_s=max(0.001, ask.limit_s - (time.monotonic() - began)))
            try:
                open_s = max(0.5, min(OPEN_S, patience - time.monotonic()))
                return await with_session(server, secrets, lambda session, left=left: session.call(left), open_s=open_s)  # type: ignore[misc]
            except (ServerAway, NeverRan) as error:
                again = error.passing if isinstance(error, ServerAway) else error.again
                if not again or time.monotonic() + pause_s > patience:
                    raise unavailable(server, ask, error) from None
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    return run


def unavailable(server: McpServer, ask: Ask, error: ServerAway | NeverRan) -> ToolUnavailable:
    """Return the error of a call of which nothing was done, and write the operator's line."""
    mend = error.mend if isinstance(error, ServerAway) else "look at the server's log, and at its secret"
    log.warning(
        "mcp_server_away",
        call_id=ask.context.call_id,
        server=server.label,
        at=server.where,
        tool=ask.tool,
        reason=str(error),
        mend=mend,
    )
    return ToolUnavailable(f"mcp {server.label} at {server.where}: {error}")
