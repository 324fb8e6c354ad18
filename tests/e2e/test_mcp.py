"""Calls whose agent has tools on an MCP server: a real one of the SDK, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts.caller import Call
from parts.program import until
from parts.provider import WORDS_HZ, Provider, Session
from parts.services import OwnDesk, RealtimeServer, RedisServer, ToolWorker, Worker

from tests.tools.mcp.rig import ShopServer
from tests.tools.mcp.shop_server import TOKEN

AGENT = """
greeting = "{greeting}"
goodbye = "Goodbye."
instructions = "You are the order desk."
[[mcp]]
label = "crm"
url = "{url}"
authorization = "CRM_TOKEN"
[mcp.tools.order_status]
filler = "Let me ask the warehouse."
[mcp.tools.count]
mode = "inline"
[mcp.tools.slow]
retries = 0
"""

DIALOGUE = r"""
[[turn]]
hears = ["what is the status of order {order:digits:3}"]
[[turn.call]]
tool = "crm__order_status"
arguments = { order = "{order}" }
[[turn.call.answer]]
when = { status = "shipped" }
say = "Order {order:digits} is shipped with {carrier}."
[[turn.call.answer]]
say = "I do not know."
"""
SECRETS = {"CRM_TOKEN": TOKEN}


@pytest.fixture
def crm(tmp_path: Path) -> Iterator[ShopServer]:
    (folder := tmp_path / "crm").mkdir()
    server = ShopServer(folder)
    server.mode("token")
    yield server
    server.kill()


@pytest.mark.spoken
def test_the_agent_answers_from_an_mcp_server_with_a_filler_before(
    crm: ShopServer, own_folder: Path, tmp_path: Path, dial: Callable[[str], Call]
) -> None:
    (own := own_folder / "warehouse").mkdir()
    redis = RedisServer(own)  # no tool worker of other scenes, who don't know the server, takes its jobs
    redis.start()
    crm.mode("token", "late")
    crm.start()
    agent, dialogue = own_folder / "agent.toml", own_folder / "dialogue.toml"
    agent.write_text(AGENT.format(url=crm.url, greeting="Hello."))
    dialogue.write_text(DIALOGUE)
    settings = {"OFFHOOK_TOOL_SECRETS": "CRM_TOKEN", **SECRETS}
    server = RealtimeServer(dialogue).ready()
    jobs = ToolWorker(redis.url, agent, own_folder, **settings).ready()
    worker = Worker(
        tmp_path / "calls", REDIS_URL=redis.url, OFFHOOK_AGENT=agent, OFFHOOK_REALTIME_URL=server.url, **settings
    ).ready()
    try:
        call = dial(worker.uri)
        call_id = worker.next_call()
        call.waits(2000)  # the greeting
        call.say("what is the status of order four two seven")
        ended = worker.wait_log("tool_outcome", 40.0, call_id=call_id, tool="crm__order_status", status="ok")
        call.waits(5000).hang_up()
        record = worker.record(call_id)
        [used] = record["tool_calls"]
        assert (used["tool"], used["status"], used["mode"]) == ("crm__order_status", "ok", "queued")
        assert used["job_id"] == ended["job_id"] and used["fillers"] >= 1
        said = [turn["text"] for turn in record["turns"] if turn["who"] != "caller"]
        filler, answer = "Let me ask the warehouse.", "Order four two seven is shipped with DHL."
        assert filler in said and any(answer in text for text in said), said
        assert crm.lines("effects") == [] and "order_status 427" in crm.lines()
        assert worker.part("mcp") == {"ok": True, "detail": "crm: 7 tools"}
        assert TOKEN not in worker.text(10_000) + jobs.text(10_000)
    finally:
        assert worker.stop() == 0, worker.text()
        jobs.stop()
        server.stop()
        redis.kill()


def names(settings: dict[str, Any]) -> list[str]:
    return [one["name"] for one in settings["session"]["tools"]]


@pytest.fixture
def desk(crm: ShopServer, own_folder: Path, provider: Provider) -> Iterator[OwnDesk]:
    """A desk whose MCP server is away when it starts."""
    agent = own_folder / "away.toml"
    agent.write_text(AGENT.format(url=crm.url, greeting=""))
    desk = OwnDesk(own_folder, agent, provider.url, secrets=SECRETS)
    yield desk
    assert desk.stop() == 0, desk.worker.text()


def output(session: Session, tool: str, /, **arguments: Any) -> dict[str, Any]:
    return session.output(session.calls(tool, arguments), 40.0)


def test_a_server_that_comes_late_changes_its_list_and_dies(
    desk: OwnDesk, crm: ShopServer, provider: Provider, dial: Callable[[str], Call]
) -> None:
    worker = desk.worker
    away = worker.wait_log("mcp_server_away", server="crm")
    assert (away["reason"], away["mend"]) == ("can't be reached", "start it, or correct its address")
    until(lambda: worker.get("/readyz")[0] == 200, lambda: f"readiness: {worker.get('/readyz')}")
    assert worker.part("mcp")["ok"] is False

    call = dial(worker.uri)
    session, call_id = provider.session(), worker.next_call()
    assert not any(name.startswith("crm__") for name in names(session.got("session.update")[0]))
    assert "There is no tool" in output(session, "crm__count", of=1)["error"]

    crm.start()
    session.wait("session.update", lambda update: "crm__count" in names(update), within=60.0)
    assert output(session, "crm__count", of=1) == {"result": 2}
    assert "'of' is missing" in output(session, "crm__count", off=1)["error"]
    assert output(session, "crm__pay", key="a") == {"result": "paid a"}
    output(session, "crm__learn", name="dance")
    session.wait("session.update", lambda update: "crm__dance" in names(update))
    assert output(session, "crm__dance") == {"result": "dance was run"}

    running = session.calls("crm__pay", {"key": "b", "seconds": 8})
    until(lambda: len(crm.lines("requests")) and worker.logged("tool_call", tool="crm__pay"), "the payment")
    call.waits(2000)
    crm.kill()
    assert "it is not known whether it was done" in session.output(running, 40.0)["error"]
    assert "Nothing was done" in output(session, "crm__count", of=1)["error"]
    call.hang_up()
    record = worker.record(call_id)
    used = [(one["tool"], one["mode"], one["status"]) for one in record["tool_calls"]]
    assert ("crm__count", "inline", "ok") in used and ("crm__pay", "queued", "unknown") in used
    assert crm.lines("effects").count("a") == 1


ASKS = """
[mcp.tools.pay]
approval = "key"
"""


def is_approval(request: dict[str, Any]) -> bool:
    return bool(request["response"].get("metadata", {}).get("purpose") == "approval")


def test_a_payment_on_a_server_waits_for_the_callers_key(
    crm: ShopServer, own_folder: Path, provider: Provider, dial: Callable[[str], Call]
) -> None:
    """Nothing is queued before, a hang-up is a no, and what was approved is what runs."""
    crm.start()
    (folder := own_folder / "asks").mkdir()
    agent = folder / "agent.toml"
    agent.write_text(AGENT.format(url=crm.url, greeting="") + ASKS)
    desk = OwnDesk(folder, agent, provider.url, secrets=SECRETS)
    try:

        def asked(key: str) -> tuple[Call, Session, str, str]:
            call = dial(desk.worker.uri)
            session, call_id = provider.session(), desk.worker.next_call()
            tool = session.calls("crm__pay", {"key": key})
            session.wait("response.create", is_approval)
            call.hears_tone(WORDS_HZ, 400)
            call.waits(1500)
            assert key not in crm.lines("effects") and desk.redis.client.llen("rq:queue:tools") == 0
            return call, session, call_id, tool

        call, session, call_id, tool = asked("yes")
        call.type("1")
        assert session.output(tool, 40.0) == {"result": "paid yes"}
        call.hang_up()
        record = desk.worker.record(call_id)
        assert [(one["tool"], one["approved"], one["by"]) for one in record["approvals"]] == [("crm__pay", True, "key")]
        call, session, call_id, tool = asked("no")
        call.hang_up()
        record = desk.worker.record(call_id)
        assert [(one["approved"], one["by"]) for one in record["approvals"]] == [(False, "hang-up")]
        assert crm.lines("effects") == ["yes"]
    finally:
        assert desk.stop() == 0, desk.worker.text()
