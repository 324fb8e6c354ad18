"""Tools that need other tools: RQ runs the chain, at most once each, and the model gets the last one's answer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.tools.conftest import SHOP
from tools.queue import names
from tools.queue.queued import QueuedRunner, QueueSettings
from tools.run.catalog import Catalog, load_tools
from tools.run.inline import InlineRunner
from tools.tool_call.request import ToolRequest

SPECS = load_tools([f"{SHOP}:{name}" for name in ("find_order", "route", "dispatch", "slow")])


def lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def call(number: str = "427", name: str = "dispatch", tool_call_id: str = "t") -> ToolRequest:
    arguments = json.dumps({"number": number})
    return ToolRequest(call_id="c", tool_call_id=tool_call_id, name=name, arguments=arguments)


@pytest.fixture
def catalog(runner: QueuedRunner) -> Catalog:
    return Catalog(SPECS, inline=InlineRunner(), queued=runner)


async def test_a_chain_runs_without_the_model_in_between(workers, catalog, tmp_path) -> None:
    workers.start()
    outcome = await catalog.run(call())
    assert (outcome.status, json.loads(outcome.output)) == ("ok", {"sent": "427", "km": 12})
    # find_order is needed by two of them, with the same arguments
    assert [lines(tmp_path / name) for name in ("find_order", "route", "dispatch")] == [1, 1, 1]


async def test_a_chain_asked_for_three_times_at_once_runs_once(workers, redis_server, tmp_path) -> None:
    workers.start()
    workers.start()
    runners = [QueuedRunner(QueueSettings(url=redis_server.url)) for _ in range(3)]
    catalogs = [Catalog(SPECS, inline=InlineRunner(), queued=found) for found in runners]
    try:
        outcomes = await asyncio.gather(*(catalog.run(call()) for catalog in catalogs))
    finally:
        for found in runners:
            await found.aclose()
    assert [outcome.status for outcome in outcomes] == ["ok"] * 3
    assert [lines(tmp_path / name) for name in ("find_order", "route", "dispatch")] == [1, 1, 1]


async def test_where_a_needed_tool_fails_the_rest_does_not_run_and_its_words_are_told(
    workers, catalog, tmp_path
) -> None:
    workers.start()
    outcome = await catalog.run(call("0"))
    assert outcome.status == "failed"
    assert json.loads(outcome.output)["error"] == "There is no such order."
    assert "which it needs" in outcome.detail
    assert lines(tmp_path / "dispatch") == 0


async def test_a_cancel_takes_the_whole_chain_out_of_the_queue(catalog, redis_server, workers, tmp_path) -> None:
    request = call()
    waiting = asyncio.create_task(catalog.run(request))
    client = redis_server.client
    while not client.exists(names.job_key(request.job_id)):
        await asyncio.sleep(0.01)
    assert client.hget(names.job_key(request.job_id), "status") == b"deferred"
    assert await catalog.cancel("c", "t")
    assert (await waiting).status == "cancelled"
    assert client.llen(names.queue_key(names.QUEUE)) == 0
    workers.start()
    assert (await catalog.run(call("1", tool_call_id="other"))).status == "ok"
    assert lines(tmp_path / "dispatch") == 1


async def test_a_chain_in_which_a_worker_dies_is_not_run_twice(workers, runner, tmp_path) -> None:
    """The needed tool is done and its worker killed: the outcome is told by the deadline, nothing is done again."""
    catalog = Catalog(SPECS, inline=InlineRunner(), queued=runner, most_s=2.0)
    worker = workers.start()
    waiting = asyncio.create_task(catalog.run(call()))
    while lines(tmp_path / "find_order") == 0:
        await asyncio.sleep(0.001)
    workers.kill_with_horse(worker)
    workers.start()
    done = (await waiting).status
    assert done in ("ok", "failed", "unknown", "timeout")
    assert lines(tmp_path / "find_order") <= 2  # idempotent: this one may
    assert lines(tmp_path / "dispatch") == (1 if done == "ok" else 0)


async def test_inline_the_chain_is_the_same(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    catalog = Catalog(SPECS, inline=InlineRunner())
    assert json.loads((await catalog.run(call())).output) == {"sent": "427", "km": 12}
    failed = await catalog.run(call("0", tool_call_id="u"))
    assert json.loads(failed.output)["error"] == "There is no such order."
    assert lines(tmp_path / "dispatch") == 1


async def test_needs_are_no_business_of_the_model(catalog) -> None:
    assert list(catalog.functions()[2]["parameters"]["properties"]) == ["number"]
    assert catalog.describe("dispatch")["needs"] == ["route", "find_order"]
    sent = ToolRequest(call_id="c", tool_call_id="v", name="dispatch", arguments='{"number": "1", "found": {}}')
    assert (await catalog.run(sent)).status == "invalid"
