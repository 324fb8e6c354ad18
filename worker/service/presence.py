"""Says in Redis where this worker's HTTP endpoint is, so that `offhook calls` finds all workers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
import uuid
from urllib.parse import urlsplit

import structlog

from tools.errors import QueueUnavailable
from tools.queue.queued import QueuedRunner
from tools.queue.store import workers as store
from tools.queue.store.workers import Known

__all__ = ["Presence", "own_name", "reached_at"]

log = structlog.get_logger(__name__)

RENEW_S = 5.0


class Presence:
    """One worker's entry; `run` renews it until cancelled, and takes it out then."""

    def __init__(self, queue: QueuedRunner, http: str, name: str = "") -> None:
        """http: the endpoint's URL, as other machines reach it. name: as of `own_name`; one is made otherwise."""
        self.known = Known(name=name or own_name(), http=http, since=time.time())
        self._queue = queue

    async def run(self) -> None:
        """Renew it every few seconds; where Redis is away, it comes back with Redis."""
        try:
            while True:
                with contextlib.suppress(QueueUnavailable):
                    await self._queue.ask(store.note, self.known)
                await asyncio.sleep(RENEW_S)
        finally:
            with contextlib.suppress(QueueUnavailable, TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._queue.ask(store.forget, self.known.name)


def own_name() -> str:
    """Return a name that no other worker has."""
    return f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"


def reached_at(host: str, port: int, redis_url: str) -> str:
    """The URL that an endpoint listening on `host` has for others: its own address on the way to Redis for 0.0.0.0."""
    if host in ("0.0.0.0", "::"):
        target = urlsplit(redis_url).netloc.rpartition("@")[2].partition(",")[0].partition(":")[0]
        host = "127.0.0.1"
        with (
            contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe,
            contextlib.suppress(OSError),
        ):
            if target:
                probe.connect((target, 6379))  # sends nothing: only the route is looked up
                host = probe.getsockname()[0]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
