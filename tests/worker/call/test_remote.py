"""Tools that the provider runs, as a call's shell tells of them: record, metrics, history, approvals; no secrets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.worker.call.rig import AGENT, Rig
from worker.agent.agent import Agent
from worker.realtime import link as link_module

TOKEN = "t0ken-4711"


def agent(**server: Any) -> Agent:
    crm = {"label": "crm", "run_by": "provider", "url": "https://crm.example.com/mcp", "authorization": "CRM_TOKEN"}
    tools = {"find": {"filler": "Let me ask them.", "timeout": 5}}
    own = {"mcp": [{**crm, "tools": tools, **server}], "tools": {"approval_seconds": 15}}
    return Agent.model_validate({**AGENT.model_dump(), **own})


@pytest.fixture
async def start(make: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Any]]:
    """Answer a call whose agent has a server of this definition."""
    monkeypatch.setattr(link_module, "reconnect_delays", lambda spread, attempts: [0.0] * 6)
    made: list[Rig] = []

    async def begin(**server: Any) -> Rig:
        made.append(make(agent=agent(**server)))
        await made[0].answer()
        await listed(made[0], "find", "order")
        return made[0]

    yield begin
    for rig in made:
        await rig.session.close()
        await rig.inline.aclose()
        assert rig.faults == []


async def listed(rig: Rig, *names: str) -> None:
    tools = [{"name": name, "input_schema": {}} for name in names]
    item = {"type": "mcp_list_tools", "id": "list_1", "server_label": "crm", "tools": tools}
    await rig.tell("conversation.item.done", item=item)


def call(name: str = "find", **more: Any) -> dict[str, Any]:
    known = {"type": "mcp_call", "id": "mcp_1", "server_label": "crm", "name": name, "arguments": '{"name": "Ada"}'}
    return {**known, **more}


async def asks(rig: Rig, name: str = "find") -> None:
    """The caller's turn; the model answers with a call that the provider runs."""
    await rig.caller_starts()
    await rig.caller_stops()
    await rig.created("r1")
    await rig.tell("response.output_item.added", response_id="r1", item=call(name, arguments=""))
    await rig.tell("response.mcp_call_arguments.done", response_id="r1", item_id="mcp_1", arguments='{"name": "Ada"}')
    await rig.tell("response.mcp_call.in_progress", item_id="mcp_1")


async def ends(rig: Rig, **outcome: Any) -> None:
    kind = "failed" if "error" in outcome else "completed"
    await rig.tell(f"response.mcp_call.{kind}", item_id="mcp_1")
    await rig.tell("response.output_item.done", response_id="r1", item=call(**outcome))


def mcp_of(update: dict[str, Any]) -> list[dict[str, Any]]:
    return [tool for tool in update["session"]["tools"] if tool["type"] == "mcp"]


def requests(messages: list[dict[str, Any]]) -> list[str]:
    return [m["response"]["metadata"]["purpose"] for m in messages if m["type"] == "response.create"]


async def test_a_call_is_in_the_record_with_its_fillers_and_told_by_its_own_response(start: Any) -> None:
    rig = await start()
    await asks(rig)
    rig.run(600)
    filler = await rig.service.got("response.create")
    assert filler["response"]["instructions"] == "Say exactly: Let me ask them."
    await rig.created("f1", **filler["response"]["metadata"])
    await rig.audio("f1", 300)
    await rig.done("f1", metadata=filler["response"]["metadata"])
    rig.run(1400)
    await ends(rig, output="Ada Lovelace")
    await rig.audio("r1", 400, "words")
    await rig.done("r1")
    rig.run(900)
    assert requests(await rig.arrived()) == ["filler"]
    [told] = rig.record().tool_calls
    assert (told.tool, told.mode, told.status, told.fillers) == ("crm__find", "provider", "ok", 1)
    assert told.run_ms == 2000
    text = rig.metrics.exposition().decode()
    assert 'offhook_tool_calls_total{status="ok",tool="crm__find"} 1.0' in text
    assert 'offhook_tool_run_seconds_count{tool="crm__find"} 1.0' in text


async def test_a_call_that_ends_after_its_response_is_told_when_it_is_asked_for(start: Any) -> None:
    rig = await start()
    await asks(rig)
    await rig.done("r1")
    await ends(rig, output="Ada")
    rig.run(700)
    assert requests(await rig.arrived())[-1] == "tool_result"


async def test_a_name_that_nobody_has_listed_is_not_repeated_in_metrics(start: Any) -> None:
    rig = await start()
    await asks(rig, "made_up_by_the_model")
    await ends(rig, output="")
    text = rig.metrics.exposition().decode()
    assert 'tool="crm__(unknown)"' in text and "made_up" not in text


async def test_an_error_goes_to_the_log_and_no_secret_does(start: Any, capsys: pytest.CaptureFixture[str]) -> None:
    rig = await start()
    await asks(rig)
    await ends(rig, error={"type": "http_error", "code": 401, "message": f"Bearer {TOKEN} is refused"})
    await rig.done("r1")
    record = rig.record()
    assert record.tool_calls[0].status == "failed"
    logged = capsys.readouterr().out
    assert "http_error 401: Bearer *** is refused" in logged
    assert TOKEN not in record.model_dump_json() and TOKEN not in logged
    assert TOKEN in json.dumps(rig.service.peer.received), "the provider needs it"
    said = [entry.text for entry in rig.session._conversation.history.entries()]
    assert any("http_error 401" in text for text in said) and not any(TOKEN in text for text in said)


async def test_a_lost_session_is_told_anew_whole_and_of_what_is_not_known(start: Any) -> None:
    rig = await start()
    await asks(rig)
    await rig.service.cut()
    await rig.until(lambda: len(rig.service.heard) > 1 and len(rig.service.heard[1]) > 1, "the next session")
    rest = rig.service.heard[1]
    [definition] = mcp_of([m for m in rig.service.peer.received if m["type"] == "session.update"][1])
    assert definition["authorization"] == TOKEN and definition["server_url"] == "https://crm.example.com/mcp"
    notes = [m["item"]["content"][0]["text"] for m in rest if m["type"] == "conversation.item.create"]
    assert any("crm__find" in note and "not known" in note for note in notes)
    assert requests(await rig.arrived())[-1] == "tool_result"
    assert rig.record().tool_calls[0].status == "unknown"


async def test_an_offer_that_changes_names_a_known_server_by_its_label(start: Any) -> None:
    rig = await start()
    rig.link.configure(rig.link._config)
    *_, update = [m for m in await rig.arrived() if m["type"] == "session.update"]
    assert mcp_of(update) == [{"type": "mcp", "server_label": "crm"}]


async def test_a_call_past_its_time_is_given_up_and_the_model_is_told(start: Any) -> None:
    rig = await start()
    await asks(rig)
    await rig.done("r1")
    rig.run(5200)
    messages = await rig.arrived()
    notes = [m["item"]["content"][0]["text"] for m in messages if m["type"] == "conversation.item.create"]
    assert any("crm__find has not answered in time" in note for note in notes)
    record = rig.record()
    assert record.tool_calls[0].status == "timeout"
    assert [(one.expected, one.reason) for one in record.unmet][-1] == ("end of the provider's tool call", "crm__find")


async def test_a_server_that_fails_is_told_to_the_operator_and_once_to_the_model(start: Any) -> None:
    rig = await start()
    for _ in range(2):
        await rig.tell("mcp_list_tools.failed", item_id="list_1")
    texts = [m["item"]["content"][0]["text"] for m in await rig.arrived() if m["type"] == "conversation.item.create"]
    assert len([text for text in texts if "The tools of crm can't be had" in text]) == 1
    assert [one.expected for one in rig.record().unmet] == ["provider's tools listed"] * 2


async def wants_approval(rig: Rig, name: str = "order") -> None:
    await rig.created("r1")
    item = call(name, type="mcp_approval_request", id="mcpr_1")
    await rig.tell("response.output_item.done", response_id="r1", item=item)
    await rig.done("r1")


async def answers(rig: Rig) -> list[tuple[bool, str | None]]:
    items = [m["item"] for m in await rig.arrived() if m["type"] == "conversation.item.create"]
    return [(i["approve"], i.get("reason")) for i in items if i["type"] == "mcp_approval_response"]


async def test_an_approval_that_nobody_gives_is_declined_after_its_bound(start: Any) -> None:
    rig = await start(tools={"order": {"approval": "operator"}})
    await wants_approval(rig)
    rig.run(19_000)
    assert await answers(rig) == []
    rig.run(1_200)
    assert await answers(rig) == [(False, "Nobody approved it in time.")]
    record = rig.record()
    assert [(one.tool, one.mode, one.status) for one in record.tool_calls] == [("crm__order", "provider", "declined")]
    assert ("approval", "declined") in [(one.expected, one.then) for one in record.unmet]


@pytest.mark.parametrize("yes", [True, False])
async def test_an_operator_decides(start: Any, yes: bool) -> None:
    rig = await start(tools={"order": {"approval": "operator", "summary": "place the order"}})
    await wants_approval(rig)
    await rig.until(rig.session.approvals.waiting, "it waits for an operator")
    [waiting] = rig.session.approvals.waiting()
    assert waiting["tool"] == "crm__order" and waiting["arguments"] == {"name": "Ada"}
    assert rig.session.approvals.answer(1, yes, "Grace") == "done"
    await rig.until(lambda: not rig.session._remote._approvals, "the provider is told")
    [(approve, reason)] = await answers(rig)
    assert approve is yes and (reason is None) is yes
    [record] = rig.record().approvals
    assert (record.approved, record.by, record.who) == (yes, "operator", "Grace")


async def test_where_one_tool_wants_an_approval_the_provider_asks_for_all_and_the_others_run(start: Any) -> None:
    rig = await start(tools={"order": {"approval": "caller"}})
    [tool] = mcp_of(rig.service.peer.received[0])
    assert tool["require_approval"] == "always"
    await wants_approval(rig, "find")
    await rig.until(lambda: not rig.session._remote._approvals, "it is approved at once")
    assert await answers(rig) == [(True, None)]
    await rig.tell("response.output_item.added", response_id="", item=call(approval_request_id="mcpr_1"))
    await rig.tell("response.mcp_call.in_progress", item_id="mcp_1")
    await ends(rig, output="Ada")
    assert [(one.tool, one.status) for one in rig.record().tool_calls] == [("crm__find", "ok")]


async def test_what_waits_is_withdrawn_with_its_session(start: Any) -> None:
    rig = await start(tools={"order": {"approval": "operator"}})
    await wants_approval(rig)
    await rig.until(rig.session.approvals.waiting, "it waits for an operator")
    await rig.service.cut()
    await rig.until(lambda: not rig.session.approvals.waiting(), "nobody is asked any more")
    assert rig.session.approvals.answer(1, True) == "answered"


async def test_what_runs_shows_in_the_status(start: Any) -> None:
    rig = await start()
    await asks(rig)
    assert rig.session.status()["tools_pending"] == ["crm__find"]


async def test_a_server_that_comes_after_a_tool_is_in_the_response_that_tells_of_it_alone(make: Any) -> None:
    rig: Rig = make(agent=agent(after="order_status"))
    await rig.answer()
    assert [mcp_of(m) for m in rig.service.peer.received if m["type"] == "session.update"] == [[]]
    rig.shop.gate.set()
    for number, tool in enumerate(("order_status", "breaks")):
        arguments = {"order": "427"} if tool == "order_status" else {}
        await rig.asks(f"r{number}", f"t{number}", tool, **arguments)
        await rig.output(f"t{number}")
        rig.run(700)
        await rig.created(f"told{number}", "tool_result")
        await rig.done(f"told{number}")
        rig.run(700)
    asked = [m["response"] for m in await rig.arrived() if m["type"] == "response.create"]
    told = [one for one in asked if one["metadata"]["purpose"] == "tool_result"]
    [server] = [tool for tool in told[0]["tools"] if tool["type"] == "mcp"]
    assert server["server_label"] == "crm" and server["authorization"] == TOKEN
    assert {tool.get("name") for tool in told[0]["tools"]} >= {"order_status", "end_call"}
    assert all("tools" not in one for one in told[1:])
    await rig.session.close()
    await rig.inline.aclose()
