"""A caller who coughs, says "mhm" and then really interrupts, over real SIP: what is heard of the agent's sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parts import sound
from parts.caller import ROUGHLY, Call, agent_voice, voice
from parts.provider import ANSWER_HZ, WORDS_HZ, Provider
from parts.services import Worker

from telephony.resample import Resampler
from worker.local.speech import synthesize

SENTENCE = (
    "Welcome to the order desk. We are open from nine in the morning until six in the evening on every working day,"
    " and on Saturdays until noon. You can ask me about an order, about a parcel that has not come,"
    " or about whatever else you would like to know of our shop."
)
AGENT = f"""
greeting = "{SENTENCE}"
interruption = "reversible"
"""
NEAR_MS = 60
"""Three frames: the record's ms are rounded to the playout's, the caller's to what came in."""


@pytest.fixture(scope="module")
def patient(own_folder: Path) -> Iterator[Worker]:
    """A worker with the local realtime server, whose agent's barge-ins may be withdrawn."""
    agent = own_folder / "patient.toml"
    agent.write_text(AGENT)
    worker = Worker(own_folder, OFFHOOK_AGENT=agent).ready()
    yield worker
    assert worker.stop() == 0, worker.text()


def cough() -> bytes:
    """A burst of noise of 0.3 s that dies away."""
    rng = np.random.default_rng(7)
    at = np.arange(int(0.3 * sound.RATE))
    return (rng.normal(0, 6000, at.size) * np.exp(-at / (0.1 * sound.RATE))).clip(-32000, 32000).astype("<i2").tobytes()


def mhm() -> bytes:
    """As a listener says it, in passing: half a second."""
    pcm, rate_hz = synthesize("mm hmm", "en-us", 250)
    return Resampler(rate_hz, sound.RATE).process(pcm)


def pieces(entries: list[dict[str, Any]]) -> Iterator[tuple[int, int, int]]:
    """From where to where the sentence was heard before each pause (ms), and how long that was."""
    began = 0
    for one in entries:
        yield began, one["heard_ms"], one["paused_ms"]
        began = one["heard_ms"]


def test_a_cough_pauses_a_voice_that_then_says_all_of_it_and_a_word_cuts_it(
    dial: Callable[[str], Call], desk: Worker, provider: Provider
) -> None:
    call = dial(desk.uri.replace("agent@", "patient@"))
    session, call_id = provider.session(), desk.next_call()
    session.says(WORDS_HZ, 2500, "All of this.")
    call.hears_tone(WORDS_HZ, 400)
    call.play(cough(), wait=False).waits(100)
    item = session.caller_starts()
    call.waits(800)
    session.caller_stops(item, "that")  # as a transcriber may write it
    call.hears_tone(WORDS_HZ, 2440)
    assert [hz for hz, _ in call.tones()] == [WORDS_HZ] * 2, "it paused"
    assert session.got("response.create") == [], "nobody answers a cough"
    session.says(ANSWER_HZ, 6000, "And this is cut off.")
    call.hears_tone(ANSWER_HZ, 400)
    call.play(voice("stop please"), wait=False).waits(150)
    item = session.caller_starts()
    call.waits(300)
    session.caller_stops(item, "stop, please")
    session.wait("conversation.item.truncate")
    session.wait("response.create")
    call.hang_up()
    record = desk.record(call_id)
    [withdrawn], [cut] = record["withdrawn"], record["barge_ins"]
    heard = bytes(call.heard)
    assert abs(sound.tone_ms(heard, WORDS_HZ) - 2500) <= NEAR_MS, "nothing is lost, and nothing heard twice"
    assert abs(sound.tone_ms(heard, ANSWER_HZ) - cut["heard_ms"]) <= NEAR_MS
    [truncated] = session.got("conversation.item.truncate")
    assert truncated["audio_end_ms"] == cut["heard_ms"] and withdrawn["paused_ms"] <= 1100


@pytest.mark.spoken
def test_a_cough_and_an_mhm_lose_nothing_of_the_sentence_and_stop_wait_cuts_it(
    patient: Worker, dial: Callable[[str], Call]
) -> None:
    call = dial(patient.uri)
    call_id = patient.next_call()
    call.waits(2000).play(cough()).waits(1600)
    call.play(mhm()).waits(1800)
    call.say("stop, please wait a moment").waits(600)
    call.hang_up()
    record = patient.record(call_id)
    whole, heard, withdrawn = agent_voice(SENTENCE), bytes(call.heard), record["withdrawn"]
    assert len(withdrawn) == 2 and all(one["paused_ms"] <= 1100 for one in withdrawn), record
    _, at = sound.find(heard, whole[: withdrawn[0]["heard_ms"] * 16])
    for start, end, paused in pieces(withdrawn):
        assert found_at(heard, at, whole[start * 16 : end * 16]), f"{start} to {end} ms of it"
        silent = heard[int(at + end - start + NEAR_MS) * 16 : int(at + end - start + paused - NEAR_MS) * 16]
        assert sound.levels(silent).max() < sound.SPEECH_DBFS, "the voice pauses"
        at += end - start + paused
    [cut] = record["barge_ins"]
    assert found_at(heard, at, whole[withdrawn[-1]["heard_ms"] * 16 : cut["heard_ms"] * 16]), "on at the very place"
    said = next(one["text"] for one in record["turns"] if one["who"] == "agent")
    assert SENTENCE.startswith(said.rstrip("…")) and said != SENTENCE, "the rest was not heard"


def found_at(heard: bytes, at: float, wanted: bytes) -> bool:
    """Whether this is what was heard at that ms."""
    begin = max(0, int(at) - 300)
    alike, found = sound.find(heard[begin * 16 : int(at + 300) * 16 + len(wanted)], wanted)
    return alike >= ROUGHLY and abs(begin + found - at) <= NEAR_MS
