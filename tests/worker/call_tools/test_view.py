"""The tools of one phone call, over a real catalog."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tools import tool
from tools.queue.queued import QueuedRunner, QueueSettings
from tools.run.catalog import Catalog, ToolRequest
from tools.run.inline import InlineRunner
from tools.tool_call.outcome import Outcome
from worker.call_tools.policy import ToolPolicy
from worker.call_tools.view import CallView

RUNS: list[str] = []


@tool(mode="inline")
async def look(order: str) -> str:
    """Look up an order."""
    RUNS.append(order)
    return order


@tool(mode="inline")
async def wait() -> str:
    """Wait for ever."""
    RUNS.append("waits")
    await asyncio.Event().wait()
    return ""


@tool(mode="inline")
async def pay(amount: int) -> int:
    """Pay."""
    RUNS.append(str(amount))
    return amount


@pytest.fixture
def catalog() -> Catalog:
    RUNS.clear()
    specs = [function.__tool__ for function in (look, wait, pay)]  # type: ignore[attr-defined]
    return Catalog(specs, inline=InlineRunner())


class Calls:
    """A call's view, and the door that consults it."""

    def __init__(self, catalog: Catalog, policy: ToolPolicy = ToolPolicy()) -> None:  # noqa: B008
        self.catalog = catalog
        self.view = CallView(catalog, policy)


async def run(calls: Calls, name: str, number: int = 1, **arguments: Any) -> Outcome:
    request = ToolRequest(call_id="c1", tool_call_id=f"t{number}", name=name, arguments=json.dumps(arguments))
    return await calls.catalog.run(request, permit=calls.view)


async def test_what_the_agent_has_not_is_unknown_to_the_call(catalog: Catalog) -> None:
    calls = Calls(catalog, ToolPolicy(deny=("pay",)))
    assert list(calls.view.now.specs) == ["look", "wait"]
    outcome = await run(calls, "pay", amount=5)
    assert outcome.status == "unknown_tool" and "There is no tool 'pay'" in outcome.output and RUNS == []
    assert (await run(calls, "look", 2, order="427")).output == '{"result":"427"}'


async def test_an_offer_can_change_in_mid_call(catalog: Catalog) -> None:
    calls = Calls(catalog)
    assert calls.view.now.version == 1
    assert (
        calls.view.offer(["pay", "look"])
        and list(calls.view.now.specs) == ["look", "pay"]
        and calls.view.now.version == 2
    )
    assert not calls.view.offer(("look", "pay", "strange")), "another order, and a strange name, are no change"
    assert calls.view.offer(()) and not calls.view.now.specs
    assert (await run(calls, "look", order="1")).status == "unknown_tool"
    assert calls.view.offer(None) and len(calls.view.now.specs) == 3 and calls.view.now.version == 4
    assert calls.view.unknown(["look", "strange"]) == ["strange"]


async def test_no_offer_gives_what_the_policy_denies(catalog: Catalog) -> None:
    calls = Calls(catalog, ToolPolicy(allow=("look",)))
    assert not calls.view.offer(["look", "pay"])
    assert list(calls.view.now.specs) == ["look"]


async def test_what_runs_goes_on_when_the_offer_changes(catalog: Catalog) -> None:
    calls = Calls(catalog)
    waiting = asyncio.create_task(run(calls, "wait"))
    while not RUNS:
        await asyncio.sleep(0)
    calls.view.offer(())
    assert not waiting.done() and calls.catalog.spec("wait") is not None
    assert await calls.catalog.cancel("c1", "t1")
    assert (await waiting).status == "cancelled"


async def test_a_quota_counts_runs_and_not_mistakes(catalog: Catalog) -> None:
    calls = Calls(catalog, ToolPolicy(max_runs_of={"pay": 1}))
    assert (await run(calls, "pay", 1, amount="much")).status == "invalid"
    assert (await run(calls, "pay", 2, amount=5)).status == "ok"
    refused = await run(calls, "pay", 3, amount=5)
    assert refused.status == "unavailable" and "can be used once in a call" in refused.output
    assert RUNS == ["5"]


async def test_the_same_tool_call_again_counts_and_runs_once(catalog: Catalog) -> None:
    calls = Calls(catalog, ToolPolicy(max_runs=1))
    first, second = await asyncio.gather(run(calls, "look", order="1"), run(calls, "look", order="1"))
    assert first == second and first.status == "ok" and RUNS == ["1"]
    assert (await run(calls, "look", 2, order="1")).status == "unavailable"


async def test_the_exposure_may_change_with_the_size_of_the_offer(catalog: Catalog) -> None:
    calls = Calls(catalog, ToolPolicy(exposure="auto", most_tokens=60))
    assert calls.view.now.registry
    calls.view.offer(["look"])
    assert not calls.view.now.registry


async def test_the_tool_that_reads_on_goes_with_every_offer_and_counts_for_nothing() -> None:
    queued = QueuedRunner(QueueSettings(url="redis://127.0.0.1:1/0", timeout_s=0.1))
    try:
        specs = [look.__tool__]  # type: ignore[attr-defined]
        calls = Calls(
            Catalog(specs, inline=InlineRunner(), queued=queued, paged=True), ToolPolicy(allow=(), max_runs=0)
        )
        assert list(calls.view.now.specs) == ["more"]
        assert not calls.view.offer(()) and not calls.view.offer(["look"])
        outcome = await run(calls, "more", handle="h", page=1)
        assert outcome.status == "failed" and "can't be reached" in outcome.output
    finally:
        await queued.aclose()
