from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tools import ToolContext, ToolDefinitionError, ToolSpec, tool
from tools.define.spec import spec_of
from tools.queue.queued import QueuedRunner, QueueSettings
from tools.run.catalog import Catalog, ToolRequest
from tools.run.inline import InlineRunner

ran: list[str] = []


@tool(timeout=5)
def order_status(order: str) -> dict[str, str]:
    """Look up an order."""
    ran.append(order)
    return {"order": order}


@tool(timeout=30)
async def wait_for_ever() -> None:
    """Wait."""
    await asyncio.Event().wait()


@tool(mode="queued", timeout=30)
def book(seats: int) -> int:
    """Book seats."""
    return seats


def spec(function: Callable[..., Any]) -> ToolSpec:
    found: ToolSpec = function.__tool__  # type: ignore[attr-defined]
    return found


def request(name: str, arguments: str = "{}", tool_call_id: str = "fc_1", call_id: str = "c") -> ToolRequest:
    return ToolRequest(call_id=call_id, tool_call_id=tool_call_id, name=name, arguments=arguments)


@pytest.fixture
def catalog() -> Catalog:
    ran.clear()
    return Catalog([spec(order_status), spec(wait_for_ever), spec(book)], inline=InlineRunner())


def test_the_tools_are_listed_described_and_handed_to_a_session(catalog: Catalog) -> None:
    assert catalog.list()[0] == {"name": "order_status", "description": "Look up an order."}
    assert catalog.functions()[0] == {
        "type": "function",
        "name": "order_status",
        "description": "Look up an order.",
        "parameters": {
            "type": "object",
            "properties": {"order": {"type": "string"}},
            "required": ["order"],
            "additionalProperties": False,
        },
    }
    described = catalog.describe("order_status")
    assert (described["mode"], described["timeout_s"]) == ("inline", 5.0)
    assert json.dumps(described)
    with pytest.raises(KeyError, match="Did you mean 'order_status'"):
        catalog.describe("order_stauts")


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ToolDefinitionError, match="two tools are called order_status"):
        Catalog([spec(order_status), spec(order_status)], inline=InlineRunner())


async def test_a_tool_runs(catalog: Catalog) -> None:
    started: list[str | None] = []
    outcome = await catalog.run(request("order_status", '{"order": "427"}'), lambda _r, job: started.append(job))
    assert (outcome.status, outcome.output) == ("ok", '{"order":"427"}')
    assert started == [None]


@pytest.mark.parametrize(
    ("name", "arguments", "status", "words"),
    [
        ("order_stats", "{}", "unknown_tool", "There is no tool 'order_stats'. Did you mean 'order_status'?"),
        ("zzz", "{}", "unknown_tool", "The tools are: order_status, wait_for_ever, book."),
        ("order_status", "{", "invalid", "not valid JSON"),
        ("order_status", "{}", "invalid", "the field 'order' is missing"),
        ("order_status", '{"ordr": "1"}', "invalid", "did you mean 'order'?"),
    ],
)
async def test_the_model_s_faults_are_outcomes(
    catalog: Catalog, name: str, arguments: str, status: str, words: str
) -> None:
    outcome = await catalog.run(request(name, arguments))
    assert outcome.status == status
    assert words in json.loads(outcome.output)["error"]
    assert ran == []


async def test_the_same_tool_call_runs_once_and_is_answered_each_time(catalog: Catalog) -> None:
    same = request("order_status", '{"order": "427"}')
    outcomes = await asyncio.gather(*(catalog.run(same) for _ in range(3)))
    outcomes.append(await catalog.run(same))
    assert {outcome.output for outcome in outcomes} == {'{"order":"427"}'}
    assert ran == ["427"]


async def test_other_tool_calls_of_the_same_tool_run_each(catalog: Catalog) -> None:
    for number in ("1", "2"):
        await catalog.run(request("order_status", '{"order": "427"}', tool_call_id=number))
    await catalog.run(request("order_status", '{"order": "427"}', call_id="d"))
    assert len(ran) == 3


async def test_what_has_ended_is_forgotten_at_some_time(catalog: Catalog) -> None:
    for number in range(600):
        await catalog.run(request("order_status", '{"order": "427"}', tool_call_id=str(number)))
    assert len(catalog._calls) <= 513


async def test_giving_up_waiting_leaves_the_tool_running_and_cancel_stops_it(catalog: Catalog) -> None:
    waiting = asyncio.create_task(catalog.run(request("wait_for_ever")))
    again = asyncio.create_task(catalog.run(request("wait_for_ever")))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert [(r.tool_call_id, s.name) for r, s in catalog.pending("c")] == [("fc_1", "wait_for_ever")]
    assert catalog.pending("d") == ()
    assert await catalog.cancel("c", "fc_1")
    assert (await again).status == "cancelled"
    assert not await catalog.cancel("c", "fc_1")
    assert not await catalog.cancel("c", "other")
    assert catalog.pending("c") == ()


async def test_a_tool_call_that_is_cancelled_in_the_tick_of_its_run_has_an_outcome_too(catalog: Catalog) -> None:
    again = request("order_status", '{"order": "1"}')
    waiting = asyncio.create_task(catalog.run(again))
    cancelling = asyncio.create_task(catalog.cancel("c", "fc_1"))  # its turn is before the tool's first step
    assert await cancelling
    assert (await waiting).status == "cancelled"
    assert (await catalog.run(again)).status == "cancelled"
    assert ran == []


async def test_who_is_cancelled_while_waiting_for_a_cancelled_tool_call_stays_cancelled(catalog: Catalog) -> None:
    waiting = asyncio.create_task(catalog.run(request("wait_for_ever")))
    cancelling = asyncio.create_task(catalog.cancel("c", "fc_1"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await cancelling


async def test_a_hang_up_ends_what_is_to_be_cancelled_and_leaves_the_rest(catalog: Catalog) -> None:
    release = asyncio.Event()

    async def finish() -> str:
        await release.wait()
        return "done"

    specs = [
        spec_of(wait_for_ever, on_hangup="cancel"),
        spec_of(finish, description="Finish.", on_hangup="finish"),
    ]
    catalog = Catalog(specs, inline=InlineRunner())
    names = {"1": "wait_for_ever", "2": "finish", "3": "wait_for_ever"}
    calls = [asyncio.create_task(catalog.run(request(name, tool_call_id=n))) for n, name in names.items()]
    other = asyncio.create_task(catalog.run(request("finish", call_id="another")))
    await asyncio.sleep(0)
    assert [left.tool_call_id for left in await catalog.hang_up("c")] == ["2"]
    release.set()
    assert [(await call).status for call in calls] == ["cancelled", "ok", "cancelled"]
    assert (await other).status == "ok"
    assert await catalog.hang_up("c") == ()


async def test_the_worker_s_cap_is_shorter_than_a_tool_s_own_time_out() -> None:
    catalog = Catalog([spec(wait_for_ever)], inline=InlineRunner(), most_s=0.1)
    assert (await catalog.run(request("wait_for_ever"))).status == "timeout"


async def test_progress_reaches_the_loop() -> None:
    def steps(context: ToolContext) -> None:
        context.progress("one")

    heard: list[str] = []
    catalog = Catalog([spec_of(steps, description="Steps.")], inline=InlineRunner())
    await catalog.run(request("steps"), on_progress=lambda _request, text: heard.append(text))
    await asyncio.sleep(0)
    assert heard == ["one"]


async def test_a_bug_of_ours_still_answers_the_model(catalog: Catalog) -> None:
    def broken(_request: ToolRequest, _job: str | None) -> None:
        raise RuntimeError("a bug")

    assert (await catalog.run(request("order_status", '{"order": "1"}'), broken)).status == "failed"


async def test_without_a_queue_a_queued_tool_runs_inline(catalog: Catalog) -> None:
    assert (await catalog.run(request("book", '{"seats": 2}'))).output == '{"result":2}'


async def test_with_a_queue_it_is_a_job_that_can_be_cancelled(redis_server) -> None:
    queued = QueuedRunner(QueueSettings(url=redis_server.url))
    catalog = Catalog([spec(book)], inline=InlineRunner(), queued=queued)
    started: asyncio.Queue[str | None] = asyncio.Queue()
    try:
        waiting = asyncio.create_task(
            catalog.run(request("book", '{"seats": 2}'), lambda _request, job: started.put_nowait(job))
        )
        assert await started.get() == "c-fc_1"
        assert await catalog.cancel("c", "fc_1")
        outcome = await waiting
    finally:
        await queued.aclose()
    assert (outcome.status, outcome.job_id) == ("cancelled", "c-fc_1")
    assert redis_server.client.llen("rq:queue:tools") == 0
