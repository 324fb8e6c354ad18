"""The tools of a worker: both ways to run them, the agents' catalogs, and the watch over the queue."""

from __future__ import annotations

from collections.abc import Mapping

from tools.queue.backlog import Judged
from tools.queue.queued import QueuedRunner
from tools.run.catalog import Catalog
from tools.run.inline import InlineRunner
from worker.call.session import Services
from worker.call_tools.durations import UsualTimes
from worker.realtime.provider import Provider
from worker.records.metrics import Metrics
from worker.service.loaded import Catalogs, Loaded, ToolsKey, make_catalogs
from worker.service.queue_watch import FINE, QueueWatch
from worker.settings.settings import Settings

__all__ = ["Tooling"]


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

    async def open(self, redis_url: str | None) -> None:
        """Make the catalogs on a queue; redis_url: that of the embedded Redis."""
        self.queue = QueuedRunner(self._settings.queue_settings(redis_url))
        self._catalogs = make_catalogs(self._loaded, self._inline, self.queue)
        self.watch = QueueWatch(
            self.queue,
            self._may_queue(),
            self._settings.backlog(),
            self._usual,
            self._metrics,
            in_use=lambda: any(catalog.queues() for catalog in self._catalogs.values()),
        )

    def use(self, loaded: Loaded) -> None:
        """Take other tools, for the calls to come. Raises what `make_catalogs` raises; then nothing is changed."""
        assert self.queue is not None and self.watch is not None
        catalogs = make_catalogs(loaded, self._inline, self.queue)
        self._replaced += self._catalogs.values()
        self._loaded, self._catalogs = loaded, catalogs
        self.watch.tools = self._may_queue()

    def _may_queue(self) -> tuple[str, ...]:
        names = (name for catalog in self._catalogs.values() for name in catalog.may_queue())
        return tuple(dict.fromkeys(names))

    async def close(self) -> None:
        """Write down what outlived its call, and let go of the queue. Jobs go on."""
        for catalog in (*self._replaced, *self._catalogs.values()):
            await catalog.aclose()
        if self.queue is not None:
            await self.queue.aclose()
        await self._inline.aclose()

    def services(self, provider: Provider) -> Mapping[ToolsKey, Services]:
        """Return what calls share, by the tools of their agent."""
        later, prices = self._settings.later_ways(), self._settings.price_table()
        return {
            key: Services(catalog, self._metrics, provider, usual=self._usual, later=later, prices=prices)
            for key, catalog in self._catalogs.items()
        }

    def judged(self) -> Judged:
        """How long a tool call would wait at the moment."""
        return self.watch.judged if self.watch is not None else FINE

    def redis_up(self) -> bool:
        """Whether Redis was there when it was looked at last."""
        return self.watch is None or self.watch.up
