"""Starting and stopping as one contract: steps in order, and what was begun is undone in the reverse order.

**A step is undone as soon as it has begun**, whether it came to its end, failed or was cancelled half way: `undo` has
to bear that. It happens once, each within its bound, and one that fails or hangs keeps no other from being undone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from worker.tasks import end_tasks

__all__ = ["Lifecycle", "Step"]

log = structlog.get_logger(__name__)

LEFT_S = 0.5
"""For a hanging undo to take its cancel."""


async def nothing() -> None:
    """Where there is nothing to undo."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is brought up.

    name: for the log; the operator reads it where the step fails or hangs. undo_s: how long its undoing may take.
    """

    name: str
    do: Callable[[], Coroutine[Any, Any, object]]
    undo: Callable[[], Coroutine[Any, Any, object]] = nothing
    undo_s: float = 5.0


class Lifecycle:
    """Steps that are done one after the other. Belongs to one event loop."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = tuple(steps)
        self._begun: list[Step] = []
        self._stopping = False
        self.at = ""
        """The step that is being done or undone; empty between start and stop."""

    async def start(self) -> None:
        """Do the steps. What one raises is raised here, a cancel too, once those that had begun are undone."""
        try:
            for step in self._steps:
                if self._stopping:
                    raise asyncio.CancelledError  # stopped from beside, and a step has swallowed its cancel
                self.at = step.name
                log.debug("starting", step=step.name)
                self._begun.append(step)
                await step.do()
            self.at = ""
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Undo whatever has begun. May be called at any time, and again."""
        self._stopping = True
        while self._begun:
            step = self._begun.pop()
            self.at = step.name
            log.debug("stopping", step=step.name)
            await self._undo(step)
        self.at = ""

    @staticmethod
    async def _undo(step: Step) -> None:
        undoing = asyncio.create_task(step.undo(), name=f"undo {step.name}")
        try:
            await asyncio.wait({undoing}, timeout=step.undo_s)
        except BaseException:
            undoing.cancel()
            raise
        if not undoing.done():
            log.error("step_not_undone", step=step.name, after_s=step.undo_s)
            await end_tasks({undoing}, LEFT_S)
        elif not undoing.cancelled() and (error := undoing.exception()) is not None:
            log.error("step_not_undone", step=step.name, exc_info=error)
