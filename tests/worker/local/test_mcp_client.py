"""The local server's MCP client against a real server of the SDK, and the server with all of it over a socket."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from worker.local.dialogue import load_dialogue
from worker.local.mcp_client import import_tools, run_tool
from worker.local.remote import Fault, Import, RunTool
from worker.local.response import Pace
from worker.local.server import RealtimeServer, ServerSettings

PARTS = Path(__file__).parents[2] / "e2e" / "parts"


def part(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"parts_{name}", PARTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TOKEN = "t0ken-of-the-desk"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    made = part("mcp_server").McpDesk(tmp_path_factory.mktemp("desk"))
    made.start()
    yield made
    made.stop()


def definition(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "mcp", "server_label": "desk", "server_url": url, "authorization": TOKEN, **more}


async def run(desk: Any, name: str = "order_status", arguments: str = '{"order": "427"}', **more: Any) -> Any:
    return await run_tool(RunTool("mcp_1", definition(desk.url, **more), name, arguments))


async def test_tools_are_listed_with_what_they_say_of_themselves(desk: Any) -> None:
    found = await import_tools(Import("mcpl_1", definition(desk.url)))
    assert isinstance(found, list)
    assert [tool["name"] for tool in found] == ["order_status", "cancel_order"]
    assert found[0]["annotations"]["readOnlyHint"] is True and found[0]["input_schema"]["required"] == ["order"]


async def test_a_tool_runs(desk: Any) -> None:
    desk.be("fine")
    assert json.loads(await run(desk))["carrier"] == "DHL"


async def test_what_goes_wrong_is_one_of_three_kinds(desk: Any) -> None:
    desk.be("fail")
    broke = await run(desk)
    assert broke.kind == "tool_execution_error" and "burnt down" in broke.message and broke.code is None
    assert (await run(desk, arguments="{")).kind == "protocol_error"
    refused = await run(desk, authorization="another")
    assert (refused.kind, refused.code) == ("http_error", 401) and "another" not in repr(refused)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ({"server_url": "http://127.0.0.1:9/mcp"}, "can't be reached"),
        ({"server_url": "http://192.0.2.1/mcp"}, "on this machine alone"),
        ({"server_url": None, "connector_id": "connector_gmail"}, "no connectors"),
    ],
)
async def test_servers_that_can_not_be_had(place: dict[str, Any], words: str) -> None:
    found = await import_tools(Import("mcpl_1", definition("", **place)))
    assert isinstance(found, Fault) and found.kind == "http_error" and words in found.message


async def test_a_job_shows_no_secret() -> None:
    assert TOKEN not in repr(Import("a", definition("http://x"))) + repr(RunTool("a", definition("http://x")))


async def test_a_session_over_a_socket(desk: Any) -> None:
    desk.be("fine")
    settings = ServerSettings(port=0, pace=Pace(speed=50))
    async with RealtimeServer(settings, load_dialogue(), hear=lambda job: "") as server:
        async with connect(server.url, additional_headers={"Authorization": "Bearer key"}) as socket:
            tools = [definition(desk.url, require_approval="never")]
            await say(socket, "session.update", session={"type": "realtime", "tools": tools})
            await until(socket, "mcp_list_tools.completed")
            item = {"type": "message", "role": "user"}
            words = [{"type": "input_text", "text": "what is the status of order four two seven"}]
            await say(socket, "conversation.item.create", item={**item, "content": words})
            await say(socket, "response.create")
            events = await until(socket, "response.done")
    spoken = [one["transcript"] for one in events if one["type"] == "response.output_audio_transcript.done"]
    assert spoken == ["Order four two seven is shipped with DHL, and arrives on Thursday."]
    assert [one["type"] for one in events if "mcp_call." in one["type"]] == [
        "response.mcp_call.in_progress",
        "response.mcp_call.completed",
    ]


async def say(socket: Any, kind: str, **fields: Any) -> None:
    await socket.send(json.dumps({"type": kind, **fields}))


async def until(socket: Any, kind: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        while not events or events[-1]["type"] != kind:
            events.append(json.loads(await socket.recv()))
    return events
