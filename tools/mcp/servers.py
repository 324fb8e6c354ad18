"""The MCP servers of a worker, in a thread with a loop of its own: what they send is read beside the calls' audio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from tools.define.spec import ToolSpec
from tools.errors import ToolUnavailable
from tools.mcp.asking import Ask, Listed, Run
from tools.mcp.job import alone
from tools.mcp.owner import Owner
from tools.mcp.server import McpServer
from tools.mcp.specs import Offered, offered_by

__all__ = ["McpServers"]

log = structlog.get_logger(__name__)

STOP_S = 4.0
MANY = 100
"""Tools that are a function each fill a model's context, and past some 120 no provider takes them."""


@dataclass(slots=True)
class _Standing:
    """How one server stands. heard: it has been spoken with, or found away, once."""

    owner: Owner
    words: str = "not asked yet"
    up: bool = False
    specs: list[ToolSpec] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)


class McpServers:
    """Belongs to the event loop that opens it. A server that is away keeps nobody waiting."""

    def __init__(
        self,
        servers: Iterable[McpServer],
        secrets: Mapping[str, str],
        changed: Callable[[], None],
        direct: Callable[[McpServer], bool] = lambda server: False,
    ) -> None:
        """changed: called on the loop whenever `specs` gives something else.

        direct: whether each tool of a server is a function of its own for some agent.
        """
        self._servers = tuple(servers)
        self._secrets = dict(secrets)
        self._changed = changed
        self._direct = direct
        self._standing: dict[str, _Standing] = {}
        self._home = asyncio.get_running_loop()
        self._loop = asyncio.SelectorEventLoop()  # which can start programs from a thread
        self._tasks: list[asyncio.Task[None]] = []
        self._thread: threading.Thread | None = None
        self._closed = False

    async def open(self, wait_s: float) -> None:
        """Begin to speak with all servers; wait until each has answered or was found away, at most `wait_s`."""
        self._thread = threading.Thread(target=self._live, name="mcp", daemon=True)
        for server in self._servers:
            owner = Owner(server, self._secrets, self._hears(server), self._stands(server))
            self._standing[server.label] = _Standing(owner)
        self._thread.start()
        waiting = [asyncio.create_task(one.heard.wait()) for one in self._standing.values()]
        if waiting:
            await asyncio.wait(waiting, timeout=wait_s)
        for task in waiting:
            task.cancel()

    async def aclose(self) -> None:
        """End the sessions, and the thread. Nothing is told of any more."""
        if self._thread is None or self._closed:
            return
        self._closed = True
        self._loop.call_soon_threadsafe(self._end)
        await asyncio.to_thread(self._thread.join, STOP_S)
        if self._thread.is_alive():
            log.error("mcp_not_ended", after_s=STOP_S)

    def specs(self, labels: Iterable[str]) -> list[ToolSpec]:
        """Return the tools of these servers, as far as they are known."""
        return [spec for label in labels if label in self._standing for spec in self._standing[label].specs]

    def standing(self) -> Mapping[str, tuple[bool, str]]:
        """Return by label whether a server answers, and how it stands in a few words."""
        return {label: (one.up, one.words) for label, one in self._standing.items()}

    async def run(self, server: McpServer, ask: Ask) -> Any:
        """Run a quick call in the server's own session: a `Run`."""
        if self._closed:
            raise ToolUnavailable(f"mcp {server.label}: the worker has let go of its sessions")
        owner = self._standing[server.label].owner
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(owner.call(ask), self._loop))

    # --- in the thread ------------------------------------------------------------------------------------------------

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._all())
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _all(self) -> None:
        self._tasks = [asyncio.create_task(one.owner.run()) for one in self._standing.values()]
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _end(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _post(self, function: Callable[..., None], *arguments: Any) -> None:
        if not self._home.is_closed():
            self._home.call_soon_threadsafe(function, *arguments)

    def _hears(self, server: McpServer) -> Callable[[list[Listed]], None]:
        def hears(listed: list[Listed]) -> None:
            offered = offered_by(server, listed, runner(server, self._secrets, self.run))
            tell_offered(server, offered, direct=self._direct(server))
            self._post(self._take, server.label, offered.specs)

        return hears

    def _stands(self, server: McpServer) -> Callable[[str, bool], None]:
        return lambda words, up: self._post(self._note, server.label, words, up)

    # --- on the loop --------------------------------------------------------------------------------------------------

    def _note(self, label: str, words: str, up: bool) -> None:
        standing = self._standing[label]
        standing.words, standing.up = words, up
        if not up:
            standing.heard.set()

    def _take(self, label: str, specs: list[ToolSpec]) -> None:
        standing = self._standing[label]
        standing.specs = specs
        standing.heard.set()
        if not self._closed:
            self._changed()


def runner(server: McpServer, secrets: Mapping[str, str], kept: Run) -> Run:
    """Return what runs a server's calls in this process: inline ones in the session that is kept open."""
    lonely = alone(secrets)

    def run(server: McpServer, ask: Ask) -> Coroutine[Any, Any, Any]:
        way: Any = kept if server.options(ask.tool).mode == "inline" else lonely
        found: Coroutine[Any, Any, Any] = way(server, ask)
        return found

    return run


def tell_offered(server: McpServer, offered: Offered, *, direct: bool = False) -> None:
    """Write for the operator what of a server's offer is no tool of ours, and that there is much of it."""
    for line in offered.left_out[:10]:
        log.warning("mcp_tool_left_out", server=server.label, why=line)
    if len(offered.left_out) > 10:
        log.warning("mcp_tools_left_out", server=server.label, more=len(offered.left_out) - 10)
    if direct and len(offered.specs) > MANY:
        mend = "choose with allowed_tools, or set tools.exposure to auto"
        log.warning("mcp_many_tools", server=server.label, tools=len(offered.specs), mend=mend)
