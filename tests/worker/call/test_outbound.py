"""A call of ours, between a bridge whose clock the test moves and a provider: who answers, and what is said then."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.worker.call.rig import AGENT, Rig
from tests.worker.call.test_screening import quiet, speech, tone
from worker.agent.agent import AgentOutbound

GREETING = "Hello, this is the shoe shop."
AGENT_OUT = AGENT.model_copy(update={"greeting": GREETING})


def hears(rig: Rig, *pieces: bytes) -> None:
    """Let the far side say this."""
    pcm = b"".join(pieces)
    for at in range(0, len(pcm), 640):
        for half in (pcm[at : at + 320], pcm[at + 320 : at + 640]):
            rig.bridge.push(half.ljust(320, b"\0"))
            rig.bridge.pull()
            rig.now += 0.02
        rig.session.append(rig.session.uplink.convert(rig.session.take()))
        rig.session.poll(rig.now)


async def asked(rig: Rig) -> list[str]:
    """What was asked of the provider, by its instructions."""
    sent = [one for one in await rig.arrived() if one["type"] == "response.create"]
    return [one["response"].get("instructions", "") for one in sent]


def heard_by_the_model(rig: Rig) -> bytes:
    return b"".join(base64.b64decode(one["audio"]) for one in rig.service.sent("input_audio_buffer.append"))


@pytest.fixture
async def called(make: Any) -> Any:
    made: list[Rig] = []

    async def start(**outbound: Any) -> Rig:
        agent = AGENT_OUT.model_copy(update={"outbound": AgentOutbound(**outbound)})
        made.append(make(agent=agent, outbound=True))
        await made[-1].answer()
        return made[-1]

    yield start
    for rig in made:
        await rig.session.close()
        assert rig.faults == []


async def test_the_greeting_waits_for_who_answers(called: Any) -> None:
    rig = await called()
    hears(rig, quiet(500), speech(700))
    assert await asked(rig) == []
    hears(rig, quiet(1500))
    assert await asked(rig) == [f"Say exactly: {GREETING}"]
    assert rig.record().answered_by == "person"


async def test_the_model_hears_nothing_before_that(called: Any) -> None:
    rig = await called()
    hears(rig, quiet(500), speech(700))
    await rig.arrived()
    appended = heard_by_the_model(rig)
    assert len(appended) > 20_000 and not any(appended), "silence of the same length"
    hears(rig, quiet(1200), speech(500))
    await rig.arrived()
    assert any(heard_by_the_model(rig))


async def test_a_machine_is_hung_up_on_without_a_word(called: Any) -> None:
    rig = await called()
    hears(rig, quiet(300), speech(8000))
    assert rig.hang_ups == ["answering machine"] and await asked(rig) == []
    rig.session.hung_up("agent", "200")
    record = rig.session.recorder.ended(rig.now * 1000, rig.session._hangup.outcome("agent", answered=True))
    assert (record.outcome, record.answered_by) == ("machine", "machine")


async def test_a_message_is_left_after_the_beep_and_nothing_else_is_said(called: Any) -> None:
    rig = await called(on_machine="message", message="Please call us back.")
    hears(rig, quiet(300), speech(8000), quiet(400))
    assert await asked(rig) == [] and rig.hang_ups == []
    hears(rig, tone(400), quiet(500))
    assert await asked(rig) == ["Say exactly: Please call us back."]
    await rig.speaks("r1", 1000, "goodbye")
    rig.run(3000)
    assert rig.hang_ups == ["message left"] and len(await asked(rig)) == 1, "no greeting to a machine"


async def test_words_of_a_machine_end_a_call_that_had_begun(called: Any) -> None:
    rig = await called()
    hears(rig, quiet(300), speech(700), quiet(1500))
    assert await asked(rig) == [f"Say exactly: {GREETING}"]
    await rig.tell(
        "conversation.item.input_audio_transcription.completed",
        item_id="c1",
        content_index=0,
        transcript="Please leave a message after the tone.",
    )
    assert rig.hang_ups == ["answering machine"]


async def test_without_screening_the_agent_begins_at_once(called: Any) -> None:
    rig = await called(screen=False)
    rig.run(100)
    assert await asked(rig) == [f"Say exactly: {GREETING}"]
