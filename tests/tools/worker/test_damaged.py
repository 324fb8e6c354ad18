"""A tool worker outlives any job in Redis, and whoever waits for a damaged one is told. All parts are real."""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer

from tests.tools import conftest
from tools import rig
from tools.queue import names
from tools.queue.job import QueueJob
from tools.run.catalog import load_tools

SPECS = {spec.name: spec for spec in load_tools([str(conftest.SHOP)])}
GARBAGE = b"\xff\x00garbage"

FIELDS: dict[str, list[bytes | str | None]] = {
    "timeout": ["soon", "", "-1", "0", "1e9", "99999999999999999999", GARBAGE, None],
    "created_at": ["yesterday", GARBAGE],
    "enqueued_at": ["2026-13-45T99:99:99Z", GARBAGE],
    "started_at": ["never"],
    "last_heartbeat": ["?"],
    "data": [
        b"",
        GARBAGE,
        zlib.compress(GARBAGE),
        b"{}",
        b"[1, 2]",
        b'["tools.jobs.run_tool", null, 7, {}]',
        b"[7, null, [], {}]",
        b"[" * 100_000,
        None,
    ],
    "status": ["resting", GARBAGE],
    "origin": ["elsewhere", GARBAGE, None],
    "result_ttl": ["long"],
    "failure_ttl": ["long"],
    "retries_left": ["some"],
    "retry_intervals": ["{}", "[", '["a"]'],
    "dependency_ids": ["{", "[7]"],
    "meta": [GARBAGE],
    "description": [GARBAGE],
    "worker_name": [GARBAGE],
    "ttl": ["x"],
    "success_callback_name": [GARBAGE],
    "success_callback_timeout": ["x"],
    "webhooks": ["{"],
}
HARMLESS = {"meta", "webhooks"}
"""What RQ itself reads leniently: these jobs run."""
CASES = [(field, value) for field, values in FIELDS.items() for value in values]


def damage(redis: Redis, job: str, field: str, value: bytes | str | None) -> None:
    if value is None:
        redis.hdel(names.job_key(job), field)
    else:
        redis.hset(names.job_key(job), field, value)


async def test_each_damaged_job_is_put_away_and_told_and_the_worker_goes_on(
    workers, redis_server, runner, request_for
) -> None:
    redis = redis_server.client
    waiting = []
    for field, value in CASES:
        request = request_for("pay", '{"seconds": 0}')
        waiting.append((field, value, request, asyncio.create_task(runner.run(SPECS["pay"], request, timeout_s=60))))
        await asyncio.to_thread(rig.wait_until, lambda job=request.job_id: redis.exists(names.job_key(job)), "the job")
        damage(redis, request.job_id, field, value)
    worker = workers.start()
    for field, value, request, task in waiting:
        outcome = await asyncio.wait_for(task, 30)
        if field in HARMLESS:
            assert outcome.status == "ok", (field, value, outcome)
            continue
        # Nothing was paid, and that is known.
        assert outcome.status == "failed" and "it was not run" in outcome.detail, (field, value, outcome, workers.log)
        assert redis.hget(names.job_key(request.job_id), "status") == b"failed"
        assert redis.zscore("rq:failed:tools", request.job_id)
        assert 0 < redis.ttl(names.job_key(request.job_id)) <= names.MARK_TTL_S
    assert (await runner.run(SPECS["add"], request_for("add", '{"left": 1, "right": 1}'))).status == "ok"
    assert worker.poll() is None and "Traceback" not in workers.log
    assert redis.llen("rq:queue:tools:intermediate") == redis.zcard("rq:wip:tools") == 0
    assert GARBAGE not in workers.log.encode()


Spoil = Callable[[Redis, str], Any]
KEYS: dict[str, Spoil] = {
    "no hash": lambda redis, job: (redis.delete(names.job_key(job)), redis.set(names.job_key(job), "x")),
    "results": lambda redis, job: redis.set(names.result_key(job), "x"),
    "executions": lambda redis, job: redis.set(f"rq:executions:{job}", "x"),
    "dependents": lambda redis, job: redis.set(f"rq:job:{job}:dependents", "x"),
    "a result of nobody's": lambda redis, job: redis.xadd(names.result_key(job), {"type": "x", "return_value": "%"}),
    "an odd mark": lambda redis, job: redis.set(names.orphan_key(job), "{"),
}


@pytest.mark.parametrize("which", KEYS)
async def test_a_key_of_another_type_in_a_jobs_place_is_its_own_failure(
    workers, redis_server, runner, request_for, which: str
) -> None:
    redis = redis_server.client
    worker = workers.start("tools.builtin", wait=False)
    bad, good = request_for("add", '{"left": 1, "right": 1}'), request_for("add", '{"left": 1, "right": 2}')
    rig.wait_until(lambda: redis.scard(names.workers_key(names.QUEUE)) > 0, "the worker")
    workers.kill_with_horse(worker)  # one that has none of these tools: the jobs wait
    tasks = [asyncio.create_task(runner.run(SPECS["add"], request, timeout_s=20)) for request in (bad, good)]
    await asyncio.to_thread(rig.wait_until, lambda: redis.llen("rq:queue:tools") == 2, "the jobs")
    KEYS[which](redis, bad.job_id)
    worker = workers.start()
    first, second = await asyncio.wait_for(asyncio.gather(*tasks), 15)
    assert first.status in ("failed", "ok") and second.status == "ok"
    await asyncio.sleep(0.5)
    assert worker.poll() is None
    assert (await runner.run(SPECS["add"], request_for("add", '{"left": 2, "right": 2}'))).status == "ok"


async def test_what_is_no_id_is_dropped(workers, redis_server, runner, request_for) -> None:
    redis = redis_server.client
    worker = workers.start()
    for entry in (GARBAGE, b"\xc3\x28", b"a job", b"", b"nobody"):
        redis.rpush(names.queue_key(names.QUEUE), entry)
        redis.zadd("rq:scheduled:tools", {entry: 1})
        redis.zadd(names.PROMISES, {entry: 1})
    redis.set(names.promise_key("nobody"), "[]")
    assert set(await runner.depths()) <= {"other"}, "who counts them goes on, too"
    await asyncio.sleep(1.5)
    assert (await runner.run(SPECS["add"], request_for("add", '{"left": 1, "right": 1}'))).status == "ok"
    left = lambda: [*redis.zrange("rq:scheduled:tools", 0, -1), *redis.zrange(names.PROMISES, 0, -1)]  # noqa: E731
    rig.wait_until(lambda: not left(), lambda: f"the end of {left()}; {workers.log[-3000:]}")
    assert worker.poll() is None
    assert GARBAGE not in (redis.lrange("rq:queue:tools:intermediate", 0, -1))


async def test_a_damaged_job_can_be_cancelled(redis_server, runner, request_for) -> None:
    redis = redis_server.client
    for field, value in CASES:
        if field == "status":
            continue
        request = request_for("slow", '{"seconds": 0}')
        waiting = asyncio.create_task(runner.run(SPECS["slow"], request))
        await asyncio.to_thread(rig.wait_until, lambda job=request.job_id: redis.exists(names.job_key(job)), "the job")
        damage(redis, request.job_id, field, value)
        assert await runner.cancel(request.job_id) == "removed", (field, value)
        assert (await waiting).status == "cancelled"


def sound_hash() -> dict[bytes, bytes]:
    job = QueueJob.create(
        names.ENTRY, args=({"tool": "add"},), connection=Redis(), serializer=JSONSerializer, timeout=8, origin="tools"
    )
    fields = job.to_dict()
    fields["status"] = "queued"
    return {key.encode(): value if isinstance(value, bytes) else str(value).encode() for key, value in fields.items()}


SOUND = sound_hash()


@given(st.randoms(use_true_random=False), st.binary(max_size=40))
def test_no_hash_of_a_job_is_unreadable(dice: random.Random, noise: bytes) -> None:
    fields = dict(SOUND)
    for _ in range(dice.randint(0, 4)):
        key = dice.choice([*fields, noise[:8] or b"x", b"repeats_left", b"group_id", b"ended_at", b"exc_info"])
        if dice.random() < 0.2:
            fields.pop(key, None)
        else:
            fields[key] = noise if dice.random() < 0.5 else str(dice.randint(-(10**20), 10**20)).encode()
    job = QueueJob("j", connection=Redis(), serializer=JSONSerializer)
    job.restore(fields)
    assert job.timeout and job.result_ttl and job.failure_ttl and isinstance(job.damage, str)
    job.to_dict()
    if fields == SOUND:
        assert job.damage == ""


def test_a_sound_job_has_no_damage_and_reads_as_rqs_own() -> None:
    ours = QueueJob("j", connection=Redis(), serializer=JSONSerializer)
    theirs = Job("j", connection=Redis(), serializer=JSONSerializer)
    ours.restore(SOUND)
    theirs.restore(SOUND)
    assert ours.damage == "" and (ours.args, ours.timeout, ours.func_name) == (theirs.args, 8, names.ENTRY)
