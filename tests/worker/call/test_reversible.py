"""A barge-in that is withdrawn: what the caller hears, what the provider is told, and what the record says of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest

from telephony.pcm import level_dbfs
from tests.worker.call.rig import AGENT, SILENCE, SPEECH, Rig
from worker.records.edges import journal_of

REVERSIBLE = AGENT.model_copy(update={"interruption": "reversible"})


@pytest.fixture
async def call(make: Callable[..., Rig]) -> AsyncIterator[Rig]:
    """An answered call of such an agent's, in mid sentence: 4 s, generated at once."""
    made = make(agent=REVERSIBLE)
    await made.answer()
    made.run(200)
    await made.created("r1")
    for _ in range(20):
        await made.audio("r1", 200)
    yield made
    made.shop.gate.set()
    await made.session.close()
    await made.inline.aclose()
    assert made.faults == []


async def cough(call: Rig, ms: int = 240, item: str = "c1") -> None:
    call.run(ms, SPEECH)
    await call.caller_starts(item)


async def says(call: Rig, text: str, item: str = "c1") -> None:
    await call.tell(
        "conversation.item.input_audio_transcription.completed", item_id=item, content_index=0, transcript=text
    )


def sounding_ms(pcm: bytes) -> int:
    """How much of it is no silence: each sample of the agent's tone is loud."""
    return int(np.count_nonzero(np.abs(np.frombuffer(pcm, "<i2")) > 1000)) // 8


async def test_the_session_is_asked_to_leave_the_turns_to_us(call: Rig) -> None:
    update = call.service.peer.received[0]
    detection = update["session"]["audio"]["input"]["turn_detection"]
    assert detection == {"type": "server_vad", "create_response": False, "interrupt_response": False}


async def test_after_a_cough_the_voice_goes_on_at_the_very_sample(call: Rig) -> None:
    call.run(500)
    await cough(call)
    assert call.run(40) == bytes(640), "within a frame"
    before = call.bridge.heard_ms("item-r1")
    assert before == 740
    call.run(400)
    assert call.bridge.heard_ms("item-r1") == before, "the playout clock of the item stands"
    await call.caller_stops()
    call.run(400)
    assert level_dbfs(call.run(40)) > -30, "it goes on"
    await call.tell("response.output_audio.done", response_id="r1", item_id="item-r1")
    await call.done("r1")
    call.run(4000)
    assert sounding_ms(call.heard) == pytest.approx(4000, abs=8), "nothing is lost, and nothing heard twice"
    assert [kind for kind in await call.kinds() if kind != "session.update"] == [], "and nobody is told or asked"
    edges = [edge for edge in journal_of("c0ffee", call.session.journal.taken()).edges if edge.kind == "record"]
    [told] = [edge.data for edge in edges if edge.what == "BargeInWithdrawn"]
    [withdrawn] = call.record().withdrawn
    assert (withdrawn.heard_ms, withdrawn.by) == (740, "length")
    assert told == {"heard_ms": 740, "paused_ms": withdrawn.paused_ms, "by": "length"}
    assert 780 <= withdrawn.paused_ms <= 840
    assert call.record().barge_ins == []


async def test_words_of_listening_let_it_go_on_sooner(call: Rig) -> None:
    call.run(500)
    await cough(call)
    call.run(300)
    await call.caller_stops()
    await says(call, "Mhm.")
    call.run(40)
    assert level_dbfs(call.run(40)) > -30
    [withdrawn] = call.record().withdrawn
    assert withdrawn.by == "words" and withdrawn.paused_ms <= 340


async def test_stop_wait_cuts_at_what_was_heard_before_the_pause(call: Rig) -> None:
    call.run(500)
    await cough(call, 500)
    call.run(300)
    await call.caller_stops()
    await says(call, "Stop, wait.")
    assert level_dbfs(call.run(200)) < -90
    sent = await call.arrived()
    [cut] = [m for m in sent if m["type"] == "conversation.item.truncate"]
    assert (cut["item_id"], cut["audio_end_ms"]) == ("item-r1", 1000)
    assert [m["response_id"] for m in sent if m["type"] == "response.cancel"] == ["r1"]
    await call.done("r1", "cancelled")
    assert (await call.kinds()).count("response.create") == 1
    [barge_in] = call.record().barge_ins
    assert barge_in.heard_ms == 1000 and barge_in.stopped_in_ms < 20 and call.record().withdrawn == []


async def test_who_goes_on_speaking_has_interrupted_before_the_bound(call: Rig) -> None:
    call.run(500)
    await cough(call, 200)
    call.run(800, SPEECH)
    [cut] = [m for m in await call.arrived() if m["type"] == "conversation.item.truncate"]
    assert cut["audio_end_ms"] == 700
    assert call.session.machine.floor.value == "caller"


async def test_what_comes_of_the_answer_in_the_pause_is_heard_after_it(call: Rig) -> None:
    call.run(500)
    await cough(call)
    await call.audio("r1", 200)
    await call.audio("r1", 300, "item-2")
    await call.tell("response.output_audio.done", response_id="r1", item_id="item-r1")
    await call.tell("response.output_audio.done", response_id="r1", item_id="item-2")
    await call.done("r1")
    await call.caller_stops()
    call.run(6000)
    assert sounding_ms(call.heard) == pytest.approx(4500, abs=12)
    assert [turn.who for turn in call.record().turns if turn.who == "agent"] == ["agent", "agent"]
    assert call.session.machine.idle


async def test_a_hang_up_in_the_pause_ends_the_call_at_what_was_heard(call: Rig) -> None:
    call.run(500)
    await cough(call)
    call.run(200)
    call.session.hung_up("caller", "BYE")
    await call.session.end_tools()
    assert call.bridge.heard_ms("item-r1") == 740
    record = call.session.recorder.so_far(call.now * 1000)
    assert record.outcome == "completed" and record.withdrawn == []


async def test_a_session_lost_in_the_pause_lets_what_came_be_heard(call: Rig) -> None:
    call.run(500)
    await cough(call)
    call.run(240)
    await call.service.sockets[-1].close(1011)
    await call.until(lambda: not call.session.machine.state.paused, "the pause is over")
    call.run(40)
    assert level_dbfs(call.run(40)) > -30
    call.run(4000)
    assert sounding_ms(call.heard) >= 3990


async def test_the_apology_ends_a_pause(call: Rig) -> None:
    call.run(500)
    await cough(call)
    call.session.fail("the provider refuses")
    call.run(40)
    assert level_dbfs(call.run(400)) > -60, "it is heard"


async def test_an_exact_agent_is_cut_at_once_as_ever(rig: Rig) -> None:
    await rig.created("r1")
    await rig.audio("r1", 1000)
    rig.run(500)
    await rig.caller_starts()
    assert rig.run(20) == SILENCE
    assert "conversation.item.truncate" in await rig.kinds()
