"""The MCP servers of a call worker: away and back, quick calls in the session that is kept, lists that change."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.tools.mcp.rig import ShopServer, stdio_definition
from tools.mcp import owner
from tools.mcp.server import McpServer
from tools.mcp.servers import McpServers
from tools.run.catalog import Catalog
from tools.run.inline import InlineRunner
from tools.tool_call.outcome import Outcome
from tools.tool_call.request import ToolRequest

QUICK = {"*": {"mode": "inline", "timeout": 10.0}}


@asynccontextmanager
async def opened(*servers: McpServer, wait_s: float = 10.0) -> AsyncIterator[tuple[McpServers, Catalog]]:
    catalog = Catalog([], inline=InlineRunner())
    labels = [server.label for server in servers]
    found = McpServers(servers, {}, lambda: catalog.replace(found.specs(labels)))
    try:
        await found.open(wait_s)
        yield found, catalog
    finally:
        await found.aclose()


async def until(condition: Callable[[], bool], what: str) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")


async def call(catalog: Catalog, tool: str, /, **arguments: Any) -> Outcome:
    call.number += 1  # type: ignore[attr-defined]
    number = call.number  # type: ignore[attr-defined]
    request = ToolRequest(call_id="c", tool_call_id=f"{number}", name=tool, arguments=json.dumps(arguments))
    return await catalog.run(request)


call.number = 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("words", [(), ("legacy",), ("stdio",)])
async def test_quick_calls_go_through_one_session(shop: ShopServer, folder: Path, words: tuple[str, ...]) -> None:
    shop.mode(*words)
    server = stdio_definition(folder, tools=QUICK) if "stdio" in words else shop.definition(tools=QUICK)
    async with opened(server) as (servers, catalog):
        assert servers.standing() == {"shop": (True, "7 tools")}
        outcomes = await asyncio.gather(*(call(catalog, "shop__count", of=n) for n in range(20)))
        assert [json.loads(one.output)["result"] for one in outcomes] == list(range(1, 21))
        assert {one.job_id for one in outcomes} == {None}
        assert "No." in (await call(catalog, "shop__refuse", why="No.")).output


@pytest.mark.parametrize("words", [(), ("legacy",)])
async def test_a_session_that_is_lost_is_opened_anew_and_unsent_calls_wait_for_it(
    shop: ShopServer, words: tuple[str, ...]
) -> None:
    shop.mode(*words)
    async with opened(shop.definition(tools=QUICK)) as (servers, catalog):
        assert (await call(catalog, "shop__pay", key="a")).status == "ok"
        await asyncio.to_thread(shop.kill)
        await asyncio.to_thread(shop.start)
        outcome = await call(catalog, "shop__pay", key="b")
        assert outcome.status == "ok" or (outcome.status == "unknown" and "connection was lost" in outcome.detail)
        await until(lambda: servers.standing()["shop"][0], "the server to be up again")
        assert (await call(catalog, "shop__pay", key="c")).status == "ok"
        effects = shop.lines("effects")
        assert effects[0] == "a" and effects[-1] == "c" and effects.count("b") <= 1


async def test_a_server_that_is_away_keeps_nobody_waiting_and_its_tools_come_when_it_is_back(
    shop: ShopServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.kill()
    monkeypatch.setattr(owner, "LONGEST_PAUSE_S", 0.3)
    with capture_logs() as lines:
        async with opened(shop.definition(tools=QUICK)) as (servers, catalog):
            up, words = servers.standing()["shop"]
            assert not up and "can't be reached" in words and catalog.specs() == []
            await asyncio.to_thread(shop.start)
            await until(lambda: bool(catalog.specs()), "its tools")
            assert (await call(catalog, "shop__count", of=1)).status == "ok"
            await asyncio.to_thread(shop.kill)
            outcome = await call(catalog, "shop__count", of=1)
            assert outcome.status in ("unavailable", "failed")  # its tools are still offered
            again = await call(catalog, "shop__count", of=1)
            assert again.status == "unavailable" and "Nothing was done" in again.output
    away = [line for line in lines if line["event"] == "mcp_server_away" and "tool" not in line]
    assert [line["reason"] for line in away][:1] == ["can't be reached"] and len(away) <= 3  # not one for each try
    assert away[0]["mend"] == "start it, or correct its address"


@pytest.mark.parametrize(("words", "where"), [((), "http"), (("legacy", "json"), "http")])
async def test_a_list_that_changes_is_taken_in(
    shop: ShopServer, words: tuple[str, ...], where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.mode(*words)
    if words:
        monkeypatch.setattr(owner, "LOOK_S", 0.3)  # an SDK server of that time does not say so: it is asked
    async with opened(shop.definition(tools=QUICK)) as (_servers, catalog):
        changes: list[int] = []
        catalog.on_change(lambda: changes.append(len(catalog.specs())))
        assert (await call(catalog, "shop__learn", name="dance")).status == "ok"
        await until(lambda: catalog.spec("shop__dance") is not None, f"the new tool ({where})")
        assert json.loads((await call(catalog, "shop__dance")).output) == {"result": "dance was run"}
        assert changes == [8]


async def test_two_servers_with_one_tool_name_and_odd_ones(shop: ShopServer, folder: Path) -> None:
    shop.mode("odd")
    other = stdio_definition(folder, label="files", allowed_tools=("count",), tools=QUICK)
    with capture_logs() as lines:
        async with opened(shop.definition(tools=QUICK), other) as (_servers, catalog):
            assert (await call(catalog, "shop__count", of=1)).status == "ok"
            assert (await call(catalog, "files__count", of=1)).status == "ok"
            names = [spec.name for spec in catalog.specs()]
    assert "shop__odd_name__" in names and not any("broken" in name for name in names)
    assert all(len(name) <= 64 for name in names)
    left_out = [line["why"] for line in lines if line["event"] == "mcp_tool_left_out"]
    assert len(left_out) == 3 and any("'broken': its schema" in why for why in left_out)


async def test_many_tools_are_offered_with_a_line_for_the_operator(shop: ShopServer) -> None:
    shop.mode("many")
    catalog = Catalog([], inline=InlineRunner())
    with capture_logs() as lines:
        found = McpServers([shop.definition()], {}, lambda: catalog.replace(found.specs(["shop"])), lambda _s: True)
        await found.open(10.0)
        await found.aclose()
    assert len(catalog.specs()) == 507
    (line,) = [line for line in lines if line["event"] == "mcp_many_tools"]
    assert line["tools"] == 507 and "allowed_tools" in line["mend"]


async def test_a_silent_server_holds_up_no_start_and_no_stop(shop: ShopServer) -> None:
    shop.mode("hang")
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with opened(shop.definition(tools=QUICK), wait_s=0.3) as (servers, catalog):
        assert loop.time() - began < 3
        assert servers.standing()["shop"] == (False, "not asked yet") and catalog.specs() == []
    assert loop.time() - began < 6


async def test_a_quick_call_that_is_cancelled_stops_the_tool(shop: ShopServer) -> None:
    async with opened(shop.definition(tools=QUICK)) as (_servers, catalog):
        request = ToolRequest(call_id="c", tool_call_id="slow", name="shop__slow", arguments='{"seconds": 20}')
        running = asyncio.create_task(catalog.run(request))
        await until(lambda: "slow began" in shop.lines(), "the tool")
        assert await catalog.cancel("c", "slow")
        assert (await running).status == "cancelled"
        await until(lambda: "slow cancelled" in shop.lines(), "the tool's end")
