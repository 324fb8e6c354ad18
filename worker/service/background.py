"""The tasks that a worker runs beside its calls: one that ends is a fault, and all of them end with the worker."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from worker.tasks import end_tasks

__all__ = ["Background"]

log = structlog.get_logger(__name__)


class Background:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def run(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run this until the worker stops. name: for the log."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        task.add_done_callback(_tell)
        self._tasks.append(task)

    def healthy(self) -> bool:
        """Whether all of them still run."""
        return not any(task.done() for task in self._tasks)

    async def stop(self) -> None:
        """End them; one that does not end is told and left."""
        for task in await end_tasks(self._tasks):
            log.error("task_not_ended", task=task.get_name())
        self._tasks.clear()


def _tell(task: asyncio.Task[None]) -> None:
    """Nobody awaits them: what ends one of them would be told by nobody."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("task_broke", task=task.get_name(), exc_info=error)
