"""How a tool call is run: by measured time, with secrets, and with results that are read by pages."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Annotated, Any

import pytest

from tests.tools.conftest import SHOP
from tools import Needs, ToolContext, ToolDefinitionError
from tools.define.spec import spec_of
from tools.queue.backlog import UNKNOWN_RUN_S
from tools.queue.queued import QueuedRunner
from tools.run.catalog import Catalog, load_tools
from tools.run.inline import InlineRunner
from tools.tool_call.outcome import Outcome
from tools.tool_call.request import ToolRequest

SPECS = {spec.name: spec for spec in load_tools([str(SHOP)])}
SECRETS = {"SHOP_KEY": "sk-shop-77", "OTHER_KEY": "not for shops"}


def answer(outcome: Outcome) -> Any:
    return json.loads(outcome.output)


def catalog_of(runner: QueuedRunner | None, *names: str, paged: bool = False) -> Catalog:
    return Catalog([SPECS[name] for name in names], inline=InlineRunner(), queued=runner, secrets=SECRETS, paged=paged)


# mode="auto"


async def test_what_may_be_queued_is_known_before_it_is(runner, request_for) -> None:
    def after(seconds: float, found: Annotated[dict[str, int], Needs("sometimes")]) -> int:
        return found["pid"]

    def quick() -> str:
        return ""

    own = [spec_of(function, description="x", mode="inline") for function in (after, quick)]
    catalog = Catalog([SPECS["sometimes"], *own], inline=InlineRunner(), queued=runner)
    assert catalog.may_queue() == ["sometimes", "after"]
    assert not catalog.queues()
    catalog = Catalog([SPECS["sometimes"], SPECS["slow"]], inline=InlineRunner(), queued=runner)
    assert catalog.may_queue() == ["sometimes", "slow"] and catalog.queues()
    assert catalog_of(None, "sometimes").may_queue() == []


async def test_an_auto_tool_moves_into_the_queue_when_it_proves_slow(workers, runner, request_for) -> None:
    workers.start()
    catalog = catalog_of(runner, "sometimes")
    spec = SPECS["sometimes"]
    assert catalog.mode_of(spec) == "inline"
    assert answer(await catalog.run(request_for("sometimes", '{"seconds": 0}')))["pid"] == os.getpid()
    await catalog.run(request_for("sometimes", '{"seconds": 1.05}'))
    assert catalog.mode_of(spec) == "queued"
    outcome = await catalog.run(request_for("sometimes", '{"seconds": 0}'))
    assert outcome.job_id is not None and answer(outcome)["pid"] != os.getpid()


# Secrets


async def test_a_tool_gets_the_secrets_that_it_asks_for_and_no_job_or_log_has_them(
    workers, runner, request_for, redis_server
) -> None:
    workers.start()
    outcome = await catalog_of(runner, "with_secret").run(request_for("with_secret"))
    assert answer(outcome) == {"ends_with": "77", "known": ["SHOP_KEY"]}
    client = redis_server.client
    assert all(b"sk-shop" not in (client.dump(key) or b"") for key in client.keys("*"))
    assert "sk-shop" not in workers.log


async def test_inline_it_is_the_same_and_a_missing_secret_is_found_at_the_start() -> None:
    async def pay(context: ToolContext) -> list[str]:
        return list(context.secrets)

    spec = spec_of(pay, description="Pay.", mode="inline", secrets=["SHOP_KEY"])
    catalog = Catalog([spec], inline=InlineRunner(), secrets=SECRETS)
    request = ToolRequest(call_id="c", tool_call_id="t", name="pay", arguments="{}")
    assert answer(await catalog.run(request)) == {"result": ["SHOP_KEY"]}
    with pytest.raises(ToolDefinitionError, match="wants the secret SHOP_KEY: set it"):
        Catalog([spec], inline=InlineRunner())
    assert "sk-shop" not in repr(ToolContext(call_id="c", tool_call_id="t", secrets=SECRETS))


# Results that are too large


@pytest.mark.parametrize("mode", ["queued", "inline"])
async def test_a_large_result_is_outlined_and_read_by_pages(workers, runner, request_for, mode: str) -> None:
    workers.start()

    def inline_catalogue(size: int) -> list[dict[str, Any]]:
        return [{"article": f"Ä{number}", "price": number} for number in range(size)]

    inline = spec_of(inline_catalogue, name="inline", description="List.", mode="inline")
    catalog = Catalog([SPECS["catalogue"], inline], inline=InlineRunner(), queued=runner, paged=True)
    name = "catalogue" if mode == "queued" else "inline"
    outcome = await catalog.run(request_for(name, '{"size": 4000}'))
    short = answer(outcome)
    assert outcome.status == "ok" and len(outcome.output) < 1000
    assert short["outline"] == {"result": ["4000 items, such as", "object with 2 fields"]}
    assert outcome.handle == short["handle"] and "more(handle, page)" in short["note"]
    text = ""
    for page in range(1, short["pages"] + 1):
        arguments = json.dumps({"handle": short["handle"], "page": page})
        read = answer(await catalog.run(request_for("more", arguments)))
        assert read["pages"] == short["pages"]
        text += read["text"]
    assert json.loads(text)["result"][3999] == {"article": "Ä3999", "price": 3999}

    async def refused(handle: str, page: int, call_id: str = "call") -> str:
        arguments = json.dumps({"handle": handle, "page": page})
        outcome = await catalog.run(request_for("more", arguments, call_id=call_id))
        assert outcome.status == "failed"
        return str(answer(outcome)["error"])

    assert "There is no page 99" in await refused(short["handle"], 99)
    assert "There is no page 0" in await refused(short["handle"], 0)
    assert "not kept any more" in await refused("nothing", 1)
    assert "not kept any more" in await refused(short["handle"], 1, call_id="a stranger")  # another call's


async def test_more_is_offered_where_it_was_asked_for_only(runner) -> None:
    assert [f["name"] for f in catalog_of(runner, "add", paged=True).functions()] == ["add", "more"]
    assert [f["name"] for f in catalog_of(runner, "add").functions()] == ["add"]
    assert [f["name"] for f in catalog_of(None, "add", paged=True).functions()] == ["add"]  # nowhere to keep it


# What the backlog is judged by


async def test_depth_and_usual_times_are_told_by_tool(workers, runner, request_for, redis_server) -> None:
    catalog = catalog_of(runner, "add", "slow")
    assert (await runner.usual("add"), await runner.workers(), await runner.depths()) == (None, 0, {})
    waiting = [
        asyncio.create_task(catalog.run(request_for("add", '{"left": 1, "right": 1}'))),
        asyncio.create_task(catalog.run(request_for("add", '{"left": 1, "right": 2}'))),
        asyncio.create_task(catalog.run(request_for("slow", '{"seconds": 0.2}'))),
    ]
    while await runner.depth() < 3:
        await asyncio.sleep(0.01)
    assert await runner.depths() == {"add": 2, "slow": 1}
    state = await runner.state()
    assert (state.depth, state.workers, state.run_s) == (3, 0, UNKNOWN_RUN_S)
    workers.start()
    await asyncio.gather(*waiting)
    assert (await runner.depths(), await runner.workers()) == ({}, 1)
    slow = await runner.usual("slow")
    assert slow is not None and slow.runs == 1
    assert slow.run_ms >= 200 and slow.run_p90_ms == slow.run_ms and slow.wait_ms > 0
    assert (await runner.usual("add")).runs == 2  # type: ignore[union-attr]
