"""The tools of a worker: both ways to run them, the agents' catalogs, and the watch over the queue."""

from __future__ import annotations

from collections.abc import Mapping

from tools.queue.backlog import Judged
from tools.queue.queued import QueuedRunner
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

    async def open(self, redis_url: str | None) -> None:
        """Make the catalogs on a queue; redis_url: that of the embedded Redis."""
        self.queue = QueuedRunner(self._settings.queue_settings(redis_url))
        catalogs = self._catalogs = make_catalogs(self._loaded, self._inline, self.queue)
        self.watch = QueueWatch(
            self.queue,
            dict.fromkeys(name for catalog in catalogs.values() for name in catalog.may_queue()),
            self._settings.backlog(),
            self._usual,
            self._metrics,
            in_use=lambda: any(catalog.queues() for catalog in catalogs.values()),
        )

    async def close(self) -> None:
        """Write down what outlived its call, and let go of the queue. Jobs go on."""
        for catalog in self._catalogs.values():
            await catalog.aclose()
        if self.queue is not None:
            await self.queue.aclose()
        await self._inline.aclose()

    def services(self, provider: Provider) -> Mapping[ToolsKey, Services]:
        """Return what calls share, by the tools of their agent."""
        later, told = self._settings.later_ways(), self._settings.told()
        return {
            key: Services(catalog, self._metrics, provider, usual=self._usual, later=later, told=told)
            for key, catalog in self._catalogs.items()
        }

    def judged(self) -> Judged:
        """How long a tool call would wait at the moment."""
        return self.watch.judged if self.watch is not None else FINE

    def redis_up(self) -> bool:
        """Whether Redis was there when it was looked at last."""
        return self.watch is None or self.watch.up
