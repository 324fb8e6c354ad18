"""A session with one MCP server, by the SDK: opened within a bound, asked for its tools, asked to run one, closed.

The only room beside `answer` that knows the SDK. A session belongs to the task that opens it: `with_session` runs the
work in between, so that what the SDK's own tasks raise is not mistaken for the work's fault.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, TextIO, TypeVar

import anyio
import httpx2
import mcp_types as types
from mcp.client import Client
from mcp.client.session import MessageHandlerFnT
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.exceptions import MCPError
from pydantic import TypeAdapter, ValidationError

from tools.errors import ToolError
from tools.mcp.answer import value_of
from tools.mcp.asking import AnswerLost, Ask, Listed, NeverRan, ServerAway
from tools.mcp.server import McpServer

# Its lines hold what was sent and received, arguments and all. What we have to tell we tell ourselves.
for _name in ("mcp", "httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

OPEN_S = 10.0
LIST_S = 10.0
CLOSE_S = 1.0
LISTEN_AGAIN_S = 2.0
MOST_PAGES = 100
MOST_BYTES = 16 * 1024 * 1024
"""Of one answer: a result over 64 KiB is kept in pages, one over this is not read to its end."""
CALL_KEY = "offhook/tool_call"
"""In the `_meta` of a request: whose it is, for the server's log, and for us where it is refused by HTTP."""
REFUSED = (400, 401, 403, 404, 405, 406, 407, 410, 413, 415, 429)
"""HTTP answers of somebody who has not let the request reach a tool."""

T = TypeVar("T")
_ANSWER: TypeAdapter[types.CallToolResult | types.InputRequiredResult] = TypeAdapter(
    types.CallToolResult | types.InputRequiredResult
)


@functools.cache
def tls() -> ssl.SSLContext:
    """The TLS settings of all sessions of this process: making them takes some 20 ms, so forks inherit them."""
    return httpx2.create_ssl_context()


def warm() -> None:
    """Load now what a first call would: a fork that does it for itself does it for each call."""
    tls()
    asyncio.run(anyio.sleep(0))  # anyio's way to asyncio, and what that needs
    _ = anyio.connect_tcp


class Session:
    """A session that is open. Its methods are for any task of the loop that opened it."""

    def __init__(self, server: McpServer, client: Client, refusals: _Refusals) -> None:
        """Take an entered client."""
        self.server = server
        self.client = client
        self._refusals = refusals

    @property
    def protocol(self) -> str:
        """The revision of the protocol that both speak."""
        return self.client.protocol_version

    async def tools(self) -> list[Listed]:
        """Return all that the server lists. Raises `ServerAway` for a list that does not come, or can't be read."""
        found: list[Listed] = []
        cursor: str | None = None
        try:
            with anyio.fail_after(LIST_S):
                for _page in range(MOST_PAGES):
                    listed = await self.client.list_tools(cursor=cursor, cache_mode="refresh")
                    found += [_listed(tool) for tool in listed.tools]
                    cursor = listed.next_cursor
                    if cursor is None:
                        return found
        except TimeoutError:
            raise ServerAway(f"lists no tools within {LIST_S:g} s", "look at the server") from None
        except MCPError as error:
            raise away(error, self.server, self._refusals.last) from None
        except ValidationError as error:
            raise ServerAway(
                f"lists its tools in a way that can't be read ({error.error_count()} faults)", "look at the server"
            ) from None
        raise ServerAway(f"lists its tools in more than {MOST_PAGES} pages", "look at the server")

    async def call(self, ask: Ask) -> Any:
        """Run a tool and return its answer. Cancelling this stops the tool at the server.

        Raises `ToolError`, `NeverRan` or `AnswerLost`.
        """
        try:
            result = await self._request(ask)
        except MCPError as error:
            raise self._fault(error, ask) from None
        except ValidationError as error:
            raise AnswerLost(f"its answer can't be read ({error.error_count()} faults)") from None
        if isinstance(result, types.InputRequiredResult):
            raise ToolError("The tool wants to ask something back, which can't be done in this call.")
        return value_of(result)

    async def _request(self, ask: Ask) -> types.CallToolResult | types.InputRequiredResult:
        """Not by the client's own verb: that would list the tools after each call, for a schema of its answer."""
        key = f"{ask.context.call_id}/{ask.context.tool_call_id}"
        params = {"name": ask.tool, "arguments": dict(ask.arguments), "_meta": {CALL_KEY: key}}
        request = types.CallToolRequest(params=types.CallToolRequestParams.model_validate(params))

        async def told(progress: float, total: float | None, message: str | None) -> None:
            ask.context.progress(message or (f"{progress:g} of {total:g}" if total else f"{progress:g}"))

        async def send() -> types.CallToolResult | types.InputRequiredResult:
            return await self.client.session.send_request(
                request, _ANSWER, request_read_timeout_seconds=ask.limit_s, progress_callback=told
            )

        try:
            return await send()
        except MCPError as error:
            if error.code != types.HEADER_MISMATCH:
                raise
        await self.tools()  # some arguments go into headers, too, by the tool's own schema
        return await send()

    def _fault(self, error: MCPError, ask: Ask) -> Exception:
        status = self._refusals.of(f"{ask.context.call_id}/{ask.context.tool_call_id}")
        if status in REFUSED and error.code in (types.INTERNAL_ERROR, types.METHOD_NOT_FOUND):
            return NeverRan(f"HTTP {status}")
        match error.code:
            case types.REQUEST_TIMEOUT:
                return AnswerLost(f"no answer within {ask.limit_s:g} s")
            case types.INVALID_REQUEST:  # "Session not found": an expired one
                return NeverRan("the session is not known to the server any more", again=True)
            case types.METHOD_NOT_FOUND | types.INVALID_PARAMS | types.HEADER_MISMATCH:
                return ToolError(f"The tool's server has refused the call: {error.message[:200]}")
            case types.MISSING_REQUIRED_CLIENT_CAPABILITY | types.URL_ELICITATION_REQUIRED:
                return ToolError("The tool wants to ask something back, which can't be done in this call.")
            case types.PARSE_ERROR:
                return AnswerLost("its answer can't be read")
            case types.CONNECTION_CLOSED:
                return AnswerLost(f"the connection was lost ({error.message.partition(':')[0][:60]})")
            case code:
                return AnswerLost(f"the server answered {code}" + (f", HTTP {status}" if status else ""))


async def with_session(
    server: McpServer,
    secrets: Mapping[str, str],
    work: Callable[[Session], Awaitable[T]],
    *,
    open_s: float = OPEN_S,
    on_message: MessageHandlerFnT | None = None,
) -> T:
    """Open a session, do the work in it, close it. Returns what the work returns, and raises what it raises.

    Raises `ServerAway` where no session can be had within `open_s`.
    """
    refusals = _Refusals()
    done: list[T] = []
    failed: list[Exception] = []
    opened = False
    try:
        async with _http(server, secrets, refusals) as http:
            with anyio.CancelScope(deadline=anyio.current_time() + open_s) as scope:
                client = Client(_transport(server, secrets, http), cache=None, message_handler=on_message)
                async with client:
                    opened = True
                    scope.deadline = float("inf")
                    try:
                        done.append(await work(Session(server, client, refusals)))
                    except Exception as error:
                        failed.append(error)
                    finally:  # also where this is cancelled: the server may be silent
                        scope.deadline = anyio.current_time() + CLOSE_S
    except (Exception, BaseExceptionGroup) as error:
        others = [one for one in _leaves(error) if not isinstance(one, Exception)]
        if others:  # what has interrupted this thread from outside
            raise others[0] from None
        if not opened:
            raise away(error, server, refusals.last) from None
    if failed:
        raise failed[0]
    if done:
        return done[0]
    if not opened:
        raise ServerAway(f"does not answer within {open_s:g} s", "start it, or correct its address")
    raise AnswerLost("the session broke")


async def changes(session: Session) -> AsyncIterator[None]:
    """Yield whenever the server says that its tools have changed, or may have; end where it can't say so this way."""
    while True:
        try:
            async with session.client.listen(tools_list_changed=True) as events:
                async for _event in events:
                    yield None
        except (SubscriptionLost, TimeoutError):  # it is listened to anew; what it said meanwhile is not said again
            await asyncio.sleep(LISTEN_AGAIN_S)
            yield None
        except (ListenNotSupportedError, MCPError):
            return
        else:
            return


def is_tools_changed(message: object) -> bool:
    """Tell whether what came unasked is a server's word (before 2026) that its tools have changed."""
    return isinstance(message, types.ToolListChangedNotification)


def away(error: BaseException, server: McpServer, status: int | None) -> ServerAway:
    """Return why there is no session, in words for the operator: no secrets, and what can be done about it."""
    if status in (401, 403):
        names = ", ".join(server.secrets)
        return ServerAway(
            f"refuses us: HTTP {status}",
            f"correct the secret {names}" if names else "give it authorization, the name of a secret",
            passing=False,
        )
    if status is not None:
        lasting = status in REFUSED and status != 429
        return ServerAway(f"answers HTTP {status}", "correct its address, or look at the server", passing=not lasting)
    found = next(_leaves(error), error)
    start = "start it, or correct its address" if server.command is None else "correct command and args"
    if isinstance(found, FileNotFoundError | PermissionError | NotADirectoryError) and server.command is not None:
        return ServerAway(f"can't be started ({found.strerror}: {server.command})", start, passing=False)
    if isinstance(found, MCPError):
        ended = found.code == types.CONNECTION_CLOSED
        return ServerAway("ends the connection" if ended else f"answers {found.code}", start)
    if isinstance(found, httpx2.ConnectError):
        return ServerAway("can't be reached", start)
    return ServerAway(f"can't be spoken with ({type(found).__name__})", start)


def _listed(tool: types.Tool) -> Listed:
    hints = tool.annotations or types.ToolAnnotations()
    return Listed(
        name=tool.name,
        description=tool.description or tool.title or hints.title or "",
        schema=tool.input_schema,
        read_only=hints.read_only_hint is True,
        idempotent=hints.idempotent_hint is True,
    )


def _transport(server: McpServer, secrets: Mapping[str, str], http: httpx2.AsyncClient) -> Any:
    if server.command is not None:
        program = StdioServerParameters(
            command=server.command, args=list(server.args), env=server.variables(secrets), cwd=server.cwd
        )
        return stdio_client(program, errlog=_errors())
    return streamable_http_client(server.url or "", http_client=http, max_sse_event_size=MOST_BYTES)


@functools.cache
def _errors() -> TextIO:
    """Where what a program says on stderr goes: to our own, as the system has it."""
    return sys.__stderr__ or open(os.devnull, "w")


def _http(server: McpServer, secrets: Mapping[str, str], refusals: _Refusals) -> httpx2.AsyncClient:
    """A client whose own time-outs never come before a tool's: one that does ends the session for all its calls."""
    return httpx2.AsyncClient(
        headers=server.request_headers(secrets) if server.url is not None else {},
        verify=tls(),
        timeout=httpx2.Timeout(connect=OPEN_S, read=None, write=OPEN_S, pool=None),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20),
        event_hooks={"response": [refusals.note]},
    )


class _Refusals:
    """HTTP answers of 400 and above, which the SDK keeps to itself."""

    def __init__(self) -> None:
        self.last: int | None = None
        self._by_call: dict[str, int] = {}

    def of(self, call: str) -> int | None:
        """The status that a call was refused with."""
        return self._by_call.pop(call, None)

    async def note(self, response: httpx2.Response) -> None:
        """Look at an answer before it is read."""
        if response.headers.get("content-type", "").startswith("application/json"):
            response.stream = _Bounded(response.stream)
        self.last = response.status_code if response.status_code >= 400 else None
        if self.last is None or not response.request.content:
            return
        try:
            key = json.loads(response.request.content)["params"]["_meta"][CALL_KEY]
        except (ValueError, KeyError, TypeError):
            return
        self._by_call[str(key)] = response.status_code


class _Bounded(httpx2.AsyncByteStream):
    """An answer that is not read past `MOST_BYTES`."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > MOST_BYTES:
                raise httpx2.StreamError("the answer is too large")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error
