"""A provider that can't be had, breaks off, fails or says what nobody knows."""

from __future__ import annotations

import asyncio
from typing import Any

from structlog.testing import capture_logs

from telephony.pcm import level_dbfs
from tests.worker.call.rig import Rig, goodbye
from worker.call.hangup import APOLOGY_BOUND_S


async def test_a_provider_that_cannot_be_had_is_apologised_for_once_there_is_media(make: Any, peer: Any) -> None:
    async with peer(lambda server, ws: asyncio.sleep(0), refuse=(401, "no")) as refusing:
        rig = make()
        rig.link._connection._provider = refusing.provider
        with capture_logs() as logs:
            await rig.session.open()
        assert rig.hang_ups == []
        assert level_dbfs(rig.run(100)) < -90
        rig.session.answered()
        rig.session.start_media()
        assert level_dbfs(rig.run(3000)) > -40, "the recorded apology"
        assert rig.hang_ups == []
        rig.run(5000)
        assert len(rig.hang_ups) == 1 and "401" in rig.hang_ups[0]
        rig.session.hung_up("agent", "200")
        record = rig.record()
        assert record.outcome == "failed" and "401" in record.errors[0]
        assert [turn.text for turn in record.turns] == ["I am sorry."]
        assert "sk-test" not in str(logs) + str(record)
    await rig.session.close()


async def test_an_apology_whose_playout_stands_still_ends_the_call_all_the_same(rig: Rig) -> None:
    rig.session.fail("gone")
    rig.now += APOLOGY_BOUND_S + 1  # on hold: nothing is pulled
    for _ in range(3):
        rig.session.poll(rig.now)
    assert rig.hang_ups == ["gone"]


async def test_an_apology_that_is_due_when_words_of_ours_end_is_heard(rig: Rig) -> None:
    await rig.caller_starts()
    await rig.caller_stops()
    rig.run(4100)  # nothing is answered: "one moment"
    assert rig.bridge.playing() is not None
    for _ in range(100):
        rig.bridge.pull()
    rig.now += 20
    rig.session.poll(rig.now)  # finds them ended, and the caller's patience too
    assert rig.session.machine.over and rig.hang_ups == []
    rig.run(7000)
    assert len(rig.hang_ups) == 1
    record = rig.record()
    assert record.unmet[-1].then == "apology" and record.turns[-1].text == "I am sorry."


async def test_faults_after_the_hang_up_change_nothing_any_more(rig: Rig) -> None:
    await goodbye(rig, 200)
    rig.run(2000)
    assert rig.hang_ups == ["agent"]
    rig.session.fail("the provider is gone too")
    assert level_dbfs(rig.run(1000)) < -90
    rig.session.hung_up("agent", "200")
    assert rig.record().outcome == "completed" and rig.hang_ups == ["agent"]


async def test_another_audio_format_than_asked_for_ends_the_call_with_an_apology(make: Any, peer: Any) -> None:
    async def scene(server: Any, ws: Any) -> None:
        await server.greet(ws, output={"type": "audio/pcmu"})
        await server.listen(ws)

    async with peer(scene) as server:
        rig = make()
        rig.link._connection._provider = server.provider
        await rig.session.open()
        rig.session.answered()
        rig.session.start_media()
        assert level_dbfs(rig.run(3000)) > -40
        assert "pcmu" in rig.session.recorder.errors[0]
    await rig.session.close()


async def test_three_failed_responses_in_a_row_are_apologised_for(rig: Rig) -> None:
    await rig.caller_starts()
    await rig.caller_stops()
    for number in range(3):
        await rig.created(f"r{number}")
        await rig.done(f"r{number}", "failed", status_details={"error": {"code": "server_error"}})
        rig.run(2000)
    assert level_dbfs(rig.heard[-16000:]) > -60
    rig.run(8000)
    assert rig.hang_ups == ["server_error"]


async def test_an_unknown_event_and_broken_ones_do_not_end_the_call(rig: Rig) -> None:
    await rig.tell("response.something_new", response_id="r1")
    await rig.service.sockets[-1].send("this is not JSON")
    await rig.service.sockets[-1].send("[]")
    await rig.tell("response.output_audio.delta", response_id="r1", item_id="i1", delta="***")
    await rig.speaks("r2", 200)
    assert level_dbfs(rig.run(200)) > -20
    assert rig.hang_ups == []


async def test_a_lost_session_in_the_middle_of_a_turn_is_answered_by_the_next(rig: Rig) -> None:
    await rig.caller_starts()
    await rig.service.cut()
    await rig.service.sessions(2)
    request = await rig.service.got("response.create")
    assert request["response"]["metadata"] == {"purpose": "resume"}
    assert rig.session.machine.floor.value == "nobody", "no speech_stopped will come from the lost session"
    errors = rig.record().errors
    assert len(errors) == 1 and "connection lost" in errors[0]


async def test_a_new_session_knows_what_the_caller_heard_and_no_more(rig: Rig) -> None:
    await rig.speaks("r1", 2000, text="One two three four five six seven eight nine ten")
    rig.run(1000)
    await rig.caller_starts()
    await rig.tell("conversation.item.input_audio_transcription.completed", item_id="c1", transcript="stop")
    await rig.service.cut()
    await rig.service.sessions(2)
    await rig.service.got("conversation.item.create", 2)
    items = [m["item"] for m in rig.service.sent("conversation.item.create")][:2]
    assert [(i["role"], i["content"][0]["text"]) for i in items] == [
        ("assistant", "One two three four five…"),
        ("user", "stop"),
    ]


async def test_a_session_is_replaced_before_the_providers_limit_between_turns_alone(rig: Rig) -> None:
    await rig.asks("r1", "t1", "order_status", order="427")
    rig.now += 3400.0
    rig.session._answered = rig.now  # not the call's own limit
    rig.session.poll(rig.now)
    assert rig.session.machine.state.connected, "not while a tool runs"
    rig.shop.gate.set()
    await rig.output("t1")
    await rig.service.got("response.create")
    await rig.speaks("r2", 200, "tool_result")
    rig.run(1200)  # behind the tone, and past the next look
    await rig.service.sessions(2)
    await rig.until(lambda: rig.session.machine.state.connected, "the new session")
    rig.run(1000)
    assert len(rig.service.sockets) == 2, "once"
