"""The tools of a worker: both ways to run them, the agents' catalogs, and the watch over the queue."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import structlog

from tools.errors import ToolDefinitionError
from tools.mcp.server import McpServer
from tools.queue.backlog import Judged
from tools.queue.queued import QueuedRunner
from tools.run.catalog import Catalog
from tools.run.inline import InlineRunner
from tools.traces.opening import open_exporter
from worker.call.remote_servers import remote_servers
from worker.call.session import Services
from worker.call_tools.durations import UsualTimes
from worker.realtime.provider import Provider
from worker.records.metrics import Metrics
from worker.records.tracing import Tracing
from worker.service.loaded import Catalogs, Loaded, ToolsKey, make_catalogs
from worker.service.queue_watch import FINE, QueueWatch
from worker.settings.settings import Settings

if TYPE_CHECKING:
    from tools.mcp.servers import McpServers
    from tools.traces.otlp import Exporter

__all__ = ["Tooling"]

log = structlog.get_logger(__name__)

MCP_S = 5.0
"""So long a start waits for MCP servers: the first caller should find their tools, and no server holds it up."""
SERVICE = "offhook"
"""What a worker is called in traces, where OTEL_SERVICE_NAME does not say so."""
WATCHED = 16
"""Remote tools that have not run yet, and whose usual times are looked for all the same."""


class Tooling:
    """Belongs to one event loop."""

    def __init__(self, settings: Settings, loaded: Loaded, metrics: Metrics) -> None:
        """Take the parts; nothing is connected to before `open`."""
        self.queue: QueuedRunner | None = None
        self.watch: QueueWatch | None = None
        self._settings = settings
        self._loaded = loaded
        self._metrics = metrics
        self._inline = InlineRunner()
        self._usual = UsualTimes()
        self._catalogs: Catalogs = {}
        self._replaced: list[Catalog] = []
        """Of tools that were read again since: calls in progress have them."""
        self._mcp: McpServers | None = None
        self._exporter: Exporter | None = None

    async def open(self, redis_url: str | None) -> None:
        """Make the catalogs on a queue; redis_url: that of the embedded Redis."""
        if self._settings.traces():
            self._exporter = await asyncio.to_thread(open_exporter, SERVICE)
        self.queue = QueuedRunner(self._settings.queue_settings(redis_url))
        catalogs = self._catalogs = make_catalogs(self._loaded, self._inline, self.queue)
        self.watch = QueueWatch(
            self.queue,
            _Watched(catalogs, self._usual),
            self._settings.backlog(),
            self._usual,
            self._metrics,
            in_use=lambda: any(catalog.queues() for catalog in catalogs.values()),
        )
        await self._open_mcp()

    async def _open_mcp(self) -> None:
        """Begin to speak with MCP servers, where the agent file names any: nobody else pays for the SDK."""
        servers, direct = _servers_of(self._loaded)
        if not servers:
            return
        made = await asyncio.to_thread(_mcp_servers)  # 0.8 s of imports

        def is_direct(server: McpServer) -> bool:
            return server.label in direct

        self._mcp = made(servers.values(), self._loaded.secrets, self._offer_remote, is_direct)
        await self._mcp.open(MCP_S)

    def _offer_remote(self) -> None:
        """Have every catalog offer what its agents' servers do."""
        if self._mcp is None:  # between two readings of the agent file
            return
        for (modules, labels, _most_s), catalog in self._catalogs.items():
            if not labels:
                continue
            try:
                catalog.replace([*self._loaded.tools[modules], *self._mcp.specs(labels)])
            except ToolDefinitionError as error:
                log.error("mcp_tools_not_offered", servers=labels, reason=str(error))

    async def use(self, loaded: Loaded) -> None:
        """Take other tools, for the calls to come. Raises what `make_catalogs` raises; then nothing is changed."""
        assert self.queue is not None
        catalogs = make_catalogs(loaded, self._inline, self.queue)
        self._replaced += self._catalogs.values()
        before, self._loaded = self._loaded, loaded
        self._catalogs.clear()
        self._catalogs.update(catalogs)
        if _servers_of(before) != _servers_of(loaded):
            mcp, self._mcp = self._mcp, None
            if mcp is not None:
                await mcp.aclose()
            await self._open_mcp()
        elif self._mcp is not None:
            self._offer_remote()

    def mcp(self) -> Mapping[str, tuple[bool, str]]:
        """Return by label whether an MCP server answers, and how it stands in a few words."""
        return {} if self._mcp is None else self._mcp.standing()

    async def close(self) -> None:
        """Write down what outlived its call, and let go of the queue. Jobs go on."""
        if self._mcp is not None:
            await self._mcp.aclose()
        for catalog in (*self._replaced, *self._catalogs.values()):
            await catalog.aclose()
        if self.queue is not None:
            await self.queue.aclose()
        await self._inline.aclose()
        if self._exporter is not None:
            await asyncio.to_thread(self._exporter.close)

    def services(self, provider: Provider) -> Mapping[ToolsKey, Services]:
        """Return what calls share, by the tools of their agent."""
        settings = self._settings
        later, told, prices = settings.later_ways(), settings.told(), settings.price_table()
        tracing = None if self._exporter is None else Tracing(self._exporter)
        remote = remote_servers(self._loaded.agents.mcp_servers(), self._loaded.secrets)
        return {
            key: Services(
                catalog,
                self._metrics,
                provider,
                usual=self._usual,
                later=later,
                recordings=settings.recordings is not None,
                told=told,
                tracing=tracing,
                prices=prices,
                remote=remote,
            )
            for key, catalog in self._catalogs.items()
        }

    def judged(self) -> Judged:
        """How long a tool call would wait at the moment."""
        return self.watch.judged if self.watch is not None else FINE

    def redis_up(self) -> bool:
        """Whether Redis was there when it was looked at last."""
        return self.watch is None or self.watch.up


class _Watched:
    """The tools that may be queued, as they stand: of the remote ones those that have run here, and some more."""

    def __init__(self, catalogs: Catalogs, usual: UsualTimes) -> None:
        self._catalogs = catalogs
        self._usual = usual

    def __iter__(self) -> Iterator[str]:
        found = {name: catalog.spec(name) for catalog in self._catalogs.values() for name in catalog.may_queue()}
        remote = [name for name, spec in found.items() if spec is not None and spec.remote is not None]
        left_out = set(remote[WATCHED:]) - set(self._usual.tools())
        return (name for name in found if name not in left_out)


def _servers_of(loaded: Loaded) -> tuple[dict[str, McpServer], set[str]]:
    """The MCP servers whose tools we run, by label, and the labels of those whose tools are functions of their own."""
    agents = tuple(loaded.agents.agents())
    servers = {server.label: server for agent in agents for server in agent.mcp_run_by("offhook")}
    return servers, {s.label for a in agents if a.tools.exposure == "direct" for s in a.mcp_run_by("offhook")}


def _mcp_servers() -> type[McpServers]:
    from tools.mcp.servers import McpServers

    return McpServers
