"""Tools that outlive their call: their ends are kept, and told by a webhook that gets through at last."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tools.conftest import SECRET, SHOP, children_of
from tools import rig
from tools.define.spec import spec_of
from tools.queue import names
from tools.queue.notices import pauses
from tools.queue.queued import QueuedRunner, QueueSettings
from tools.queue.store.late import Orphan
from tools.run.catalog import Catalog, load_tools
from tools.run.inline import InlineRunner
from tools.worker.notify import verify

SPECS = load_tools([f"{SHOP}:{name}" for name in ("report", "text_me", "keeps_on", "slow")])


async def until(condition: Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(rig.wait_until, condition, what, 12.0)


async def started(path: Path) -> None:
    await until(path.exists, path.name)


@pytest.fixture
def catalog(runner: QueuedRunner) -> Catalog:
    return Catalog(SPECS, inline=InlineRunner(), queued=runner)


async def test_the_end_is_kept_and_told_until_it_gets_through(
    workers, catalog, request_for, receiver, tmp_path, redis_server
) -> None:
    receiver.answers = [500, 302]
    workers.start(notify=receiver.settings())
    request = request_for("report", '{"seconds": 0.4}')
    waiting = asyncio.create_task(catalog.run(request))
    await started(tmp_path / "report.started")
    assert await catalog.hang_up("call") == (request,)
    assert (await waiting).status == "ok"
    await until(lambda: len(receiver.heard) == 3, "the third try")
    assert len({headers["Offhook-Delivery"] for headers, _ in receiver.heard}) == 1  # so that it is taken once
    for headers, body in receiver.heard:
        assert verify(SECRET, headers, body, time.time())
    told = json.loads(receiver.heard[-1][1])
    assert (told["event"], told["tool"], told["status"], told["result"]) == ("tool_ended", "report", "ok", {"lines": 3})
    assert (told["call_id"], told["tool_call_id"]) == ("call", request.tool_call_id)
    client = redis_server.client
    await until(lambda: bool(client.exists(names.delivered_key(request.job_id))), "the receipt")
    [late] = await catalog.late_results("call")
    assert (late.status, late.output, late.orphan.tool) == ("ok", '{"lines":3}', "report")
    assert late.delivered_at is not None and late.delivered_at >= late.ended_at
    await catalog.aclose()
    assert SECRET not in workers.log and receiver.url not in workers.log
    for key in client.keys("*"):
        assert SECRET.encode() not in (client.dump(key) or b"")


async def test_it_is_told_although_the_call_s_own_process_has_died(
    workers, request_for, receiver, tmp_path, redis_server
) -> None:
    workers.start(notify=receiver.settings())
    runner = QueuedRunner(QueueSettings(url=redis_server.url))
    request = request_for("report", '{"seconds": 0.5}')
    waiting = asyncio.create_task(runner.run(SPECS[0], request))
    await started(tmp_path / "report.started")
    orphan = Orphan(
        call_id="call",
        tool_call_id=request.tool_call_id,
        job_id=request.job_id,
        tool="report",
        summary="report",
        caller="",
        dialled="",
        hung_up_at=time.time(),
        channel="default",
    )
    await runner.hung_up(orphan)
    waiting.cancel()
    await runner.aclose()  # nobody waits any more, and no catalog: from here on only the tool worker knows
    await until(lambda: len(receiver.heard) == 1, "the webhook")
    assert json.loads(receiver.heard[0][1])["result"] == {"lines": 3}


async def test_it_is_told_although_the_tool_s_process_has_died(
    workers, catalog, request_for, receiver, tmp_path
) -> None:
    worker = workers.start(notify=receiver.settings())
    waiting = asyncio.create_task(catalog.run(request_for("report", '{"seconds": 30}')))
    await started(tmp_path / "report.started")
    await catalog.hang_up("call")
    for pid in children_of(worker.pid):
        os.kill(pid, signal.SIGKILL)
    assert (await waiting).status == "failed"
    await until(lambda: len(receiver.heard) == 1, "the webhook")
    assert json.loads(receiver.heard[0][1])["status"] == "failed"
    await catalog.aclose()
    [late] = await catalog.late_results("call")
    assert late.status == "failed"


async def test_a_tool_that_ends_in_the_very_moment_of_the_hang_up_is_told_once(
    workers, catalog, request_for, receiver
) -> None:
    workers.start(notify=receiver.settings())
    for number in range(6):
        call = f"call{number}"
        request = request_for("report", json.dumps({"seconds": 0.02, "name": call}), call_id=call)
        waiting = asyncio.create_task(catalog.run(request))
        await asyncio.sleep(0.02 + number * 0.008)
        staying = await catalog.hang_up(call)
        await waiting
        if staying:
            await until(lambda: any(f'"{call}"'.encode() in body for _, body in receiver.heard), "the webhook")  # noqa: B023
    await catalog.aclose()
    told = [headers["Offhook-Delivery"] for headers, _ in receiver.heard]
    assert len(told) == len(set(told))


async def test_a_tool_may_name_a_hook_of_the_settings(workers, catalog, request_for, receiver, tmp_path) -> None:
    workers.start(notify=receiver.settings())
    waiting = asyncio.create_task(catalog.run(request_for("text_me")))
    await asyncio.sleep(0.1)
    await catalog.hang_up("call")
    await waiting
    await until(lambda: (tmp_path / "sms").exists() and "\n" in (tmp_path / "sms").read_text(), "the SMS")
    assert (tmp_path / "sms").read_text() == " text_me ok {'told': True}\n"
    assert receiver.heard == []


async def test_what_only_finishes_is_kept_and_told_to_nobody(workers, catalog, request_for, tmp_path, receiver) -> None:
    workers.start(notify=receiver.settings())
    workers.start(notify=receiver.settings())  # one for each job
    finishing = asyncio.create_task(catalog.run(request_for("keeps_on", '{"seconds": 0.3}')))
    ending = asyncio.create_task(catalog.run(request_for("slow", '{"seconds": 30}')))
    await started(tmp_path / "keeps_on.started")
    assert [request.name for request in await catalog.hang_up("call")] == ["keeps_on"]
    assert ((await finishing).status, (await ending).status) == ("ok", "cancelled")
    await catalog.aclose()
    assert [(late.orphan.tool, late.status) for late in await catalog.late_results("call")] == [("keeps_on", "ok")]
    assert await catalog.late_results("another") == []
    assert receiver.heard == []


async def test_a_job_that_can_t_be_cancelled_while_redis_is_away_is_cancelled_when_it_is_back(
    workers, catalog, request_for, tmp_path, redis_server
) -> None:
    workers.start()
    waiting = asyncio.create_task(catalog.run(request_for("slow", '{"seconds": 6}')))
    await started(tmp_path / "slow.started")
    redis_server.kill()
    await catalog.hang_up("call")
    assert not waiting.done()
    await asyncio.to_thread(redis_server.start)
    assert (await waiting).status == "cancelled"
    await catalog.aclose()
    assert not (tmp_path / "slow.ended").exists()


async def test_an_inline_tool_that_outlives_its_call_is_kept_and_told_too(
    workers, runner, request_for, receiver
) -> None:
    workers.start(notify=receiver.settings())
    go_on = asyncio.Event()

    async def inline_report() -> dict[str, int]:
        await go_on.wait()
        return {"lines": 1}

    spec = spec_of(inline_report, description="Report.", mode="inline", on_hangup="finish_and_notify")
    catalog = Catalog([spec], inline=InlineRunner(), queued=runner)
    waiting = asyncio.create_task(catalog.run(request_for("inline_report")))
    await asyncio.sleep(0)
    await catalog.hang_up("call")
    go_on.set()
    await waiting
    await until(lambda: len(receiver.heard) == 1, "the webhook")
    assert json.loads(receiver.heard[0][1])["result"] == {"lines": 1}


def test_the_pauses_grow_and_last_about_a_day() -> None:
    found = pauses()
    assert found[:5] == [1, 2, 4, 8, 16]
    assert max(found) == 3600
    assert 24 <= sum(found) / 3600 <= 25
