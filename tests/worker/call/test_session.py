"""One call's shell: its way from the greeting on, digits, and what it leaves behind."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from structlog.testing import capture_logs

from telephony.pcm import level_dbfs
from tests.worker.call.rig import AGENT, SPEECH, Rig, sound
from tools.run.catalog import Catalog
from worker.call.agent_voice import UNHEARD
from worker.realtime import link as link_module


async def test_greeting_is_asked_for_when_both_session_and_media_are_there(make: Any) -> None:
    rig = make(agent=AGENT.model_copy(update={"greeting": "Hello."}))
    await rig.session.open()
    assert await rig.kinds() == []
    rig.session.answered()
    rig.session.start_media()
    [request] = await rig.arrived()
    words = {"instructions": "Say exactly: Hello.", "tools": []}
    assert request["response"] == {**words, "metadata": {"purpose": "greeting"}}
    assert not rig.session.start_media(), "a re-INVITE greets nobody"
    assert len(await rig.arrived()) == 1
    await rig.session.close()


async def test_the_session_is_told_the_agents_words_and_tools(rig: Rig) -> None:
    [update] = [m for m in rig.service.peer.received if m["type"] == "session.update"]
    assert update["session"]["instructions"] == "Be brief."
    assert [f["name"] for f in update["session"]["tools"]] == ["order_status", "stuck", "quote", "breaks", "end_call"]


async def test_the_callers_audio_goes_out_in_batches_and_none_from_before_the_answer(make: Any) -> None:
    rig = make()
    await rig.session.open()
    rig.run(200, SPEECH)  # rung, not answered
    rig.bridge.push(SPEECH)
    rig.session.answered()
    rig.session.start_media()
    rig.run(400, SPEECH)
    await rig.arrived()
    appends = [base64.b64decode(m["audio"]) for m in rig.service.sent("input_audio_buffer.append")]
    assert len(appends) == 10
    assert sum(map(len, appends)) / 48 == pytest.approx(400, abs=5)
    await rig.session.close()


async def test_the_agents_audio_is_heard_and_its_turn_written_down(rig: Rig) -> None:
    await rig.speaks("r1", 600, text="It is shipped.")
    assert level_dbfs(rig.run(560)) > -20
    assert rig.session.machine.floor.value == "agent"
    rig.run(60)
    assert level_dbfs(rig.run(100)) < -90
    assert rig.session.machine.floor.value == "nobody"
    [turn] = rig.record().turns
    assert (turn.who, turn.text) == ("agent", "It is shipped.")
    assert turn.end_ms - turn.start_ms == pytest.approx(600, abs=45)


async def test_status_tells_the_operator_who_speaks_and_what_is_open(rig: Rig) -> None:
    assert rig.session.status() == {"floor": "nobody", "response": "free", "tools_pending": []}
    await rig.asks("r1", "t1", "order_status", order="427")
    await rig.caller_starts("c2")
    assert rig.session.status() == {"floor": "caller", "response": "free", "tools_pending": ["order_status"]}


async def test_digits_become_one_item_and_are_answered(rig: Rig) -> None:
    with capture_logs() as logs:
        for digit in "427":
            rig.session.digit(digit)
        rig.run(1000)
        assert await rig.kinds() == []
        rig.run(1500)
        item, request = await rig.arrived()
    assert item["item"]["content"][0]["text"] == "The caller typed on the keypad: 427"
    assert request["type"] == "response.create"
    assert "427" not in str(logs) and "427" not in rig.record().model_dump_json(exclude={"dialled"})


async def test_digits_typed_while_there_is_no_session_reach_the_next(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "reconnect_delays", lambda spread, attempts: [0.3] * 6)
    await rig.service.cut()
    await rig.until(lambda: not rig.session.machine.state.connected, "the loss")
    for digit in "42#":
        rig.session.digit(digit)
    await rig.service.sessions(2)
    await rig.service.got("response.create")
    texts = [m["item"]["content"][0]["text"] for m in rig.service.sent("conversation.item.create")]
    assert texts == ["The caller typed on the keypad: 42"]


async def test_what_is_typed_in_place_of_speaking_is_the_callers_words_and_interrupts_nobody(rig: Rig) -> None:
    rig.session.said("where is order 427?")
    item, request = await rig.arrived()
    assert (item["item"]["role"], item["item"]["content"][0]["text"]) == ("user", "where is order 427?")
    assert request["type"] == "response.create"
    await rig.speaks("r1", 600, "resume", text="It is shipped.")
    rig.run(100)
    rig.session.said("thank you")
    assert rig.session.machine.floor.value == "agent"
    assert [(turn.who, turn.text) for turn in rig.record().turns] == [
        ("caller", "where is order 427?"),
        ("agent", "It is shipped."),
        ("caller", "thank you"),
    ]


async def test_at_hang_up_each_tool_does_as_it_declares(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    await rig.asks("r2", "t2", "quote")
    rig.session.hung_up("caller", "200")
    await rig.session.close()
    await rig.until(lambda: rig.shop.cancelled == 1, "quote is cancelled, order_status goes on")
    catalog = rig.services.catalog
    assert [request.tool_call_id for request, _ in catalog.pending("c0ffee")] == ["t1"]
    assert not rig.session._tools._tasks


async def test_the_record_says_of_each_tool_that_ran_at_hang_up_what_became_of_it(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    await rig.asks("r2", "t2", "quote")
    await rig.asks("r3", "t3", "breaks")
    await rig.output("t3")
    rig.session.hung_up("caller", "200")
    record = rig.record()
    await rig.session.end_tools()
    expected = {"order_status": "continues", "quote": "cancelled", "breaks": "failed"}
    assert {call.tool: call.status for call in record.tool_calls} == expected
    assert rig.record() is record
    sent = len(await rig.arrived())
    rig.shop.gate.set()
    await rig.session.end_tools()
    assert len(await rig.arrived()) == sent, "nobody is there to be answered"
    assert {call.tool: call.status for call in record.tool_calls} == expected


async def test_a_redis_that_does_not_answer_holds_up_no_record(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = asyncio.Event()

    async def hanging(self: Catalog, call_id: str) -> tuple[()]:
        await answer.wait()
        return ()

    monkeypatch.setattr(Catalog, "hang_up", hanging)
    await rig.asks("r1", "t1", "order_status", order="427")
    await rig.asks("r2", "t2", "quote")
    rig.session.hung_up("caller", "200")
    await rig.session.end_tools()
    statuses = {call.tool: call.status for call in rig.record().tool_calls}
    assert statuses == {"order_status": "continues", "quote": "unknown"}, "whether it was stopped is not known"
    closing = asyncio.create_task(rig.session.close())
    await asyncio.sleep(0)
    assert not closing.done()
    answer.set()
    await closing


async def test_close_leaves_no_session_and_no_task_behind(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    await rig.session.close()
    await rig.until(lambda: rig.service.sockets[-1].state.name == "CLOSED", "the session's end")
    assert len(rig.service.sockets) == 1 and not rig.session._tools._tasks


async def test_a_fault_of_our_own_hangs_up_at_once_and_once(rig: Rig) -> None:
    rig.session.broke()
    rig.session.broke()
    assert rig.hang_ups == ["internal error"]
    rig.session.hung_up("agent", "200")
    assert rig.record().outcome == "failed"


async def test_memory_of_responses_that_nobody_heard_is_bounded(rig: Rig) -> None:
    await rig.created("r1")
    await rig.caller_starts()
    for number in range(UNHEARD + 20):
        await rig.service.say("response.output_audio.delta", response_id="r1", item_id=f"i{number}", delta=sound(20))
    await rig.taken()
    assert len(rig.session._voice._unheard) == UNHEARD
    await rig.service.cut()
    await rig.service.sessions(2)
    await rig.until(lambda: rig.session.machine.state.connected, "a new session")
    assert not rig.session._voice._unheard
