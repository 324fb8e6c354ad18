"""The queued runner against a real Redis and real tool workers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from rq.job import Job
from rq.serializers import JSONSerializer

from tests.tools.conftest import SHOP
from tools.errors import QueueUnavailable
from tools.queue import names
from tools.queue.queued import QueuedRunner, QueueSettings
from tools.run.catalog import Catalog, load_tools
from tools.run.inline import InlineRunner
from tools.tool_call.outcome import Outcome
from tools.tool_call.request import ToolRequest

SPECS = {spec.name: spec for spec in load_tools([str(SHOP)])}

Make = Callable[..., ToolRequest]


async def until(condition: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, f"waited {seconds} s in vain for {what}"
        await asyncio.sleep(0.01)


def lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def answer(outcome: Outcome) -> Any:
    return json.loads(outcome.output)


@pytest.fixture
def run(runner: QueuedRunner, request_for: Make) -> Callable[..., Awaitable[Outcome]]:
    async def call(name: str, *, timeout_s: float | None = None, **arguments: Any) -> Outcome:
        return await runner.run(SPECS[name], request_for(name, json.dumps(arguments)), timeout_s=timeout_s)

    return call


async def test_a_tool_runs_as_a_job_and_its_result_comes_back(workers, run) -> None:
    workers.start()
    outcome = await run("add", left=2, right=3)
    assert (outcome.status, outcome.output) == ("ok", '{"result":5}')
    assert outcome.job_id == "call-fc_0"
    assert outcome.wait_ms is not None and outcome.run_ms is not None


async def test_an_async_tool_runs_as_a_job(workers, run) -> None:
    workers.start()
    assert answer(await run("add_later", left=2, right=3)) == {"result": 5}


async def test_a_tool_gets_its_context_and_reports_progress(workers, runner, request_for) -> None:
    workers.start()
    heard: list[str] = []
    outcome = await runner.run(SPECS["steps"], request_for("steps"), on_progress=heard.append)
    assert answer(outcome) == {"call": "call", "tool_call": "fc_0", "left": True}
    assert heard == ["one of two", "two of two"]


async def test_what_an_operator_reads_of_a_job_holds_no_arguments(runner, redis_server, request_for) -> None:
    request = request_for("add", '{"left": 4711, "right": 1}')
    waiting = asyncio.create_task(runner.run(SPECS["add"], request))
    client = redis_server.client
    await until(lambda: bool(client.exists(names.job_key(request.job_id))), "the job")
    job = client.hgetall(names.job_key(request.job_id))
    assert job[b"description"] == b"add"
    assert json.loads(job[b"meta"]) == {
        "call_id": "call",
        "tool_call_id": "fc_0",
        "tool": "add",
        "summary": "add",
    }
    assert await runner.depth() == 1
    await runner.cancel(request.job_id)
    assert (await waiting).status == "cancelled"
    assert await runner.depth() == 0


# What a tool may return or raise


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("when", "the tool returned a object at result['orders']['0']['when']"),
        ("many", "the tool returned a lock at result"),
    ],
)
async def test_what_json_cannot_hold_fails_and_says_what_stands_where(workers, run, name: str, detail: str) -> None:
    workers.start()
    outcome = await run(name)
    assert outcome.status == "failed"
    assert outcome.detail.startswith(detail)
    assert "the tool returned" not in outcome.output and "did run" in outcome.output


async def test_a_result_of_a_megabyte_is_cut_to_its_beginning(workers, run) -> None:
    workers.start()
    outcome = await run("huge")
    assert outcome.status == "ok"
    assert len(outcome.output) < 4096
    assert answer(outcome)["truncated"] is True
    assert answer(outcome)["bytes"] == 1000013


async def test_the_model_sees_nothing_of_an_exception_and_the_worker_log_all(workers, run, redis_server) -> None:
    workers.start()
    outcome = await run("leaky")
    assert outcome.status == "failed"
    assert "sk-live" not in outcome.output + outcome.detail
    assert outcome.detail.startswith("RuntimeError at shop.py:")
    assert "login failed with sk-live" in workers.log
    [(_, fields)] = redis_server.client.xrange(names.result_key(outcome.job_id))
    assert b"exc_string" not in fields


async def test_a_tool_error_s_words_reach_the_model(workers, run) -> None:
    workers.start()
    assert answer(await run("sold_out"))["error"] == "That article is sold out until May."


async def test_a_tool_that_the_worker_does_not_have_fails_and_says_which_it_has(workers, run) -> None:
    workers.start(f"{SHOP}:add")
    outcome = await run("slow", seconds=0)
    assert outcome.status == "failed"
    assert outcome.detail == "this tool worker has no such tool; it has add"


# At most once


async def test_the_same_tool_call_enqueued_three_times_at_once_runs_once(workers, tmp_path, redis_server) -> None:
    workers.start()
    workers.start()
    request = ToolRequest(call_id="c", tool_call_id="t", name="slow", arguments='{"seconds": 0.3}')
    runners = [QueuedRunner(QueueSettings(url=redis_server.url)) for _ in range(3)]
    try:
        outcomes = await asyncio.gather(*(found.run(SPECS["slow"], request) for found in runners))
        again = await runners[0].run(SPECS["slow"], request)
    finally:
        for found in runners:
            await found.aclose()
    assert [outcome.status for outcome in [*outcomes, again]] == ["ok"] * 4
    assert lines(tmp_path / "slow.started") == 1


async def test_the_same_tool_call_through_the_catalog_runs_once(workers, runner, tmp_path, request_for) -> None:
    workers.start()
    catalog = Catalog(SPECS.values(), inline=InlineRunner(), queued=runner)
    request = request_for("slow", '{"seconds": 0.2}')
    outcomes = await asyncio.gather(*(catalog.run(request) for _ in range(3)))
    assert [outcome.status for outcome in outcomes] == ["ok"] * 3
    assert lines(tmp_path / "slow.started") == 1


async def test_a_job_that_is_put_back_by_hand_does_not_run_again(workers, run, redis_server, tmp_path) -> None:
    workers.start()
    first = await run("slow", seconds=0)
    client = redis_server.client
    client.rpush(names.queue_key(names.QUEUE), first.job_id)
    await until(lambda: client.xlen(names.result_key(first.job_id)) == 2, "the second run's end")
    assert lines(tmp_path / "slow.started") == 1


# Time-outs, stopping and crashes


async def test_a_tool_that_takes_too_long_is_stopped(workers, run, tmp_path) -> None:
    workers.start()
    outcome = await run("slow", timeout_s=0.8, seconds=30)
    assert outcome.status == "timeout"
    assert lines(tmp_path / "slow.started") == 1
    assert answer(await run("add", left=1, right=1)) == {"result": 2}  # the worker is free again
    assert lines(tmp_path / "slow.ended") == 0


async def test_a_tool_that_swallows_everything_is_stopped_too(workers, run, tmp_path) -> None:
    workers.start()
    assert (await run("stubborn", timeout_s=0.8)).status == "timeout"
    assert answer(await run("add", left=1, right=1)) == {"result": 2}


async def test_a_tool_whose_effect_counts_is_unknown_when_it_is_stopped(workers, run, tmp_path) -> None:
    workers.start()
    outcome = await run("pay", timeout_s=0.8, seconds=30)
    assert outcome.status == "unknown"
    assert "not known" in answer(outcome)["error"]


async def test_a_call_that_nobody_takes_times_out_and_never_starts(workers, run, tmp_path) -> None:
    outcome = await run("pay", timeout_s=0.3, seconds=0)
    assert outcome.status == "timeout"
    assert "never started" in outcome.detail
    workers.start()
    assert answer(await run("add", left=1, right=1)) == {"result": 2}
    assert lines(tmp_path / "pay.started") == 0


async def test_a_running_job_is_cancelled(workers, runner, request_for, tmp_path) -> None:
    workers.start()
    request = request_for("slow", '{"seconds": 30}')
    waiting = asyncio.create_task(runner.run(SPECS["slow"], request))
    await until(lambda: lines(tmp_path / "slow.started") == 1, "the tool's start")
    assert await runner.cancel(request.job_id) == "stopped"
    assert (await waiting).status == "cancelled"


@pytest.mark.parametrize("simple", [False, True])
async def test_a_stop_that_the_tool_worker_did_not_hear_is_made_up_for(
    workers, runner, redis_server, request_for, tmp_path, simple
) -> None:
    workers.start(simple=simple)
    request = request_for("slow", '{"seconds": 30}')
    waiting = asyncio.create_task(runner.run(SPECS["slow"], request))
    await until(lambda: lines(tmp_path / "slow.started") == 1, "the tool's start")
    # The mark that a cancel leaves, without RQ's command, which a worker that has lost its connection never gets.
    redis_server.client.set(names.cancel_key(request.job_id), "1")
    assert (await waiting).status == "cancelled"
    assert Job.fetch(request.job_id, redis_server.client, JSONSerializer).get_status() == "stopped"


async def test_nothing_is_asked_of_redis_once_closed(runner) -> None:
    await runner.aclose()
    with pytest.raises(QueueUnavailable, match="about to end"):
        await runner.ask(lambda redis: redis.ping())


async def test_a_cancel_that_meets_the_start_of_a_job_keeps_it_from_running(
    workers, run, redis_server, request_for, tmp_path
) -> None:
    workers.start()
    # What a cancel leaves behind when the job was taken off the queue before it could be removed.
    redis_server.client.set(names.cancel_key("call-fc_0"), "1")
    outcome = await run("slow", seconds=0)
    assert (outcome.status, outcome.run_ms) == ("cancelled", None)
    assert lines(tmp_path / "slow.started") == 0


async def test_a_job_that_is_cancelled_by_somebody_else_ends_the_waiting(runner, redis_server, request_for) -> None:
    request = request_for("add", '{"left": 1, "right": 1}')
    waiting = asyncio.create_task(runner.run(SPECS["add"], request))
    client = redis_server.client
    await until(lambda: bool(client.exists(names.job_key(request.job_id))), "the job")
    client.hset(names.job_key(request.job_id), "status", "canceled")  # as rq-dashboard does
    assert (await waiting).status == "cancelled"


async def test_a_deleted_job_ends_the_waiting(runner, redis_server, request_for) -> None:
    request = request_for("pay", '{"seconds": 0}')
    waiting = asyncio.create_task(runner.run(SPECS["pay"], request, timeout_s=8))
    client = redis_server.client
    await until(lambda: bool(client.exists(names.job_key(request.job_id))), "the job")
    client.flushall()
    assert (await waiting).status == "unknown"


async def test_a_tool_that_ends_its_process_fails(workers, run) -> None:
    workers.start()
    outcome = await run("vanish")
    assert outcome.status == "failed"
    assert outcome.detail.endswith("its process died: exit code 3")


async def test_a_tool_worker_killed_in_mid_job_leaves_a_time_out(workers, runner, request_for, tmp_path) -> None:
    worker = workers.start()
    waiting = [
        asyncio.create_task(runner.run(SPECS["slow"], request_for("slow", '{"seconds": 30}'), timeout_s=2.0)),
    ]
    await until(lambda: lines(tmp_path / "slow.started") == 1, "the tool's start")
    workers.kill_with_horse(worker)
    assert [(await task).status for task in waiting] == ["timeout"]


async def test_a_tool_worker_killed_in_the_middle_of_a_payment_leaves_it_unknown(
    workers, runner, request_for, tmp_path
) -> None:
    worker = workers.start()
    request = request_for("pay", '{"seconds": 30}')
    waiting = asyncio.create_task(runner.run(SPECS["pay"], request, timeout_s=2.0))
    await until(lambda: lines(tmp_path / "pay.started") == 1, "the tool's start")
    workers.kill_with_horse(worker)
    workers.start()
    assert (await waiting).status == "unknown"
    assert lines(tmp_path / "pay.started") == 1


# Redis gone, and back


async def test_a_result_arrives_after_redis_was_killed_and_came_back(
    workers, runner, request_for, redis_server, tmp_path
) -> None:
    # With everysec a killed Redis may forget the mark that the job has begun, where the disk is busy.
    redis_server.kill()
    redis_server.fsync = "always"
    await asyncio.to_thread(redis_server.start)
    workers.start()
    waiting = asyncio.create_task(runner.run(SPECS["slow"], request_for("slow", '{"seconds": 1.0}')))
    await until(lambda: lines(tmp_path / "slow.started") == 1, "the tool's start")
    redis_server.kill()
    await until(lambda: lines(tmp_path / "slow.ended") == 1, "the tool's end, without Redis")
    await asyncio.to_thread(redis_server.start)
    assert answer(await waiting) == {"slept": 1.0}
    assert lines(tmp_path / "slow.started") == 1
    # and the worker goes on
    assert answer(await runner.run(SPECS["add"], request_for("add", '{"left": 1, "right": 1}'))) == {"result": 2}


async def test_a_queued_job_outlives_redis(workers, runner, request_for, redis_server) -> None:
    request = request_for("add", '{"left": 1, "right": 1}')
    waiting = asyncio.create_task(runner.run(SPECS["add"], request))
    client = redis_server.client
    await until(lambda: bool(client.exists(names.job_key(request.job_id))), "the job")
    redis_server.kill()
    await asyncio.to_thread(redis_server.start)
    workers.start()
    assert answer(await waiting) == {"result": 2}


async def test_without_redis_a_new_call_is_unavailable_at_once(runner, run, redis_server) -> None:
    assert await runner.healthy()
    redis_server.kill()
    outcome = await run("add", left=1, right=1, timeout_s=30)
    assert outcome.status == "unavailable"
    assert "Nothing was done" in answer(outcome)["error"]
    assert not await runner.healthy()
    with pytest.raises(QueueUnavailable, match="Redis does not answer"):
        await runner.depth()


async def test_the_deadline_holds_without_redis(runner, request_for, redis_server) -> None:
    request = request_for("pay", '{"seconds": 0}')
    waiting = asyncio.create_task(runner.run(SPECS["pay"], request, timeout_s=1.0))
    client = redis_server.client
    await until(lambda: bool(client.exists(names.job_key(request.job_id))), "the job")
    redis_server.kill()
    assert (await waiting).status == "unknown"  # the job is in a queue that nobody can reach


async def test_where_redis_forbids_xread_results_are_polled(workers, redis_server, request_for) -> None:
    workers.start()
    redis_server.client.execute_command("ACL SETUSER caller on >pass ~* &* +@all -xread")
    url = redis_server.url.replace("unix://", "unix://caller:pass@")
    runner = QueuedRunner(QueueSettings(url=url))
    try:
        outcome = await runner.run(SPECS["slow"], request_for("slow", '{"seconds": 0.3}'))
    finally:
        await runner.aclose()
    assert outcome.status == "ok"


async def test_many_jobs_share_one_blocked_read(workers, runner, request_for, redis_server) -> None:
    workers.start()
    requests = [request_for("add", json.dumps({"left": n, "right": 0})) for n in range(20)]
    outcomes = await asyncio.gather(*(runner.run(SPECS["add"], request) for request in requests))
    assert [answer(outcome)["result"] for outcome in outcomes] == list(range(20))
    blocked = [c for c in redis_server.client.client_list() if c["cmd"].startswith("xread")]
    assert len(blocked) <= 1


async def test_a_new_job_is_taken_into_a_read_that_blocks_already(
    workers, redis_server, request_for, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.queue.results.BLOCK_MS", 60_000)  # so that only the wake-up can bring it in
    workers.start()
    workers.start()  # one for each job
    runner = QueuedRunner(QueueSettings(url=redis_server.url))
    try:
        first = asyncio.create_task(runner.run(SPECS["slow"], request_for("slow", '{"seconds": 30}')))
        client = redis_server.client
        await until(lambda: any(c["cmd"].startswith("xread") for c in client.client_list()), "the blocked read")
        second = await runner.run(SPECS["add"], request_for("add", '{"left": 1, "right": 1}'), timeout_s=4)
        first.cancel()
    finally:
        await runner.aclose()
    assert answer(second) == {"result": 2}


def test_settings_keep_the_password_out_of_their_repr() -> None:
    assert "hunter2" not in repr(QueueSettings(url="redis://:hunter2@127.0.0.1/0"))


async def test_a_large_crowd_of_waiting_jobs_is_looked_over_in_parts(runner, redis_server, request_for) -> None:
    requests = [request_for("add", '{"left": 1, "right": 1}') for _ in range(120)]
    waiting = [asyncio.create_task(runner.run(SPECS["add"], request, timeout_s=20)) for request in requests]
    client = redis_server.client
    await until(lambda: int(client.llen(names.queue_key(names.QUEUE))) == 120, "the jobs")
    for request in requests:
        client.hset(names.job_key(request.job_id), "status", "canceled")
    assert {(await task).status for task in waiting} == {"cancelled"}


@pytest.mark.parametrize("paused_ms", [1500, 2600])
async def test_a_job_whose_enqueueing_got_no_answer_is_told_as_it_is(
    workers, redis_server, request_for, tmp_path, paused_ms: int
) -> None:
    """Redis answers the ping and then nothing for a while: was the job taken or not?"""
    workers.start()
    runner = QueuedRunner(QueueSettings(url=redis_server.url))
    try:
        redis_server.client.execute_command("CLIENT", "PAUSE", paused_ms, "WRITE")
        outcome = await runner.run(SPECS["pay"], request_for("pay", '{"seconds": 0}'), timeout_s=8)
    finally:
        await runner.aclose()
    assert outcome.status in ("ok", "unavailable")
    assert lines(tmp_path / "pay.started") == (1 if outcome.status == "ok" else 0)
