"""A remote tool's call as a job: real Redis, real tool workers, a real server; and what the call gets of each fault."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tools import conftest
from tests.tools.mcp.rig import ShopServer
from tools import rig
from tools.mcp.client import Session, with_session
from tools.mcp.job import alone
from tools.mcp.server import McpServer
from tools.mcp.specs import offered_by
from tools.queue.queued import QueuedRunner
from tools.run.catalog import Catalog
from tools.run.inline import InlineRunner
from tools.tool_call.outcome import Outcome
from tools.tool_call.request import ToolRequest

Ask = Callable[..., ToolRequest]


async def catalog_of(server: McpServer, queued: QueuedRunner, **secrets: str) -> Catalog:
    async def work(session: Session) -> Any:
        return await session.tools()

    listed = await with_session(server, secrets, work)
    return Catalog(offered_by(server, listed, alone(secrets)).specs, inline=InlineRunner(), queued=queued, paged=True)


@pytest.fixture
async def catalog(server: McpServer, runner: QueuedRunner, workers: conftest.ToolWorkers) -> AsyncIterator[Catalog]:
    workers.start(servers=[server])
    found = await catalog_of(server, runner)
    yield found
    await found.aclose()


async def began(folder: Path, word: str = "slow began") -> None:
    told = folder / "told"
    await asyncio.to_thread(rig.wait_until, lambda: told.exists() and word in told.read_text(), word)


async def test_a_call_runs_on_the_tool_worker_and_tells_how_far_it_is(catalog: Catalog, request_for: Ask) -> None:
    said: list[str] = []
    outcome = await catalog.run(
        request_for("shop__slow", '{"seconds": 0.2}'), on_progress=lambda _request, text: said.append(text)
    )
    assert outcome.status == "ok" and json.loads(outcome.output) == {"result": "slow is done"}
    assert outcome.job_id is not None and "4 of four" in said
    answer = await catalog.run(request_for("shop__order_status", '{"order": 427}'))
    assert json.loads(answer.output) == {"order": "427", "status": "shipped", "carrier": "DHL"}


async def test_a_cancelled_job_stops_the_tool_at_the_server(
    catalog: Catalog, request_for: Ask, folder: Path, workers: conftest.ToolWorkers
) -> None:
    request = request_for("shop__slow", '{"seconds": 30}')
    running = asyncio.create_task(catalog.run(request))
    await began(folder)
    assert await catalog.cancel(request.call_id, request.tool_call_id)
    outcome = await running
    assert outcome.status == "cancelled"
    await began(folder, "slow cancelled")
    again = await catalog.run(request_for("shop__count", '{"of": 1}'))
    assert again.status == "ok", workers.log  # the tool worker goes on


async def test_the_same_call_is_done_once_whoever_asks(catalog: Catalog, request_for: Ask, folder: Path) -> None:
    request = request_for("shop__pay", '{"key": "a"}')
    outcomes = await asyncio.gather(*(catalog.run(request) for _ in range(3)))
    assert {outcome.output for outcome in outcomes} == {'{"result":"paid a"}'}
    assert (folder / "effects").read_text() == "a\n"


async def test_a_failure_has_the_tools_own_words(catalog: Catalog, request_for: Ask) -> None:
    outcome = await catalog.run(request_for("shop__refuse", '{"why": "No such shelf."}'))
    assert outcome.status == "failed" and "No such shelf." in outcome.output
    invalid = await catalog.run(request_for("shop__refuse", '{"wy": 1}'))
    assert invalid.status == "invalid" and "the field 'why' is missing" in invalid.output


async def test_a_large_answer_is_kept_in_pages(catalog: Catalog, request_for: Ask) -> None:
    outcome = await catalog.run(request_for("shop__large", '{"size": 5000000}'))
    assert outcome.status == "ok" and outcome.handle is not None and len(outcome.output) < 4000
    page = await catalog.run(request_for("more", json.dumps({"handle": outcome.handle, "page": 2})))
    assert "xxxxxxxx" in page.output


@pytest.fixture
async def shop_catalog(shop: ShopServer, runner: QueuedRunner, workers: conftest.ToolWorkers) -> AsyncIterator[Catalog]:
    server = shop.definition(tools={"*": {"timeout": 4.0}, "slow": {"timeout": 20.0, "retries": 0}})
    workers.start(servers=[server])
    found = await catalog_of(server, runner)
    yield found
    await found.aclose()


def words(outcome: Outcome) -> str:
    return str(json.loads(outcome.output)["error"])


async def test_a_server_that_is_down_is_unavailable_and_nothing_was_done(
    shop: ShopServer, shop_catalog: Catalog, request_for: Ask, workers: conftest.ToolWorkers
) -> None:
    shop.kill()
    outcome = await shop_catalog.run(request_for("shop__pay", '{"key": "a"}'))
    assert outcome.status == "unavailable" and "Nothing was done" in words(outcome)
    assert "can't be reached" in outcome.detail and "mcp_server_away" in workers.log


async def test_one_that_comes_back_in_time_is_waited_for(
    shop: ShopServer, runner: QueuedRunner, workers: conftest.ToolWorkers, request_for: Ask
) -> None:
    workers.start(servers=[shop.definition()])
    catalog = await catalog_of(shop.definition(), runner)
    shop.kill()
    shop.start(wait=False)
    outcome = await catalog.run(request_for("shop__pay", '{"key": "a"}'))
    assert outcome.status == "ok" and shop.lines("effects") == ["a"]


async def test_a_token_that_is_refused_is_told_to_the_operator(
    shop: ShopServer, shop_catalog: Catalog, request_for: Ask, workers: conftest.ToolWorkers
) -> None:
    shop.mode("401")
    outcome = await shop_catalog.run(request_for("shop__pay", '{"key": "a"}'))
    assert outcome.status == "unavailable" and outcome.detail.endswith("refuses us: HTTP 401")
    assert "give it authorization" in workers.log and outcome.run_ms is not None and outcome.run_ms < 2000


@pytest.mark.parametrize(("tool", "status"), [("pay", "unknown"), ("slow", "failed")])
async def test_a_server_that_dies_in_the_middle_leaves_no_lie(
    shop: ShopServer, shop_catalog: Catalog, request_for: Ask, tool: str, status: str
) -> None:
    arguments = '{"key": "a", "seconds": 10}' if tool == "pay" else '{"seconds": 10}'
    running = asyncio.create_task(shop_catalog.run(request_for(f"shop__{tool}", arguments)))
    await asyncio.sleep(1.0)
    shop.kill()
    outcome = await running
    assert outcome.status == status and "a bug" not in outcome.detail


async def test_a_silent_server_is_given_up_in_time(shop: ShopServer, shop_catalog: Catalog, request_for: Ask) -> None:
    shop.mode("no-answer")
    outcome = await shop_catalog.run(request_for("shop__pay", '{"key": "a"}'))
    assert outcome.status == "unknown" and "not known" in words(outcome)
    harmless = await shop_catalog.run(request_for("shop__count", '{"of": 1}'))
    assert harmless.status == "timeout"


async def test_an_idempotent_tool_is_tried_again_where_its_server_died(
    shop: ShopServer, runner: QueuedRunner, workers: conftest.ToolWorkers, request_for: Ask
) -> None:
    server = shop.definition(tools={"slow": {"timeout": 20, "backoff": 1}})
    workers.start(servers=[server])
    catalog = await catalog_of(server, runner)
    running = asyncio.create_task(catalog.run(request_for("shop__slow", '{"seconds": 1}')))
    await asyncio.to_thread(rig.wait_until, lambda: "slow began" in shop.lines(), "the tool")
    shop.kill()
    shop.start()
    assert (await running).status == "ok"


@pytest.mark.parametrize(("tool", "status"), [("pay", "unknown"), ("slow", "failed")])
async def test_a_tool_worker_that_is_killed_stops_the_tool_and_says_so(
    shop: ShopServer,
    shop_catalog: Catalog,
    workers: conftest.ToolWorkers,
    request_for: Ask,
    tool: str,
    status: str,
) -> None:
    arguments = '{"key": "a", "seconds": 10}' if tool == "pay" else '{"seconds": 10}'
    running = asyncio.create_task(shop_catalog.run(request_for(f"shop__{tool}", arguments)))
    await asyncio.to_thread(
        rig.wait_until, lambda: bool(conftest.children_of(workers.processes[0].pid)), "the job's fork"
    )
    await asyncio.sleep(0.7)
    os.kill(workers.processes[0].pid, signal.SIGKILL)
    outcome = await running
    assert outcome.status == status and "its tool worker died" in outcome.detail
    if tool == "slow":
        await asyncio.to_thread(rig.wait_until, lambda: "slow cancelled" in shop.lines(), "the tool's end")


async def test_a_tool_worker_runs_what_its_own_agent_file_allows(
    shop: ShopServer, runner: QueuedRunner, workers: conftest.ToolWorkers, request_for: Ask
) -> None:
    workers.start(servers=[shop.definition(allowed_tools=("count",))])
    catalog = await catalog_of(shop.definition(), runner)
    refused = await catalog.run(request_for("shop__pay", '{"key": "a"}'))
    assert refused.status == "failed" and "its servers are shop" in refused.detail and shop.lines("effects") == []
    assert (await catalog.run(request_for("shop__count", '{"of": 1}'))).status == "ok"


async def test_no_secret_and_no_argument_is_in_redis_beside_the_job_or_in_the_log(
    shop: ShopServer, runner: QueuedRunner, workers: conftest.ToolWorkers, request_for: Ask
) -> None:
    server = shop.definition(authorization="SHOP_KEY")
    workers.start(servers=[server])
    catalog = await catalog_of(server, runner, SHOP_KEY="sk-shop-77")
    assert (await catalog.run(request_for("shop__pay", '{"key": "s3cret-order"}'))).status == "ok"
    assert "POST Bearer sk-shop-77" in shop.lines("requests")
    assert "sk-shop-77" not in workers.log and "s3cret-order" not in workers.log
