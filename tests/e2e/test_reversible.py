"""A caller who coughs, says "mhm" and then really interrupts, over real SIP: what is heard of the agent's sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parts import sound
from parts.caller import ROUGHLY, Call, agent_voice
from parts.services import Worker

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


def pieces(entries: list[dict[str, Any]]) -> Iterator[tuple[int, int, int]]:
    """From where to where the sentence was heard before each pause (ms), and how long that was."""
    began = 0
    for one in entries:
        yield began, one["heard_ms"], one["paused_ms"]
        began = one["heard_ms"]


def test_a_cough_and_an_mhm_lose_nothing_of_the_sentence_and_stop_wait_cuts_it(
    patient: Worker, dial: Callable[[str], Call]
) -> None:
    call = dial(patient.uri)
    call_id = patient.next_call()
    began = call.hears_sound(agent_voice(SENTENCE)[: 1200 * 16], "its beginning", likeness=ROUGHLY)
    call.play(cough()).waits(2200)
    call.say("mm hmm").waits(2200)
    call.say("stop, please wait a moment").waits(1500)
    call.hang_up()
    record = patient.record(call_id)
    print("REC", record["turns"], record["withdrawn"], record["barge_ins"])
    assert [one["by"] in ("words", "length") for one in record["withdrawn"]] == [True, True], record
    at, heard = began, bytes(call.heard)
    for start, end, paused in pieces(record["withdrawn"]):
        alike, found = sound.find(heard[int(at - 200) * 16 :], agent_voice(SENTENCE)[start * 16 : end * 16])
        assert alike >= ROUGHLY and abs(found + at - 200 - at) <= NEAR_MS, (start, end, alike, found)
        quiet = heard[int(at + end - start + NEAR_MS) * 16 : int(at + end - start + paused - NEAR_MS) * 16]
        assert sound.levels(quiet).max() < sound.SPEECH_DBFS, "the voice paused"
        assert paused <= 1000
        at += end - start + paused
    [cut] = record["barge_ins"]
    rest = agent_voice(SENTENCE)[record["withdrawn"][-1]["heard_ms"] * 16 : cut["heard_ms"] * 16]
    alike, found = sound.find(heard[int(at - 200) * 16 :], rest)
    assert alike >= ROUGHLY and abs(found - 200) <= NEAR_MS, "and goes on at the very place"
    said = next(one["text"] for one in record["turns"] if one["who"] == "agent")
    assert SENTENCE.startswith(said.rstrip(".…")) and said != SENTENCE, "the rest was not heard"
