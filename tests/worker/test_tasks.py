"""Background tasks that are to end, some of which don't want to."""

from __future__ import annotations

import asyncio
import contextlib

from worker.tasks import end_tasks


async def swallow(cancels: list[int], times: int) -> None:
    """Go on as if nobody had asked, so many times."""
    while len(cancels) < times:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        cancels.append(1)
    await asyncio.sleep(60)


async def begin(*coroutines: object) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(one) for one in coroutines]  # type: ignore[arg-type]
    await asyncio.sleep(0)
    return tasks


async def test_a_task_that_swallows_a_cancel_is_asked_again() -> None:
    cancels: list[int] = []
    tasks = await begin(swallow(cancels, 2), asyncio.sleep(60))
    assert await end_tasks(tasks) == set()
    assert len(cancels) == 2 and all(task.cancelled() for task in tasks)


async def test_one_that_never_ends_is_given_back_when_the_time_is_up() -> None:
    cancels: list[int] = []
    (task,) = await begin(swallow(cancels, 10**6))
    assert await end_tasks([task], 0.05) == {task} and not task.done()
    cancels.extend([1] * 10**6)
    assert await end_tasks([task]) == set()


async def test_what_a_task_does_at_its_end_is_not_cut_short() -> None:
    done: list[str] = []

    async def careful() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.3)
            done.append("cleaned up")

    assert await end_tasks(await begin(careful())) == set() and done == ["cleaned up"]


async def test_what_a_task_raises_at_its_end_is_its_own() -> None:
    async def breaks() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise ValueError("at the end")

    (task,) = await begin(breaks())
    assert await end_tasks([task]) == set() and isinstance(task.exception(), ValueError)
    assert await end_tasks([task]) == set() and await end_tasks([]) == set()
