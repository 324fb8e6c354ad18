"""A worker's background tasks: they end, and one that ends by itself is told."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tools.queue.backlog import Backlog
from tools.queue.queued import QueuedRunner, QueueSettings
from worker.call_tools.durations import UsualTimes
from worker.embedded.children import Child
from worker.embedded.services import redis_program, redis_spec
from worker.records.metrics import Metrics
from worker.service.background import Background
from worker.service.queue_watch import QueueWatch


async def test_a_task_that_ends_is_a_fault_and_told_with_its_reason() -> None:
    async def breaks() -> None:
        raise RuntimeError("a bug of ours")

    background = Background()
    background.run("watch", asyncio.sleep(60))
    assert background.healthy()
    with capture_logs() as lines:
        background.run("pacer", breaks())
        await asyncio.sleep(0.01)
    assert not background.healthy()
    assert [(line["event"], line["task"]) for line in lines] == [("task_broke", "pacer")]
    await background.stop()


async def test_a_task_that_does_not_end_is_told_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stubborn() -> None:
        while not enough:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue

    enough: list[int] = []
    monkeypatch.setattr("worker.tasks.end_tasks.__defaults__", (0.05,))
    background = Background()
    background.run("stubborn", stubborn())
    await asyncio.sleep(0)
    with capture_logs() as lines:
        await background.stop()
    assert [(line["event"], line["task"]) for line in lines] == [("task_not_ended", "stubborn")]
    enough.append(1)


async def test_the_queues_watch_ends_whenever_it_is_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Redis client swallows a cancel that meets an answer: in most cases where it comes at once."""
    monkeypatch.setattr("worker.tasks.AGAIN_S", 0.02)
    child = Child(redis_spec(redis_program(), tmp_path, {}), sink=lambda name, line: None)
    await child.start()
    url = f"unix://{tmp_path / 'redis.sock'}"
    try:
        with Redis.from_url(url) as client:
            client.ping()
        for _ in range(40):
            queue = QueuedRunner(QueueSettings(url=url))
            watch = QueueWatch(queue, (), Backlog(), UsualTimes(), Metrics())
            background = Background()
            background.run("queue watch", watch.run())
            await asyncio.sleep(random.uniform(0, 0.003))
            with capture_logs() as lines:
                await background.stop()
            assert lines == []
            await queue.aclose()
    finally:
        await child.stop()
