"""What a caller was promised while a tool still ran: kept after the call, whoever lives, and not told twice."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tools.conftest import SHOP
from tools import rig
from tools.define.spec import spec_of
from tools.queue import names, promises
from tools.queue.queued import QueuedRunner, QueueSettings
from tools.queue.store import call_backs
from tools.queue.store import promises as store
from tools.queue.store.late import Orphan
from tools.run.catalog import Catalog, load_tools
from tools.run.inline import InlineRunner
from tools.tool_call.outcome import returned

SPECS = load_tools([f"{SHOP}:{name}" for name in ("slow", "report", "keeps_on", "add")])


async def until(condition: Callable[[], object], what: str) -> None:
    await asyncio.to_thread(rig.wait_until, lambda: bool(condition()), what, 12.0)


def orphan(job_id: str, channel: str = "default") -> Orphan:
    own = {"call_id": "call", "tool_call_id": job_id.removeprefix("call-"), "job_id": job_id}
    return Orphan(**own, tool="slow", summary="slow", caller="", dialled="", hung_up_at=0.0, channel=channel)


@pytest.fixture
def catalog(runner: QueuedRunner) -> Catalog:
    return Catalog(SPECS, inline=InlineRunner(), queued=runner)


async def test_a_tool_that_would_be_cancelled_goes_on_and_is_told(
    workers, catalog, request_for, receiver, tmp_path: Path, redis_server
) -> None:
    workers.start(notify=receiver.settings())
    request = request_for("slow", '{"seconds": 0.5}')
    waiting = asyncio.create_task(catalog.run(request))
    await until((tmp_path / "slow.started").exists, "its start")
    assert await catalog.promise("call", request.tool_call_id, "sms") == "promised"
    assert await catalog.promise("call", request.tool_call_id, "default") == "promised"  # the last word counts
    assert await catalog.hang_up("call") == (request,)
    assert (await waiting).status == "ok"
    await until(lambda: receiver.heard, "the webhook")
    assert json.loads(receiver.heard[0][1])["result"] == {"slept": 0.5}
    await catalog.aclose()
    assert (tmp_path / "slow.ended").exists() and not (tmp_path / "sms").exists()
    assert redis_server.client.keys("offhook:promise*") == []


async def test_what_was_told_in_the_call_is_not_told_again(workers, catalog, request_for, receiver, tmp_path) -> None:
    workers.start(notify=receiver.settings())
    told = request_for("report", '{"seconds": 0.3}')  # which would be told by its own wish if the caller hung up now
    waiting = asyncio.create_task(catalog.run(told))
    await until((tmp_path / "report.started").exists, "its start")
    assert await catalog.promise("call", told.tool_call_id, "default") == "promised"
    await waiting
    await catalog.told("call", told.tool_call_id)
    assert await catalog.hang_up("call") == ()
    await catalog.aclose()
    marker = request_for(
        "report", '{"seconds": 0, "name": "marker"}', call_id="marker"
    )  # whatever goes out goes before
    waiting = asyncio.create_task(catalog.run(marker))
    await asyncio.sleep(0)
    await catalog.hang_up("marker")
    await waiting
    await until(lambda: receiver.heard, "the webhook of the other")
    assert [json.loads(body)["call_id"] for _, body in receiver.heard] == ["marker"]
    assert await catalog.late_results("call") == []


async def test_a_result_that_was_in_but_not_told_goes_out(workers, catalog, request_for, receiver, tmp_path) -> None:
    workers.start(notify=receiver.settings())
    request = request_for("slow", '{"seconds": 0.2}')
    waiting = asyncio.create_task(catalog.run(request))
    await until((tmp_path / "slow.started").exists, "its start")
    assert await catalog.promise("call", request.tool_call_id, "default") == "promised"
    assert (await waiting).status == "ok"
    assert await catalog.hang_up("call") == ()  # nothing runs any more
    await until(lambda: receiver.heard, "the webhook")
    assert json.loads(receiver.heard[0][1])["result"] == {"slept": 0.2}
    await catalog.aclose()


async def test_it_is_kept_although_the_call_s_own_process_has_died(
    workers, request_for, receiver, redis_server, monkeypatch
) -> None:
    monkeypatch.setattr(promises, "LEASE_S", 0.5)
    workers.start(notify=receiver.settings())
    runner = QueuedRunner(QueueSettings(url=redis_server.url))
    catalog = Catalog(SPECS, inline=InlineRunner(), queued=runner)
    request = request_for("slow", '{"seconds": 0.1}')
    waiting = asyncio.create_task(catalog.run(request))
    await until(lambda: redis_server.client.exists(names.job_key(request.job_id)), "the job")
    assert await catalog.promise("call", request.tool_call_id, "default") == "promised"
    waiting.cancel()
    await runner.aclose()  # no hang-up, no word: from here on only the tool worker knows
    await until(lambda: receiver.heard, "the webhook")
    assert json.loads(receiver.heard[0][1])["result"] == {"slept": 0.1}
    assert "call_lost" in workers.log
    await until(lambda: not redis_server.client.keys("offhook:promise*"), "nothing is left of it")
    assert len(receiver.heard) == 1


async def test_a_call_that_is_on_is_not_taken_for_over(workers, catalog, request_for, receiver, redis_server) -> None:
    workers.start(notify=receiver.settings())
    request = request_for("slow", '{"seconds": 3}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(promises, "LEASE_S", 1.2)
        patch.setattr(promises, "RENEW_S", 0.2)
        waiting = asyncio.create_task(catalog.run(request))
        await until(lambda: redis_server.client.exists(names.job_key(request.job_id)), "the job")
        assert await catalog.promise("call", request.tool_call_id, "default") == "promised"
        await waiting
        await until(lambda: workers.log.count("tool_ran"), "its end")
    assert await catalog.late_results("call") == [] and "call_lost" not in workers.log
    await catalog.told("call", request.tool_call_id)
    await catalog.aclose()
    assert receiver.heard == []


async def test_what_the_caller_has_cancelled_is_told_to_nobody(
    workers, catalog, request_for, receiver, tmp_path, redis_server
) -> None:
    workers.start(notify=receiver.settings())
    request = request_for("slow", '{"seconds": 30}')
    waiting = asyncio.create_task(catalog.run(request))
    await until((tmp_path / "slow.started").exists, "its start")
    assert await catalog.promise("call", request.tool_call_id, "default") == "promised"
    assert await catalog.cancel("call", request.tool_call_id)
    assert await catalog.promise("call", request.tool_call_id, "default") == "over"
    await catalog.hang_up("call")
    assert (await waiting).status == "cancelled"
    await catalog.aclose()
    assert await catalog.late_results("call") == []
    assert redis_server.client.keys("offhook:promise*") == [] and receiver.heard == []


async def test_nothing_is_promised_that_can_not_be_kept(runner, request_for, redis_server) -> None:
    go_on = asyncio.Event()

    async def inline() -> str:
        await go_on.wait()
        return ""

    specs = [*SPECS, spec_of(inline, description="Run here.", mode="inline")]
    catalog = Catalog(specs, inline=InlineRunner(), queued=runner)
    assert await catalog.promise("call", "fc_9", "default") == "over"  # there is no such tool call
    here, there = request_for("inline"), request_for("slow", '{"seconds": 1}')
    tasks = [asyncio.create_task(catalog.run(one)) for one in (here, there)]
    await until(lambda: redis_server.client.exists(names.job_key(there.job_id)), "the job")
    assert await catalog.promise("call", here.tool_call_id, "default") == "over"  # it would die with this process
    redis_server.kill()
    assert await catalog.promise("call", there.tool_call_id, "default") == "unavailable"
    await asyncio.to_thread(redis_server.start)
    go_on.set()
    await catalog.hang_up("call")  # slow is cancelled: nothing was promised of it
    assert (await tasks[1]).status == "cancelled"
    await asyncio.gather(*tasks)
    await catalog.aclose()
    assert redis_server.client.keys("offhook:promise*") == []


def test_a_promise_lapses_when_nobody_puts_it_off(redis_server) -> None:
    client = redis_server.client
    now = time.time()
    store.make(client, orphan("call-a"), now + 30)
    store.make(client, orphan("call-b"), now + 30)
    assert store.lapsed(client, now + 29) == []
    store.put_off(client, "call-a", now + 60)
    [found] = store.lapsed(client, now + 31)
    assert (found.job_id, found.hung_up_at, found.channel) == ("call-b", now + 31, "default")
    store.forget(client, "call-b")
    store.put_off(client, "call-b", now + 60)  # one that comes late brings nothing back
    assert [one.job_id for one in store.lapsed(client, now + 61)] == ["call-a"]


NO_ANSWER = returned({"status": "no_answer", "to": "sales"})


async def test_what_is_known_already_is_told_once_after_the_call(workers, catalog, receiver, redis_server) -> None:
    workers.start(notify=receiver.settings())
    assert await catalog.promise_known(orphan("call-t1"), NO_ANSWER)
    assert await catalog.promise_known(orphan("call-t1"), NO_ANSWER)
    assert receiver.heard == [] and await catalog.late_results("call") == []
    await catalog.hang_up("call")
    await catalog.hang_up("call")
    await until(lambda: receiver.heard, "the webhook")
    assert json.loads(receiver.heard[0][1])["result"] == {"status": "no_answer", "to": "sales"}
    await catalog.aclose()
    assert len(receiver.heard) == 1 and redis_server.client.keys("offhook:promise*") == []


async def test_what_is_known_and_not_wanted_any_more_is_not_told(workers, catalog, receiver) -> None:
    workers.start(notify=receiver.settings())
    assert await catalog.promise_known(orphan("call-t1"), NO_ANSWER)
    assert await catalog.promise_known(orphan("call-t2"), NO_ANSWER)
    await catalog.unpromise("call-t1")
    await catalog.hang_up("call")
    await until(lambda: receiver.heard, "the webhook of the other")
    await catalog.aclose()
    assert [one.orphan.tool_call_id for one in await catalog.late_results("call")] == ["t2"]


async def test_what_is_known_outlives_the_call_s_process(workers, receiver, redis_server, monkeypatch) -> None:
    monkeypatch.setattr(promises, "LEASE_S", 0.5)
    workers.start(notify=receiver.settings())
    runner = QueuedRunner(QueueSettings(url=redis_server.url))
    catalog = Catalog(SPECS, inline=InlineRunner(), queued=runner)
    assert await catalog.promise_known(orphan("call-t1"), NO_ANSWER)
    await runner.aclose()
    await until(lambda: receiver.heard, "the webhook")
    assert "call_lost" in workers.log and len(receiver.heard) == 1


async def test_a_call_back_waits_for_its_time(workers, catalog, redis_server) -> None:
    workers.start()
    later = time.time() + 300
    assert await catalog.promise_known(replace(orphan("call-t1", names.CALL_BACK), not_before=later), NO_ANSWER)
    await catalog.hang_up("call")
    redis = redis_server.client
    await until(lambda: redis.zscore(names.CALL_BACKS, "call-t1"), "the call back")
    assert redis.zscore(names.CALL_BACKS, "call-t1") == pytest.approx(later)
    assert call_backs.claim(redis, "token", time.time(), 5.0) is None
    found = call_backs.claim(redis, "token", later + 1, 5.0)
    assert found is not None and json.loads(found.result.output)["status"] == "no_answer"
    await catalog.aclose()
