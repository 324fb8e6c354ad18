"""A session with a real server of the SDK, over streamable HTTP and stdio: what it lists, answers and refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tools.mcp.rig import ShopServer
from tests.tools.mcp.shop_server import TOKEN
from tools import rig
from tools.define.context import ToolContext
from tools.errors import ToolError
from tools.mcp.asking import AnswerLost, Ask, NeverRan, ServerAway
from tools.mcp.client import Session, with_session
from tools.mcp.server import McpServer


def ask(tool: str, limit_s: float = 5.0, report: Callable[[str], None] = lambda text: None, **arguments: Any) -> Ask:
    context = ToolContext(call_id="call", tool_call_id="fc", report=report)
    return Ask(tool=tool, arguments=arguments, context=context, limit_s=limit_s)


async def one(server: McpServer, wanted: Ask, secrets: dict[str, str] | None = None) -> Any:
    return await with_session(server, secrets or {}, lambda session: session.call(wanted), open_s=5.0)


async def test_it_lists_tools_with_their_hints_and_runs_them(server: McpServer) -> None:
    async def work(session: Session) -> tuple[Any, ...]:
        listed = {tool.name: tool for tool in await session.tools()}
        return listed, await session.call(ask("order_status", order="427")), await session.call(ask("count", of=4))

    listed, status, counted = await with_session(server, {}, work)
    assert listed["order_status"].read_only and not listed["pay"].read_only
    assert listed["order_status"].description == "Look up an order by its number."
    assert status == {"order": "427", "status": "shipped", "carrier": "DHL"} and counted == {"result": 5}


async def test_a_tools_own_failure_is_told_in_its_words_and_cut(server: McpServer) -> None:
    with pytest.raises(ToolError) as caught:
        await one(server, ask("refuse", why="No such shelf. " + "y" * 5000))
    assert "No such shelf." in str(caught.value) and len(str(caught.value)) <= 400


async def test_progress_is_reported_and_a_long_answer_comes_whole(server: McpServer) -> None:
    said: list[str] = []
    assert await one(server, ask("slow", seconds=0.2, report=said.append)) == {"result": "slow is done"}
    assert said == ["1 of four", "2 of four", "3 of four", "4 of four"]
    assert await one(server, ask("large", size=5_000_000)) == {"result": "x" * 5_000_000}


async def test_answers_in_one_piece_are_bounded(shop: ShopServer) -> None:
    shop.kill()
    shop.mode("json")
    shop.start()
    assert await one(shop.definition(), ask("large", size=5_000_000)) == {"result": "x" * 5_000_000}
    with pytest.raises(AnswerLost, match="its answer can't be read"):
        await one(shop.definition(), ask("large", size=20_000_000))


async def test_a_call_that_is_cancelled_stops_the_tool(server: McpServer, folder: Path) -> None:
    told = folder / "told"
    task = asyncio.create_task(one(server, ask("slow", seconds=20)))
    await asyncio.to_thread(rig.wait_until, lambda: told.exists() and "slow began" in told.read_text(), "the tool")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(rig.wait_until, lambda: "slow cancelled" in told.read_text(), "the tool's end")


async def test_what_takes_too_long_is_lost_and_stopped(server: McpServer, folder: Path) -> None:
    with pytest.raises(AnswerLost, match=r"no answer within 0.5 s"):
        await one(server, ask("slow", seconds=20, limit_s=0.5))
    told = folder / "told"
    await asyncio.to_thread(rig.wait_until, lambda: "slow cancelled" in told.read_text(), "the tool's end")


async def test_arguments_that_the_server_refuses_are_told(server: McpServer) -> None:
    with pytest.raises(ToolError, match="order"):
        await one(server, ask("order_status", number=7))
    with pytest.raises(ToolError, match="nonsense"):
        await one(server, ask("nonsense"))


@pytest.mark.parametrize(
    ("words", "reason", "mend", "passing"),
    [
        (("401",), "refuses us: HTTP 401", "correct the secret CRM_TOKEN", False),
        (("500",), "answers HTTP 500", "look at the server", True),
        (("hang",), "does not answer within 0.5 s", "start it, or correct its address", True),
    ],
)
async def test_a_server_that_gives_no_session(
    shop: ShopServer, words: tuple[str, ...], reason: str, mend: str, passing: bool
) -> None:
    shop.mode(*words)
    server = shop.definition(authorization="CRM_TOKEN")
    with pytest.raises(ServerAway, match=reason) as caught:
        await with_session(server, {"CRM_TOKEN": "wrong"}, lambda session: session.tools(), open_s=0.5)
    assert mend in caught.value.mend and caught.value.passing is passing


async def test_a_server_that_is_not_there(shop: ShopServer, folder: Path) -> None:
    shop.kill()
    with pytest.raises(ServerAway, match="can't be reached"):
        await one(shop.definition(), ask("count", of=1))
    absent = McpServer(label="a", command=str(folder / "nothing"), cwd=str(folder))
    with pytest.raises(ServerAway, match="can't be started") as caught:
        await one(absent, ask("count", of=1))
    assert not caught.value.passing
    ends = McpServer(label="a", command="true", cwd=str(folder))
    with pytest.raises(ServerAway, match="ends the connection"):
        await one(ends, ask("count", of=1))


async def test_a_list_that_cant_be_read(shop: ShopServer) -> None:
    shop.mode("broken-list")
    with pytest.raises(ServerAway, match="lists its tools in a way that can't be read"):
        await with_session(shop.definition(), {}, lambda session: session.tools())


async def test_secrets_go_into_headers_and_into_the_programs_environment(shop: ShopServer, folder: Path) -> None:
    shop.mode("token")
    server = shop.definition(authorization="T")
    assert await one(server, ask("count", of=1), {"T": TOKEN}) == {"result": 2}
    assert f"POST Bearer {TOKEN}" in shop.lines("requests")


@pytest.mark.parametrize("words", [(), ("legacy",)])
async def test_a_server_that_dies_in_the_middle(shop: ShopServer, words: tuple[str, ...]) -> None:
    shop.mode(*words)
    task = asyncio.create_task(one(shop.definition(), ask("slow", seconds=20)))
    await asyncio.to_thread(rig.wait_until, lambda: "slow began" in shop.lines(), "the tool")
    shop.kill()
    with pytest.raises(AnswerLost):
        await asyncio.wait_for(task, 10)


async def test_a_refusal_by_http_says_that_nothing_was_done(shop: ShopServer) -> None:
    async def work(session: Session) -> Any:
        shop.mode("401")
        return await session.call(ask("pay", key="a"))

    with pytest.raises(NeverRan, match="HTTP 401"):
        await with_session(shop.definition(), {}, work)

    async def failing(session: Session) -> Any:
        shop.mode("500")
        return await session.call(ask("pay", key="a"))

    shop.mode()
    with pytest.raises(AnswerLost, match="HTTP 500"):
        await with_session(shop.definition(), {}, failing)


async def test_an_expired_session_is_told_as_one(shop: ShopServer) -> None:
    shop.mode("legacy")

    async def work(session: Session) -> Any:
        await session.tools()
        await asyncio.to_thread(shop.kill)
        await asyncio.to_thread(shop.start)
        return await session.call(ask("pay", key="a"))

    with pytest.raises(NeverRan, match="not known to the server any more") as caught:
        await with_session(shop.definition(), {}, work)
    assert caught.value.again and shop.lines("effects") == []


async def test_a_silent_server_is_left_in_time(shop: ShopServer) -> None:
    shop.mode("no-answer")
    began = asyncio.get_running_loop().time()
    with pytest.raises(AnswerLost, match="no answer within"):
        await one(shop.definition(), ask("pay", key="a", limit_s=0.5))
    assert asyncio.get_running_loop().time() - began < 10
