"""Ends background tasks for certain: a cancel that is swallowed is said again, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

__all__ = ["end_tasks", "first_of"]

AGAIN_S = 1.0
"""Between two cancels: what a task does at its end may take its time."""
BOUND_S = 5.0


async def end_tasks(tasks: Iterable[asyncio.Task[Any]], bound_s: float = BOUND_S) -> set[asyncio.Task[Any]]:
    """Cancel tasks until they have ended, at most `bound_s` long; returns those that have not.

    Once is not enough: Python 3.11's `asyncio.wait_for`, which the Redis client awaits at each command, returns what
    it waited for where the cancel comes in the same turn of the loop, and the task goes on as if nobody had asked.
    What a task raises in the end is its own matter and not raised here.
    """
    loop = asyncio.get_running_loop()
    going = {task for task in tasks if not task.done()}
    give_up = loop.time() + bound_s
    while going:
        for task in going:
            task.cancel()
        _, going = await asyncio.wait(going, timeout=max(0.0, min(AGAIN_S, give_up - loop.time())))
        if loop.time() >= give_up:
            break
    return going


async def first_of(timeout_s: float, *events: asyncio.Event) -> None:
    """Wait for the first of some events, at most so long."""
    tasks = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
