"""Callers who are to be called back: handed over durably, claimed by one worker at a time, told once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from tests.tools.conftest import SHOP
from tools import rig
from tools.queue.names import CALL_BACK
from tools.queue.store import call_backs, late
from tools.queue.store.call_backs import CallBack
from tools.queue.store.late import Orphan
from tools.run.catalog import Catalog, load_tools
from tools.run.inline import InlineRunner
from tools.tool_call.outcome import returned
from tools.worker.notify import NotifySettings

SPECS = load_tools([f"{SHOP}:slow"])
LEASE_S = 30.0


def orphan(name: str = "fc") -> Orphan:
    return Orphan(
        call_id="call",
        tool_call_id=name,
        job_id=f"call-{name}",
        tool="slow",
        summary="slow",
        caller="+491234",
        dialled="427",
        hung_up_at=1.0,
        channel=CALL_BACK,
        arguments='{"seconds": 1}',
    )


@pytest.fixture
def redis(redis_server) -> Iterator[Redis]:
    with contextlib.closing(redis_server.client) as client:
        yield client


def wanted(redis: Redis, name: str = "fc", now: float = 100.0) -> Orphan:
    found = orphan(name)
    late.keep(redis, found, returned({"slept": 1}), now)
    call_backs.add(redis, found, now)
    return found


def claim(redis: Redis, token: str, now: float = 100.0, lease_s: float = LEASE_S) -> CallBack:
    found = call_backs.claim(redis, token, now, lease_s)
    assert found is not None
    return found


def test_one_worker_has_it_and_after_its_death_another(redis: Redis) -> None:
    wanted(redis)
    first = claim(redis, "one", lease_s=0.2)
    assert (first.tries, first.result.output, first.result.orphan) == (1, '{"slept":1}', orphan())
    assert call_backs.claim(redis, "two", 100.0, LEASE_S) is None
    assert call_backs.renew(redis, first.job_id, "one", 0.2)
    rig.wait_until(lambda: not redis.keys("offhook:call_back_claim:*"), "the claim runs out")  # nobody renews it
    second = claim(redis, "two")
    assert second.tries == 2
    assert not call_backs.renew(redis, first.job_id, "one", LEASE_S)
    call_backs.again(redis, first, 100.0)  # who has lost it gives back what is another's
    assert call_backs.claim(redis, "three", 100.0, LEASE_S) is None
    assert call_backs.renew(redis, second.job_id, "two", LEASE_S)


def test_a_claim_that_ran_out_and_that_nobody_took_is_had_again(redis: Redis) -> None:
    wanted(redis)
    found = claim(redis, "one", lease_s=0.05)
    rig.wait_until(lambda: not redis.keys("offhook:call_back_claim:*"), "the claim runs out")
    assert call_backs.renew(redis, found.job_id, "one", LEASE_S)
    assert call_backs.claim(redis, "two", 100.0, LEASE_S) is None


def test_of_many_at_once_one_gets_it(redis_server) -> None:
    with contextlib.closing(redis_server.client) as client:
        wanted(client)

    def one(number: int) -> bool:
        with contextlib.closing(redis_server.client) as client:
            return call_backs.claim(client, f"token{number}", 100.0, LEASE_S) is not None

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(one, range(64))) == 1


def test_what_was_told_stays_told(redis: Redis) -> None:
    found = wanted(redis)
    call_backs.told(redis, claim(redis, "one"), 101.0)
    call_backs.add(redis, found, 102.0)  # the tool worker died before its job was done, and hands it over again
    redis.delete("offhook:call_back_claim:call-fc")  # the worker died after the caller had heard it
    assert call_backs.claim(redis, "two", 103.0, LEASE_S) is None
    assert redis.zcard("offhook:call_backs") == 0
    [kept] = late.results(redis, "call")
    assert kept.delivered_at == 101.0


def test_handed_over_twice_it_is_one(redis: Redis) -> None:
    wanted(redis)
    wanted(redis)
    claim(redis, "one")
    assert call_backs.claim(redis, "two", 100.0, LEASE_S) is None


def test_it_is_tried_again_when_it_is_due(redis: Redis) -> None:
    wanted(redis)
    call_backs.again(redis, claim(redis, "one"), 160.0)
    assert call_backs.claim(redis, "two", 159.0, LEASE_S) is None
    second = claim(redis, "three", 160.0)
    call_backs.again(redis, second, 170.0, counted=False)  # no line was free
    assert claim(redis, "four", 170.0).tries == 2


def test_what_was_given_up_stays_with_its_call(redis: Redis) -> None:
    found = wanted(redis)
    call_backs.give_up(redis, claim(redis, "one"), 101.0)
    call_backs.add(redis, found, 102.0)
    redis.delete("offhook:call_back_claim:call-fc")
    assert call_backs.claim(redis, "two", 103.0, LEASE_S) is None
    [kept] = late.results(redis, "call")
    assert (kept.output, kept.delivered_at) == ('{"slept":1}', None)


def test_without_a_result_there_is_nothing_to_tell(redis: Redis) -> None:
    call_backs.add(redis, orphan(), 100.0)
    assert call_backs.claim(redis, "one", 100.0, LEASE_S) is None
    assert redis.zcard("offhook:call_backs") == 0


def test_everything_has_a_lifetime(redis: Redis) -> None:
    wanted(redis)
    claim(redis, "one")
    assert all(redis.ttl(key) > 0 for key in redis.keys("*") if key != b"offhook:call_backs")


async def test_a_promised_call_back_waits_for_a_worker(workers, runner, request_for, redis: Redis, tmp_path) -> None:
    workers.start()
    catalog = Catalog(SPECS, inline=InlineRunner(), queued=runner)
    request = request_for("slow", '{"seconds": 0.3}')
    waiting = asyncio.create_task(catalog.run(request))
    await asyncio.to_thread(rig.wait_until, (tmp_path / "slow.started").exists, "its start")
    assert await catalog.promise("call", request.tool_call_id, CALL_BACK) == "promised"
    await catalog.hang_up("call")
    await waiting
    await asyncio.to_thread(rig.wait_until, lambda: redis.zcard("offhook:call_backs") == 1, "it is handed over")
    found = claim(redis, "one", time.time())
    assert (found.result.output, found.result.orphan.arguments) == ('{"slept":0.3}', '{"seconds": 0.3}')
    assert found.result.delivered_at is None  # the caller does not know yet
    await catalog.aclose()


async def test_a_hook_of_the_operator_s_comes_first(workers, runner, request_for, redis: Redis, tmp_path) -> None:
    workers.start(notify=NotifySettings(hooks={CALL_BACK: "tests.tools.shop:send_sms"}))
    catalog = Catalog(SPECS, inline=InlineRunner(), queued=runner)
    request = request_for("slow", '{"seconds": 0.3}')
    waiting = asyncio.create_task(catalog.run(request))
    await asyncio.to_thread(rig.wait_until, (tmp_path / "slow.started").exists, "its start")
    await catalog.promise("call", request.tool_call_id, CALL_BACK)
    await catalog.hang_up("call")
    await waiting
    told = tmp_path / "sms"
    await asyncio.to_thread(rig.wait_until, lambda: told.exists() and "\n" in told.read_text(), "the hook is called")
    assert "slow ok {'slept': 0.3}" in told.read_text()
    assert redis.zcard("offhook:call_backs") == 0
    await catalog.aclose()
