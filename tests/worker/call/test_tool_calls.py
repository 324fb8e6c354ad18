"""The tool calls of a call, whatever becomes of tool, session or caller."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.worker.call.rig import Rig
from worker.realtime import link as link_module


async def test_a_tools_result_is_answered_and_a_response_to_it_asked_for_once(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    rig.shop.gate.set()
    assert "shipped" in await rig.output("t1")
    assert [m["response"]["metadata"] for m in rig.service.sent("response.create")] == [{"purpose": "tool_result"}]
    assert rig.shop.runs == ["427"]
    [call] = rig.record().tool_calls
    assert (call.tool, call.mode, call.status) == ("order_status", "inline", "ok")


async def test_barge_in_while_a_tool_runs_loses_neither_tool_nor_result(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    await rig.caller_starts("c2")
    await rig.caller_stops("c2")
    await rig.speaks("r2", 300, text="Still looking.")
    rig.run(400)
    assert rig.shop.cancelled == 0
    rig.shop.gate.set()
    assert "shipped" in await rig.output("t1")
    await rig.service.got("response.create")
    assert rig.shop.runs == ["427"]


async def test_words_of_the_caller_cancel_a_tool_that_asks_for_that_and_the_model_is_told(rig: Rig) -> None:
    await rig.asks("r1", "t1", "quote")
    await rig.asks("r2", "t2", "order_status", order="427")
    await rig.caller_starts("c2")
    await rig.caller_stops("c2")
    heard = "conversation.item.input_audio_transcription.completed"
    await rig.tell(heard, item_id="c2", transcript="and by train?")
    await rig.created("r3")  # what came of a tool does not go between a question and its answer
    output = json.loads(await rig.output("t1"))
    assert output["status"] == "cancelled" and "The caller spoke" in output["error"]
    assert rig.shop.runs == ["quote", "427"] and rig.shop.cancelled == 1, "order_status goes on"
    rig.shop.gate.set()
    assert "shipped" in await rig.output("t2")
    assert {call.tool: call.status for call in rig.record().tool_calls} == {"quote": "cancelled", "order_status": "ok"}


async def test_a_result_that_a_lost_session_took_with_it_is_told_to_the_next_one(rig: Rig) -> None:
    """Else the model asks for the tool again, and orders twice."""
    await rig.tell(
        "conversation.item.input_audio_transcription.completed", item_id="c1", transcript="where is order 427"
    )
    await rig.asks("r1", "t1", "order_status", order="427")
    rig.shop.gate.set()
    await rig.output("t1")
    await rig.service.cut()  # before a word of it was spoken
    await rig.service.sessions(2)
    await rig.until(lambda: rig.session.machine.slot.state.value == "requested", "the answer is asked for again")
    sent = await rig.arrived()
    texts = [m["item"]["content"][0]["text"] for m in sent if m["type"] == "conversation.item.create"]
    assert texts[0] == "where is order 427"
    assert "order_status" in texts[1] and "shipped" in texts[1]
    assert sent[-1]["type"] == "response.create"
    assert rig.shop.runs == ["427"]


async def test_a_tool_that_runs_across_a_lost_session_runs_once_and_is_answered_in_the_next(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    await rig.service.cut()
    await rig.service.sessions(2)
    await rig.until(lambda: rig.session.machine.state.connected, "a new session")
    first = (await rig.arrived())[0]["item"]
    assert (first["type"], first["call_id"], json.loads(first["arguments"])) == (
        "function_call",
        "t1",
        {"order": "427"},
    )
    rig.shop.gate.set()
    assert "shipped" in await rig.output("t1")
    assert rig.shop.runs == ["427"]


async def test_an_outcome_that_comes_between_two_sessions_is_sent_after_its_call(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "reconnect_delays", lambda spread, attempts: [0.3] * 6)
    await rig.asks("r1", "t1", "order_status", order="427")
    await rig.service.cut()
    await rig.until(lambda: not rig.session.machine.state.connected, "the loss")
    rig.shop.gate.set()
    await rig.until(lambda: rig.session.machine.pending.held(), "the outcome")
    assert len(rig.service.sockets) == 1
    await rig.service.sessions(2)
    await rig.output("t1")
    types = [m["item"]["type"] for m in rig.service.sent("conversation.item.create")][:2]
    assert types == ["function_call", "function_call_output"]


@pytest.mark.parametrize(
    ("name", "arguments", "status", "words"),
    [
        ("stuck", {}, "timeout", ""),
        ("breaks", {}, "failed", ""),
        ("order_status", {"ordre": "427"}, "invalid", "order"),
        ("order_stats", {"order": "427"}, "unknown_tool", "order_status"),
    ],
)
async def test_no_fault_of_a_tool_leaves_its_call_open(
    rig: Rig, name: str, arguments: dict[str, str], status: str, words: str
) -> None:
    await rig.asks("r1", "t1", name, **arguments)
    await rig.caller_starts("c2")  # also when the caller talks into it
    await rig.caller_stops("c2")
    await rig.created("r2")
    output = json.loads(await rig.output("t1"))
    assert output["status"] == status and words in output["error"] and "4711" not in str(output)
    assert not rig.session.machine.pending
    [call] = rig.record().tool_calls
    assert call.status == status


async def test_a_bug_of_ours_in_a_tool_call_is_an_answer_too(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*args: object, **kwargs: object) -> None:
        raise KeyError("our bug")

    monkeypatch.setattr(rig.services.catalog, "run", broken)
    await rig.asks("r1", "t1", "order_status", order="427")
    assert json.loads(await rig.output("t1"))["status"] == "failed"
    assert not rig.session.machine.pending


async def test_an_unknown_tools_name_makes_no_label_of_a_metric(rig: Rig) -> None:
    await rig.asks("r1", "t1", "made_up_by_the_model")
    await rig.output("t1")
    text = rig.metrics.exposition().decode()
    assert "made_up" not in text and 'status="unknown_tool",tool="(unknown)"' in text


async def test_a_call_by_a_discarded_response_is_answered_and_not_run(rig: Rig) -> None:
    await rig.created("r1")
    await rig.audio("r1", 500)
    rig.run(100)
    await rig.caller_starts()
    await rig.calls("r1", "t1", "order_status", order="427")
    assert json.loads(await rig.output("t1"))["status"] == "not_started"
    assert rig.shop.runs == []


async def test_two_calls_of_one_response_are_answered_by_one_response(rig: Rig) -> None:
    await rig.caller_starts()
    await rig.caller_stops()
    await rig.created("r1")
    await rig.calls("r1", "t1", "order_status", order="1")
    await rig.calls("r1", "t2", "order_status", order="2")
    await rig.done("r1")
    rig.shop.gate.set()
    await rig.output("t1")
    await rig.output("t2")
    await rig.arrived()
    assert len(rig.service.sent("response.create")) == 1


async def test_a_gateway_that_cannot_talk_while_a_call_is_open_gets_a_placeholder_and_then_the_result(
    make: Callable[..., Rig],
) -> None:
    rig = make(tool_calls="placeholder")
    await rig.answer()
    await rig.asks("r1", "t1", "order_status", order="427")
    rig.run(600)
    assert json.loads(await rig.output("t1")) == {"status": "pending"}
    filler = await rig.service.got("response.create")
    assert filler["response"]["metadata"]["purpose"] == "filler"
    rig.shop.gate.set()
    answer = await rig.service.got("response.create", 2)
    assert answer["response"]["metadata"] == {"purpose": "tool_result"}
    items = [m["item"] for m in rig.service.sent("conversation.item.create") if m["item"]["type"] == "message"]
    results = [item["content"][0]["text"] for item in items if "order_status" in item["content"][0]["text"]]
    assert len(results) == 1 and "shipped" in results[0] and "t1" in results[0]
    await rig.session.close()
    await rig.inline.aclose()
