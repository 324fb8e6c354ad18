"""A call that is recorded as law asks: not before a yes, not while it is paused."""

from __future__ import annotations

import json
import wave
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from telephony.recording import StereoRecorder
from tests.worker.call.rig import AGENT, SILENCE, SPEECH, Rig
from worker.agent.recording import AgentRecording, not_asked
from worker.turns.approvals import ANSWER_S

ASK = "May I record this call?"
GREETING = "Hello."

Start = Callable[..., Any]


@pytest.fixture
async def start(make: Any, tmp_path: Path) -> AsyncIterator[Start]:
    made: list[Rig] = []

    async def begin(greeting: str = GREETING, **rules: Any) -> Rig:
        agent = AGENT.model_copy(update={"greeting": greeting, "recording": AgentRecording(**rules)})
        rig: Rig = make(agent=agent)
        made.append(rig)
        rig.file = StereoRecorder(tmp_path / "call.wav", rig.bridge)  # type: ignore[attr-defined]
        rig.session.recording.use(rig.file)  # type: ignore[attr-defined]
        await rig.answer()
        return rig

    yield begin
    for rig in made:
        await rig.session.close()
        assert rig.faults == []


def kept(rig: Rig) -> bytes | None:
    """What of the caller's is in the file, by the frame; None: there is none.

    The rig pushes before it pulls, the other way round than the conference: the first and the last tick are halves.
    """
    rig.file.close()  # type: ignore[attr-defined]
    path: Path = rig.file.path  # type: ignore[attr-defined]
    if not path.exists():
        return None
    with wave.open(str(path), "rb") as wav:
        samples = wav.readframes(wav.getnframes())
    caller = b"".join(samples[at : at + 2] for at in range(0, len(samples), 4))
    return caller[: -len(SILENCE)]


async def words(rig: Rig) -> list[str]:
    sent = [one for one in await rig.arrived() if one["type"] == "response.create"]
    return [one["response"].get("instructions", "").removeprefix("Say exactly: ") for one in sent]


async def hears(rig: Rig, number: int = 1, text: str = ASK) -> None:
    await rig.speaks(f"q{number}", 200, "approval", text)
    rig.run(400, SPEECH)


async def test_nobody_is_asked_where_no_words_are_given_and_all_is_recorded(start: Start) -> None:
    rig = await start()
    rig.run(100, SPEECH)
    assert kept(rig) == SPEECH * 5
    record = rig.record()
    assert (record.consent, record.recorded_from_ms) == (None, 0) and record.recording is not None


async def test_the_question_comes_first_and_nothing_is_recorded_before_a_yes(start: Start) -> None:
    rig = await start(consent=ASK)
    rig.run(200, SPEECH)
    assert await words(rig) == [ASK]
    await hears(rig)
    assert kept_none(rig)
    rig.session.digit("1")
    rig.run(60, SPEECH)
    assert await words(rig) == [ASK, GREETING]
    assert kept(rig) == SPEECH * 3
    consent = rig.record().consent
    assert consent is not None and (consent.given, consent.by) == (True, "key")
    assert consent.asked_ms == 0 and consent.answered_ms == rig.record().recorded_from_ms == 600
    assert rig.metrics.recording_consents_total.labels("key", "yes")._value.get() == 1


def kept_none(rig: Rig) -> bool:
    rig.file.drain()  # type: ignore[attr-defined]
    path: Path = rig.file.path  # type: ignore[attr-defined]
    return not path.exists()


async def test_a_spoken_yes_counts_and_the_greeting_follows_it(start: Start) -> None:
    rig = await start(consent=ASK)
    rig.run(100)
    await hears(rig)
    await rig.caller_starts("a1")
    await rig.caller_stops("a1")
    await rig.tell("conversation.item.input_audio_transcription.completed", item_id="a1", transcript="Yes, please.")
    await rig.created("own")
    await rig.done("own", "cancelled")
    rig.run(60, SPEECH)
    assert (await words(rig))[-1] == GREETING
    assert kept(rig) == SPEECH * 3
    assert rig.record().consent.by == "voice"


@pytest.mark.parametrize(("status", "frames"), [(200, 3), (486, 6)])
async def test_whom_the_call_goes_on_with_has_not_agreed(start: Start, status: int, frames: int) -> None:
    rig = await start(consent=ASK, pause=True)
    rig.run(200)
    await hears(rig)
    rig.session.digit("1")
    rig.run(60, SPEECH)
    rig.session.handed_over("refer", status)
    rig.session.recording.mute("agent", True)
    rig.session.recording.mute("agent", False)  # which takes nothing back
    rig.run(60, SPEECH)
    whole = kept(rig)
    assert whole is not None and whole.count(SPEECH) == frames and len(whole) == len(SPEECH) * 6
    assert ["hand-over"] * (status == 200) == [one.why for one in rig.record().pauses if one.why != "agent"]


async def test_where_nobody_is_asked_the_recording_goes_on_with_whoever_is_there(start: Start) -> None:
    rig = await start()
    rig.session.handed_over("replaces", 200)
    rig.run(100, SPEECH)
    assert kept(rig) == SPEECH * 5 and rig.record().pauses == []


@pytest.mark.parametrize("how", ["key", "silence"])
async def test_without_a_yes_the_call_goes_on_unrecorded(start: Start, how: str) -> None:
    rig = await start(consent=ASK)
    rig.run(100)
    await hears(rig)
    if how == "key":
        rig.session.digit("2")
    else:
        rig.run(round(ANSWER_S * 1000) + 200)
        again = (await words(rig))[-1]
        assert ASK in again
        await hears(rig, 2, again)
        rig.run(round(ANSWER_S * 1000) + 200)
    rig.run(200, SPEECH)
    assert (await words(rig))[-1] == GREETING
    assert kept(rig) is None and rig.hang_ups == []
    record = rig.record()
    assert record.recording is None and record.recorded_from_ms is None
    by = "key" if how == "key" else "nobody"
    assert (record.consent.given, record.consent.by) == (False, by)
    assert rig.metrics.recording_consents_total.labels(by, "no")._value.get() == 1


async def test_a_hang_up_in_the_question_is_no_yes(start: Start) -> None:
    rig = await start(consent=ASK)
    rig.run(100)
    rig.session.hung_up("caller", "200")
    assert kept(rig) is None
    record = rig.record()
    assert record.consent.given is False and record.consent.answered_ms is None


async def test_an_agent_that_does_not_greet_answers_who_has_answered(start: Start) -> None:
    rig = await start(greeting="", consent=ASK)
    rig.run(100)
    await hears(rig)
    rig.session.digit("1")
    rig.run(60)
    assert len(await words(rig)) == 2


async def test_a_pause_is_silence_of_the_same_length_and_stands_in_the_record(start: Start) -> None:
    rig = await start(pause=True)
    functions = rig.session.recording.functions
    rig.run(100, SPEECH)
    assert await functions["pause_recording"](None) == {"status": "paused"}
    assert (await functions["pause_recording"](None))["status"] == "paused_already"
    rig.run(60, SPEECH)
    rig.session.recording.mute("digits", True)
    assert await functions["resume_recording"](None) == {"status": "recording"}
    rig.run(40, SPEECH)
    rig.session.recording.mute("digits", False)
    rig.run(40, SPEECH)
    assert kept(rig) == SPEECH * 5 + SILENCE * 5 + SPEECH * 2
    assert [(one.at_ms, one.until_ms, one.why) for one in rig.record().pauses] == [(100, 200, "agent")]


async def test_there_is_nothing_to_pause_in_a_call_that_is_not_recorded(start: Start) -> None:
    rig = await start(consent=ASK, pause=True)
    assert (await rig.session.recording.functions["pause_recording"](None))["status"] == "not_recorded"
    assert rig.record().pauses == []


@pytest.mark.parametrize(("recordings", "pause", "offered"), [(True, True, 2), (True, False, 0), (False, True, 0)])
async def test_the_functions_are_offered_where_they_are_of_use(
    make: Any, recordings: bool, pause: bool, offered: int
) -> None:
    agent = AGENT.model_copy(update={"recording": AgentRecording(pause=pause)})
    rig: Rig = make(agent=agent, recordings=recordings)
    await rig.answer()
    sent = json.dumps([one for one in rig.service.peer.received if one["type"] == "session.update"])
    assert sent.count("_recording") == offered
    await rig.session.close()


async def test_beeps_tell_of_what_is_recorded_and_of_nothing_else(start: Start) -> None:
    rig = await start(beep_seconds=15, consent=ASK)
    heard: list[float] = []
    rig.session.recording.beep = heard.append
    rig.run(100)
    await hears(rig)
    assert heard == []
    rig.session.digit("1")
    rig.session.recording.mute("digits", True)
    rig.session.recording.mute("digits", False)
    assert heard == [15, 0, 15]


def test_a_second_line_is_not_recorded_where_the_caller_may_say_no() -> None:
    assert not not_asked(AgentRecording(consent=ASK)).enabled
    assert not_asked(AgentRecording(pause=True)) == AgentRecording()
