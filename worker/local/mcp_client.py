"""The local server's MCP client, by the SDK (extra `mcp`): lists tools and runs one, each in a session of its own.

A thin shell around `remote`: what goes wrong becomes a `Fault`, in the protocol's three kinds. It reaches servers on
this machine alone.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

import structlog

from worker.local.remote import Fault, Import, RunTool

__all__ = ["import_tools", "run_tool"]

log = structlog.get_logger(__name__)

T = TypeVar("T")
OPEN_S = 10.0
"""So long a server has to list its tools."""
RUN_S = 120.0
"""So long a tool may run: longer than any client waits."""


async def import_tools(job: Import) -> list[dict[str, Any]] | Fault:
    """Return a server's tools as an mcp_list_tools item has them."""
    result = await _guarded(lambda: _list(job.server), OPEN_S)
    if isinstance(result, Fault):
        log.warning("mcp_import_failed", label=job.server["server_label"], kind=result.kind, code=result.code)
    return result


async def run_tool(job: RunTool) -> str | Fault:
    """Return a tool's output."""
    try:
        arguments = json.loads(job.arguments or "{}")
    except ValueError:
        return Fault("protocol_error", "The arguments are not valid JSON.", -32602)
    return await _guarded(lambda: _run(job.server, job.name, arguments), RUN_S)


def _load() -> None:
    """Load the SDK. Raises ImportError."""
    import_module("httpx2")
    import_module("mcp.client.streamable_http")


async def _guarded(work: Callable[[], Awaitable[T]], bound_s: float) -> T | Fault:
    """What the work returns, or the fault that it comes to."""
    try:
        await asyncio.to_thread(_load)  # takes a second, in which other sessions go on
        async with asyncio.timeout(bound_s):
            return await work()
    except ImportError:
        return Fault("protocol_error", "The local server has no MCP client: install offhook's extra mcp.", -32000)
    except (Exception, BaseExceptionGroup) as error:
        return _fault(error)


def _fault(error: BaseException) -> Fault:
    for one in _leaves(error):
        if isinstance(one, _Refused):
            return one.fault
        code = getattr(one, "code", None)
        if isinstance(code, int) and type(one).__name__ == "MCPError":
            return Fault("protocol_error", str(one)[:300], code)
        if isinstance(one, asyncio.CancelledError):
            raise one
    return Fault("http_error", f"The server can't be reached ({type(next(_leaves(error))).__name__}).", 502)


async def _list(server: Mapping[str, Any]) -> list[dict[str, Any]]:
    async with _session(server) as client:
        found, cursor = [], None
        while True:
            page = await client.list_tools(cursor=cursor)
            found += [_shown(tool) for tool in page.tools]
            cursor = page.next_cursor
            if cursor is None:
                return found


def _shown(tool: Any) -> dict[str, Any]:
    shown = {"name": tool.name, "description": tool.description, "input_schema": tool.input_schema}
    if tool.annotations is not None:
        shown["annotations"] = tool.annotations.model_dump(by_alias=True, exclude_none=True)
    return shown


async def _run(server: Mapping[str, Any], name: str, arguments: Any) -> str | Fault:
    async with _session(server) as client:
        result = await client.call_tool(name, arguments if isinstance(arguments, dict) else {})
    text = "\n".join(block.text for block in result.content if getattr(block, "text", None) is not None)
    return Fault("tool_execution_error", text[:1000] or "The tool failed.") if result.is_error else text


@asynccontextmanager
async def _session(server: Mapping[str, Any]) -> AsyncIterator[Any]:
    """A session with a server, closed after it. Raises what the SDK raises, and `_Refused`."""
    url = server.get("server_url")
    if url is None:
        raise _Refused(Fault("http_error", "The local server has no connectors and no tunnels.", 404))
    if not _is_loopback(urlsplit(url).hostname or ""):
        raise _Refused(Fault("http_error", "The local server reaches MCP servers on this machine alone.", 403))
    import httpx2
    from mcp.client import Client
    from mcp.client.streamable_http import streamable_http_client

    headers = dict(server.get("headers") or {})
    if server.get("authorization") is not None:
        headers["Authorization"] = f"Bearer {server['authorization']}"
    refused: list[int] = []

    async def note(response: httpx2.Response) -> None:
        if response.status_code >= 400 and response.request.method == "POST":
            refused.append(response.status_code)

    limit = httpx2.Timeout(OPEN_S, read=None)
    hooks = {"response": [note]}
    done = False
    try:
        async with httpx2.AsyncClient(headers=headers, timeout=limit, trust_env=False, event_hooks=hooks) as http:
            async with Client(streamable_http_client(url, http_client=http)) as client:
                yield client
                done = True
    except (Exception, BaseExceptionGroup):
        if done:
            return  # it was closed in a hurry
        if refused and refused[-1] not in (404, 405):
            raise _Refused(Fault("http_error", f"The server answers HTTP {refused[-1]}.", refused[-1])) from None
        raise


class _Refused(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error
