"""Keeps the promises of this process' calls in Redis for as long as the calls are on. For the event loop.

See store/promises.py for what a promise is, and who acts on it where this process has died.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

import structlog

from tools.errors import QueueUnavailable
from tools.queue.queued import QueuedRunner
from tools.queue.store import promises as store
from tools.queue.store.late import Orphan

log = structlog.get_logger(__name__)

LEASE_S = 30.0
"""So long after its process died is a call taken for over. Longer than a Redis takes to come back."""
RENEW_S = 5.0


class Promises:
    """The promises of this process' calls."""

    def __init__(self, queued: QueuedRunner) -> None:
        """Begin with none."""
        self._queued = queued
        self._open: dict[str, bool] = {}
        """By job: whether it is to be forgotten."""
        self._task: asyncio.Task[None] | None = None

    async def make(self, orphan: Orphan) -> None:
        """Promise it, durably. Raises `QueueUnavailable`; then there is none, or will be none as soon as can be."""
        self._open[orphan.job_id] = False  # before it is written: the call may end meanwhile
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep(), name="tool-promises")
        try:
            await self._queued.ask(store.make, orphan, time.time() + LEASE_S)
        except QueueUnavailable:
            if orphan.job_id in self._open:
                self._open[orphan.job_id] = True  # it may be there for all that
            raise

    async def forget(self, job_id: str) -> None:
        """The promise is kept, or has become the mark of a hang-up. Where Redis is away that is done later."""
        if job_id in self._open:
            self._open[job_id] = True
            await self._forget(job_id)

    def let_lapse(self, job_id: str) -> None:
        """The call is over and could not be marked so: somebody else will do it when the time has run out."""
        self._open.pop(job_id, None)

    async def aclose(self) -> None:
        """Keep no more."""
        for job_id in [job_id for job_id, over in self._open.items() if over]:
            await self._forget(job_id)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _forget(self, job_id: str) -> None:
        with contextlib.suppress(QueueUnavailable):
            await self._queued.ask(store.forget, job_id)
            self._open.pop(job_id, None)

    async def _keep(self) -> None:
        """Until there is none left."""
        while self._open:
            await asyncio.sleep(RENEW_S)
            for job_id, over in tuple(self._open.items()):
                if over:
                    await self._forget(job_id)
                    continue
                try:
                    await self._queued.ask(store.put_off, job_id, time.time() + LEASE_S)
                except QueueUnavailable as error:
                    log.warning("promise_not_put_off", job_id=job_id, reason=str(error))
