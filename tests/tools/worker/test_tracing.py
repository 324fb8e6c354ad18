"""A tool worker's spans: real Redis, real tool workers in processes of their own, a real OTLP receiver."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.otlp import Got, Otlp, receiving, traced_tool_worker
from tests.tools.conftest import SHOP, Receiver, RedisServer
from tools import rig
from tools.define.loading import load_tools
from tools.mcp.client import Session, with_session
from tools.mcp.job import alone
from tools.mcp.server import McpServer
from tools.mcp.specs import offered_by
from tools.queue.queued import QueuedRunner
from tools.run.catalog import Catalog
from tools.run.inline import InlineRunner
from tools.tool_call.request import ToolRequest
from tools.traces.span import SpanContext

CALL = "0af7651916cd43dd8448eb211c80319c"
PARENT = SpanContext(int(CALL, 16), 0xB7AD6B7169203331)
SPECS = load_tools([str(SHOP)])


def request(name: str, arguments: str = "{}", traceparent: str = PARENT.traceparent) -> ToolRequest:
    return ToolRequest(call_id=CALL, tool_call_id=f"t-{name}", name=name, arguments=arguments, traceparent=traceparent)


@pytest.fixture
async def otlp() -> AsyncIterator[Otlp]:
    async with receiving() as found:
        yield found


@pytest.fixture
async def start(otlp: Otlp, redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Any]:
    processes = []

    async def make(*tools: Path, **options: Any) -> Any:
        process = await asyncio.to_thread(
            traced_tool_worker, redis_server.url, tmp_path, otlp, *(tools or (SHOP,)), **options
        )
        processes.append(process)
        return process

    yield make
    for process in processes:
        process.terminate()
        await asyncio.to_thread(process.wait, 20)


@pytest.fixture
async def catalog(runner: QueuedRunner) -> AsyncIterator[Catalog]:
    found = Catalog(SPECS, inline=InlineRunner(), queued=runner)
    yield found
    await found.aclose()


def by_job(otlp: Otlp) -> dict[str, Got]:
    return {span.attributes["messaging.message.id"]: span for span in otlp.spans}


@pytest.mark.parametrize("simple", [False, True])
async def test_each_job_is_told_below_the_tool_call_however_it_ends(
    start: Any, otlp: Otlp, catalog: Catalog, simple: bool
) -> None:
    await start(simple=simple)
    names = ["add", "refuses"] if simple else ["add", "refuses", "vanish", "leave"]
    arguments = {"add": '{"left": 471147, "right": 1}'}
    outcomes = [await catalog.run(request(name, arguments.get(name, "{}"))) for name in names]
    await otlp.until(lambda: len(otlp.spans) >= len(names))
    found = by_job(otlp)
    for name, outcome in zip(names, outcomes, strict=True):
        span = found[f"{CALL}-t-{name}"]
        assert (span.trace_id, span.parent_id, span.name) == (CALL, f"{PARENT.span_id:016x}", "process tools")
        assert (span.service, span.attributes["gen_ai.tool.name"]) == ("offhook-tool-worker", name)
        assert (span.error or "ok") == span.attributes["offhook.tool.status"]
        assert (span.error is None) == (outcome.status == "ok"), name
    assert len({span.span_id for span in otlp.spans}) == len(otlp.spans)
    assert b"471147" not in otlp.raw and b"471148" not in otlp.raw


async def test_each_try_is_told(start: Any, otlp: Otlp, catalog: Catalog) -> None:
    await start()
    assert (await catalog.run(request("dies_first"))).status == "ok"
    await otlp.until(lambda: len(otlp.spans) == 2)
    assert [span.attributes["offhook.tool.status"] for span in otlp.spans] == ["again", "ok"]


@pytest.mark.parametrize("traceparent", ["", "00-nonsense-01", PARENT.traceparent[:-1] + "0"])
async def test_a_job_without_a_trace_runs_all_the_same(
    start: Any, otlp: Otlp, catalog: Catalog, traceparent: str
) -> None:
    """An old worker's, damaged, or left out by the sampler."""
    worker = await start()
    outcome = await catalog.run(request("add", '{"left": 1, "right": 2}', traceparent))
    assert json.loads(outcome.output) == {"result": 3}
    worker.terminate()
    assert await asyncio.to_thread(worker.wait, 20) == 0
    assert otlp.spans == []


async def test_the_webhook_of_a_late_end_and_its_job_belong_to_the_trace(
    start: Any, otlp: Otlp, catalog: Catalog, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answers = [500]
    await start(notify=receiver.settings())
    waiting = asyncio.create_task(catalog.run(request("report", '{"seconds": 0.4}')))
    await asyncio.to_thread(rig.wait_until, (tmp_path / "report.started").exists, "the report")
    await catalog.hang_up(CALL)
    assert (await waiting).status == "ok"
    await otlp.until(lambda: len(otlp.spans) == 3)
    job, first, second = sorted(otlp.spans, key=lambda span: span.start_ns)
    heard = [SpanContext.read(headers["traceparent"]) for headers, _ in receiver.heard]
    assert [f"{one.span_id:016x}" for one in heard if one] == [first.span_id, second.span_id]
    assert {first.parent_id, second.parent_id} == {job.span_id}
    assert {span.trace_id for span in otlp.spans} == {CALL}
    assert [span.attributes["offhook.tool.status"] for span in (first, second)] == ["again", "ok"]


async def test_a_receiver_that_never_answers_holds_up_no_job_and_no_stop(
    start: Any, otlp: Otlp, catalog: Catalog
) -> None:
    otlp.silent = True
    worker = await start()
    await catalog.run(request("add", '{"left": 1, "right": 2}'))
    await otlp.until(lambda: otlp.asked)
    for number in range(20):
        call = replace(request("add", '{"left": 1, "right": 2}'), tool_call_id=f"more-{number}")
        assert (await catalog.run(call)).status == "ok"
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, 20) == 0
    assert otlp.spans == []


SERVER = """
from mcp.server.mcpserver import MCPServer
from opentelemetry.trace import get_current_span

shop = MCPServer("traced")


@shop.tool()
def whose() -> str:
    return f"{get_current_span().get_span_context().trace_id:032x}"


shop.run("stdio")
"""


async def test_a_server_of_remote_tools_is_told_whose_trace_it_is(
    start: Any, otlp: Otlp, runner: QueuedRunner, tmp_path: Path
) -> None:
    (tmp_path / "server.py").write_text(SERVER)
    given = {"label": "traced", "command": sys.executable, "args": (str(tmp_path / "server.py"),)}
    server = McpServer.model_validate(given)

    async def work(session: Session) -> Any:
        return await session.tools()

    listed = await with_session(server, {}, work)
    catalog = Catalog(offered_by(server, listed, alone({})).specs, inline=InlineRunner(), queued=runner)
    await start(servers=[server])
    outcome = await catalog.run(request("traced__whose"))
    await catalog.aclose()
    assert json.loads(outcome.output) == {"result": CALL}
