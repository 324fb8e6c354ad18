"""A session that has a catalog in place of tools: looked up, run as the tool's own call, and changed in mid call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts.caller import Call
from parts.program import until
from parts.provider import Provider
from parts.services import RealtimeServer, RedisServer, ToolWorker, Worker

SHOP = Path(__file__).parent / "parts" / "shop.py"

AGENT = """
greeting = "Hello."
instructions = "You are the order desk."
[tools]
modules = ["{shop}"]
exposure = "registry"
deny = ["doomed"]
{tools}
"""

HOOK = """
from pathlib import Path

def tools_for(dialled, caller, agent, time):
    flag = Path(__file__).with_name("open")
    return None if flag.exists() else ["here", "add"]
"""

DIALOGUE = r"""
[[turn]]
hears = ["what is the status of order {order:digits:3}"]

[[turn.call]]
tool = "list_tools"
[[turn.call.answer]]
say = "I have a list."

[[turn.call]]
tool = "run_tool"
arguments = { name = "order_status", arguments = '{"order": "{order}"}' }
[[turn.call.answer]]
when = { status = "shipped" }
say = "Order {order:digits} is shipped with {carrier}."
"""


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RealtimeServer]:
    path = folder / "registry-dialogue.toml"
    path.write_text(DIALOGUE)
    made = RealtimeServer(path).ready()
    yield made
    made.stop()


@pytest.fixture
def start(redis: RedisServer, tool_worker: ToolWorker, folder: Path, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Start a worker whose session has the registry."""
    made: list[Worker] = []

    def one(tools: str = "", **settings: Any) -> Worker:
        agent = folder / f"registry-{len(made)}.toml"
        agent.write_text(AGENT.format(shop=SHOP, tools=tools))
        worker = Worker(
            tmp_path / "calls", REDIS_URL=redis.url, OFFHOOK_AGENT=agent, SHOP_FOLDER=folder, **settings
        ).ready()
        made.append(worker)
        return worker

    yield one
    for worker in made:
        assert worker.stop() == 0, worker.text()


@pytest.mark.spoken
def test_a_question_is_answered_by_way_of_the_catalog(
    start: Callable[..., Worker], server: RealtimeServer, dial: Callable[[str], Call]
) -> None:
    worker = start(OFFHOOK_REALTIME_URL=server.url)
    call = dial(worker.uri)
    call_id = worker.next_call()
    call.waits(2000)  # the greeting
    call.say("what is the status of order four two seven")
    ended = worker.wait_log("tool_outcome", 30.0, call_id=call_id, tool="order_status", status="ok")
    worker.wait_log("tool_call", call_id=call_id)
    call.waits(4000).hang_up()
    record = worker.record(call_id)
    [used] = record["tool_calls"]
    assert (used["tool"], used["status"], used["mode"]) == ("order_status", "ok", "queued")
    assert used["job_id"] == ended["job_id"] == f"{call_id}-{ended['tool_call_id']}"
    assert used["fillers"] >= 1, "a tool's fillers go with it"
    said = [turn["text"] for turn in record["turns"] if turn["who"] != "caller"]
    assert "Let me look that order up." in said, "its own words"
    assert any("Order four two seven is shipped with DHL." in text for text in said), said
    assert worker.metric(r'offhook_tool_calls_total\{status="ok",tool="order_status"\}') == 1


def test_looking_up_mistakes_quota_and_a_change_in_mid_call(
    start: Callable[..., Worker], provider: Provider, dial: Callable[[str], Call], folder: Path
) -> None:
    flag = folder / "open"
    (folder / "hook.py").write_text(HOOK)
    worker = start(
        'hook = "hook.py:tools_for"\nhook_seconds = 1\n[tools.max_runs_of]\nhere = 1',
        **provider.settings,
    )
    call = dial(worker.uri)
    session, call_id = provider.session(), worker.next_call()
    settings = session.got("session.update")[0]["session"]
    registry = ["list_tools", "describe_tool", "run_tool"]
    assert [one["name"] for one in settings["tools"]][:3] == registry
    assert "list_tools" in settings["instructions"]

    def asks(name: str, /, **arguments: Any) -> dict[str, Any]:
        return session.output(session.calls(name, arguments))

    found = asks("list_tools")
    assert (found["version"], [one["name"] for one in found["tools"]]) == (2, ["add", "here"])
    described = asks("describe_tool", name="add")
    assert list(described["parameters"]["properties"]) == ["left", "right"]
    right = {"left": 1, "right": 2}
    assert asks("run_tool", name="add", arguments=right, version=described["version"]) == {"result": 3}
    assert "Did you mean 'add'" in asks("run_tool", name="addd", arguments=right)["error"]
    assert "'right' is missing" in asks("run_tool", name="add", arguments={"left": 1})["error"]
    assert "There is no tool 'ship'" in asks("run_tool", name="ship", arguments={})["error"]
    assert asks("run_tool", name="here", arguments={"word": "yes"}) == {"word": "yes"}
    assert "once in a call" in asks("run_tool", name="here", arguments={"word": "yes"})["error"]

    flag.touch()
    session.wait("session.update", count=2)
    until(lambda: any("version 3" in text for _, text in session.texts()), "the model is told")
    names = [one["name"] for one in asks("list_tools")["tools"]]
    assert "ship" in names and "doomed" not in names
    session.cut()
    again = provider.session()
    assert [one["name"] for one in again.got("session.update")[0]["session"]["tools"]][:3] == registry
    call.hang_up()
    flag.unlink()
    record = worker.record(call_id)
    used = [(one["tool"], one["status"]) for one in record["tool_calls"]]
    assert used == [("add", "ok"), ("add", "invalid"), ("here", "ok"), ("here", "unavailable")]
