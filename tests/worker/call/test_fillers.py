"""What the caller hears while a tool runs."""

from __future__ import annotations

from telephony.pcm import level_dbfs
from tests.worker.call.rig import Rig
from worker.call.playout import PAUSE_MS


async def test_while_a_tool_runs_the_caller_hears_a_filler_then_the_answer_and_never_two_voices(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    rig.run(540)
    [request] = [m for m in await rig.arrived() if m["type"] == "response.create"]
    response = request["response"]
    assert response["conversation"] == "none" and response["tools"] == []
    assert response["input"][0]["content"][0]["text"] == "Say exactly: One moment."
    await rig.created("f1", **response["metadata"])
    await rig.audio("f1", 300)
    assert rig.session.machine.floor.value == "filler"
    rig.run(40)
    rig.shop.gate.set()
    await rig.output("t1")
    await rig.service.got("response.create", 2)
    await rig.created("r2", "tool_result")
    await rig.audio("r2", 100)
    await rig.audio("f1", 100)  # the filler is still being generated
    await rig.audio("r2", 100)
    await rig.done("f1", metadata=response["metadata"])
    await rig.done("r2")
    heard = rig.run(800)
    assert level_dbfs(heard[: 500 * 16]) > -20
    record = rig.record()
    assert record.tool_calls[0].fillers == 1
    assert [turn.who for turn in record.turns if turn.who != "caller"] == ["filler", "agent"]


async def test_the_pause_between_a_filler_and_the_answer_is_not_heard_of_the_answer(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    rig.run(540)
    request = await rig.service.got("response.create")
    await rig.created("f1", **request["response"]["metadata"])
    await rig.audio("f1", 300)
    await rig.tell("response.output_audio.done", response_id="f1", item_id="item-f1")
    await rig.done("f1", metadata=request["response"]["metadata"])
    rig.shop.gate.set()
    await rig.output("t1")
    await rig.created("r2", "tool_result")
    await rig.audio("r2", 2000)
    rig.run(300 + PAUSE_MS + 400)
    await rig.caller_starts("c2")
    [cut] = [m for m in await rig.arrived() if m["type"] == "conversation.item.truncate"]
    assert (cut["item_id"], cut["audio_end_ms"]) == ("item-r2", 400)
    assert rig.record().barge_ins[0].heard_ms == 400


async def test_silence_while_a_tool_runs_is_bridged_by_the_tone(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    rig.run(20_000)  # the provider never makes the fillers
    rig.shop.gate.set()
    await rig.output("t1")
    record = rig.record()
    assert 0 < record.longest_tool_silence_ms <= 1200


async def test_a_barge_in_on_a_filler_truncates_nothing_for_it_is_no_part_of_the_conversation(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    rig.run(540)
    request = await rig.service.got("response.create")
    await rig.created("f1", **request["response"]["metadata"])
    await rig.audio("f1", 2000)
    rig.run(400)
    await rig.caller_starts("c2")
    kinds = await rig.kinds()
    assert "conversation.item.truncate" not in kinds and "conversation.item.delete" not in kinds
    assert kinds[-1] == "response.cancel"
    await rig.audio("f1", 500, item="item-f2")
    await rig.done("f1", "cancelled", metadata=request["response"]["metadata"])
    assert "conversation.item.delete" not in await rig.kinds()
    assert rig.shop.cancelled == 0
