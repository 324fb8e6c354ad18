"""Whatever we or RQ write to Redis ends by itself: keys are counted after a hundred calls that ended in every way."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis import Redis
from redis.client import Pipeline
from rq.job import JobStatus
from rq.serializers import JSONSerializer

from tests.tools import conftest
from tools import rig
from tools.queue import names
from tools.queue.job import QueueJob
from tools.queue.queued import QueuedRunner
from tools.run.catalog import Catalog, load_tools
from tools.run.inline import InlineRunner
from tools.tool_call.request import ToolRequest

SPECS = load_tools([str(conftest.SHOP)])
LONGEST_S = names.SHARED_TTL_S


@pytest.fixture
async def catalog(runner: QueuedRunner) -> AsyncIterator[Catalog]:
    found = Catalog(SPECS, inline=InlineRunner(), queued=runner, secrets={"SHOP_KEY": "x"}, paged=True)
    yield found
    await found.aclose()


def without_lifetime(redis: Redis) -> list[str]:
    keys: list[bytes] = redis.keys("*")
    return [key.decode() for key in keys if redis.ttl(key) == -1]


def over_long(redis: Redis) -> list[str]:
    keys: list[bytes] = redis.keys("*")
    return [key.decode() for key in keys if redis.ttl(key) > LONGEST_S]


CALLS: dict[str, tuple[str, dict[str, object]]] = {
    "returned": ("add", {"left": 1, "right": 2}),
    "chain": ("dispatch", {"number": "7"}),
    "chain that fails": ("dispatch", {"number": "0"}),
    "raised": ("leaky", {}),
    "left": ("leave", {}),
    "died": ("vanish", {}),
    "tried again": ("flaky", {"good_at": 2, "name": "flaky-{n}"}),
    "tried in vain": ("flaky", {"good_at": 9, "name": "vain-{n}"}),
    "cached": ("price", {"article": "a"}),
    "with pages": ("huge", {"size": 300_000}),
    "progress": ("steps", {}),
    "timed out": ("pay", {"seconds": 9}),
    "told": ("report", {"seconds": 0.3}),
    "goes on": ("keeps_on", {"seconds": 0.3}),
    "stopped": ("slow", {"seconds": 9}),
}
WAYS = [*CALLS, "cancelled in the queue", "hung up in the queue", "hung up", "promised", "cancelled in a pause"]


async def one(catalog: Catalog, number: int, way: str) -> None:
    call_id = f"call{number}"
    tool, arguments = CALLS.get(way, ("slow", {"seconds": 9}))
    if way == "promised":
        tool, arguments = "report", {"seconds": 1}
    if way == "cancelled in a pause":
        tool, arguments = "dies_first", {}
    text = json.dumps(arguments).replace("{n}", str(number))
    request = ToolRequest(call_id=call_id, tool_call_id="t", name=tool, arguments=text)
    queued = asyncio.Event()
    task = asyncio.create_task(catalog.run(request, on_started=lambda _request, _job: queued.set()))
    await queued.wait()
    if way == "cancelled in the queue":
        await catalog.cancel(call_id, "t")
    elif way == "hung up in the queue":
        await catalog.hang_up(call_id)
    elif way == "promised":
        await catalog.promise(call_id, "t", names.CALL_BACK)
        await catalog.hang_up(call_id)
    elif way in ("hung up", "stopped", "told", "goes on", "cancelled in a pause"):
        await asyncio.sleep(0.7)
        await (catalog.cancel(call_id, "t") if way in ("stopped", "cancelled in a pause") else catalog.hang_up(call_id))
    await task
    await catalog.hang_up(call_id)


@pytest.mark.timeout(150)
async def test_no_key_is_for_ever_after_a_hundred_calls(workers, redis_server, catalog, receiver) -> None:
    redis = redis_server.client
    settings = receiver.settings()
    processes = [workers.start(notify=settings) for _ in range(3)]
    ways = [way for way in WAYS for _ in range(5)]
    random.Random(7).shuffle(ways)
    assert len(ways) == 100
    for start in range(0, len(ways), 20):
        await asyncio.gather(*(one(catalog, start + n, way) for n, way in enumerate(ways[start : start + 20])))
    # Some wait for a tool worker that is no more.
    for process in processes[1:]:
        os.kill(process.pid, signal.SIGTERM)
    workers.kill_with_horse(processes[0])
    for process in processes[1:]:
        await asyncio.to_thread(process.wait)
    tasks = [asyncio.create_task(one(catalog, 200 + n, "returned")) for n in range(3)]
    await asyncio.to_thread(rig.wait_until, lambda: redis.llen(names.queue_key(names.QUEUE)) >= 3, "the jobs")
    assert without_lifetime(redis) == []
    assert over_long(redis) == []
    statuses = Counter(redis.hget(key, "status") for key in redis.keys("rq:job:*") if key.count(b":") == 2)
    assert {b"finished", b"failed", b"canceled", b"stopped", b"queued"} <= set(statuses), statuses
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_records_of_cancelled_jobs_leave_the_registry(redis_server, runner, request_for) -> None:
    redis = redis_server.client
    specs = {spec.name: spec for spec in SPECS}
    for number in range(2):
        request = request_for("slow", '{"seconds": 1}')
        waiting = asyncio.create_task(runner.run(specs["slow"], request))
        await asyncio.to_thread(rig.wait_until, lambda job=request.job_id: redis.exists(names.job_key(job)), "the job")
        if number:
            redis.zadd("rq:canceled:tools", {"old": time.time() - names.CANCELLED_TTL_S - 1})
        assert await runner.cancel(request.job_id) == "removed"
        await waiting
        assert 0 < redis.ttl(names.job_key(request.job_id)) <= names.CANCELLED_TTL_S
    assert redis.zcard("rq:canceled:tools") == 2


async def test_a_chain_that_is_cancelled_leaves_nothing_for_ever(redis_server, runner, tmp_path: Path) -> None:
    catalog = Catalog(SPECS, inline=InlineRunner(), queued=runner, secrets={"SHOP_KEY": "x"})
    request = ToolRequest(call_id="call", tool_call_id="t", name="dispatch", arguments='{"number": "7"}')
    waiting = asyncio.create_task(catalog.run(request))
    redis = redis_server.client
    await asyncio.to_thread(rig.wait_until, lambda: redis.zcard("rq:deferred:tools") == 2, "the chain")
    await asyncio.to_thread(rig.wait_until, lambda: without_lifetime(redis) == [], "lifetimes")  # they come after it
    await catalog.cancel("call", "t")
    await waiting
    assert without_lifetime(redis) == [] and redis.zcard("rq:deferred:tools") == 0


async def test_a_status_that_comes_after_the_job_has_gone_makes_nothing_for_ever(redis_server, runner) -> None:
    """A tool worker writes down how its job ended while whoever waited for it has taken it out."""
    catalog = Catalog(SPECS, inline=InlineRunner(), queued=runner, secrets={"SHOP_KEY": "x"})
    request = ToolRequest(call_id="call", tool_call_id="t", name="slow", arguments='{"seconds": 9}')
    waiting = asyncio.create_task(catalog.run(request))
    redis = redis_server.client
    await asyncio.to_thread(rig.wait_until, lambda: redis.exists(names.job_key("call-t")), "the job")
    job = QueueJob.fetch("call-t", connection=redis, serializer=JSONSerializer)
    await catalog.cancel("call", "t")
    await waiting
    redis.delete(job.key)
    job.set_status(JobStatus.FAILED)
    assert without_lifetime(redis) == [] and over_long(redis) == []


@pytest.mark.parametrize("write", ["set_status", "heartbeat", "save"])
def test_who_dies_while_it_writes_a_job_leaves_nothing_for_ever(
    redis_server, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    """A tool worker that is killed between what it writes and the lifetime of that."""
    redis = redis_server.client
    job = QueueJob.create("shop.slow", id="killed", connection=redis, serializer=JSONSerializer, timeout=5)

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    for kind in (Redis, Pipeline):
        monkeypatch.setattr(kind, "expire", dies)
    writes = {
        "set_status": lambda: job.set_status(JobStatus.FAILED),
        "heartbeat": lambda: job.heartbeat(datetime.now(UTC), 60),
        "save": job.save,
    }
    with pytest.raises(KeyboardInterrupt):
        writes[write]()
    assert without_lifetime(redis) == []
