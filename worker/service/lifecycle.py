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
    """Steps that are done one after the other, once. Belongs to one event loop."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = tuple(steps)
        self._begun: list[Step] = []
        self._doing: asyncio.Task[None] | None = None
        self._undoing: asyncio.Task[None] | None = None
        self.at = ""
        """The step that is being done or undone; empty before, between and after."""

    async def start(self) -> None:
        """Do the steps. What one raises is raised here, once those that had begun are undone; so is a cancel.

        A `stop` from beside ends it as a cancel does.
        """
        doing = self._doing = asyncio.create_task(self._do(), name="start")
        try:
            await asyncio.wait({doing})
            doing.result()
            if self._undoing is not None:
                raise asyncio.CancelledError
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Undo whatever has begun, a start in progress too. May be called at any time, and again.

        It goes on where whoever waits for it is cancelled.
        """
        if self._undoing is None:
            self._undoing = asyncio.create_task(self._undo_all(), name="stop")
        await asyncio.wait({self._undoing})

    async def _do(self) -> None:
        for step in self._steps:
            if self._undoing is not None:  # the step before has swallowed its cancel
                return
            self.at = step.name
            log.debug("starting", step=step.name)
            self._begun.append(step)
            await step.do()
        self.at = ""

    async def _undo_all(self) -> None:
        if self._doing is not None and await end_tasks({self._doing}):
            log.error("step_not_cancelled", step=self.at)
        while self._begun:
            step = self._begun.pop()
            self.at = step.name
            log.debug("stopping", step=step.name)
            await _undo(step)
        self.at = ""


async def _undo(step: Step) -> None:
    undoing = asyncio.create_task(step.undo(), name=f"undo {step.name}")
    await asyncio.wait({undoing}, timeout=step.undo_s)
    if not undoing.done():
        log.error("step_not_undone", step=step.name, after_s=step.undo_s)
        await end_tasks({undoing}, LEFT_S)
    elif not undoing.cancelled() and (error := undoing.exception()) is not None:
        log.error("step_not_undone", step=step.name, exc_info=error)
