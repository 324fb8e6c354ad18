"""Fillers that the worker speaks by itself, in a call with a voice at either end."""

from __future__ import annotations

import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts import sound
from parts.caller import ROUGHLY, Call
from parts.program import until
from parts.provider import ANSWER_HZ, Provider
from parts.services import RealtimeServer, RedisServer, ToolWorker, Worker

SHOP = Path(__file__).parent / "parts" / "shop.py"
LOOK_HZ = 1700
LONG_HZ = 2200
LONG_MS = 3000
LONG = "That will take me a long while."

AGENT = """
greeting = "{greeting}"
[tools]
modules = ["{shop}", "tools.builtin.clock"]
[fillers]
mode = "canned"
interval_ms = 2500
texts = ["I am still looking.", "It takes {{about}}."]
[fillers.tools]
order_status = ["Let me look."]
slow = ["{long}"]
[fillers.wav]
"Let me look." = "look.wav"
"{long}" = "long.wav"
"""


def write_tone(path: Path, hz: int, ms: float) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sound.RATE)
        file.writeframes(sound.tone(hz, ms))


@pytest.fixture
def start(redis: RedisServer, tool_worker: ToolWorker, folder: Path, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Start a worker with canned fillers."""
    started: list[Worker] = []
    write_tone(tmp_path / "look.wav", LOOK_HZ, 800)
    write_tone(tmp_path / "long.wav", LONG_HZ, LONG_MS)

    def one(greeting: str, **settings: Any) -> Worker:
        (agent := tmp_path / "canned.toml").write_text(AGENT.format(shop=SHOP, greeting=greeting, long=LONG))
        settings = {"REDIS_URL": redis.url, "OFFHOOK_AGENT": agent, "SHOP_FOLDER": folder, **settings}
        started.append(Worker(tmp_path / "calls", **settings))
        return started[-1].ready()

    yield one
    for worker in started:
        assert worker.stop() == 0, worker.text()


@pytest.fixture
def worker(start: Callable[..., Worker]) -> Iterator[Worker]:
    """One that can be talked to."""
    server = RealtimeServer().ready()
    try:
        yield start("Hello.", OFFHOOK_REALTIME_URL=server.url)
    finally:
        server.stop()


def test_they_are_heard_in_turn_and_then_the_answer(worker: Worker, dial: Callable[[str], Call]) -> None:
    call = dial(worker.uri)
    call_id = worker.next_call()
    call.waits(1500)  # the greeting
    call.say("what is the status of order four two seven")
    worker.wait_log("tool_call", call_id=call_id, tool="order_status")
    began = call.hears_tone(LOOK_HZ, 700)  # the file
    worker.wait_log("tool_outcome", call_id=call_id, tool="order_status", status="ok")
    answer = "Order four two seven is shipped with DHL, and arrives on Thursday."
    call.hears_said(answer, after=began, likeness=ROUGHLY)
    call.hang_up()
    record = worker.record(call_id)
    assert record["outcome"] == "completed" and not record["errors"]
    fillers = [turn for turn in record["turns"] if turn["who"] == "filler"]
    assert [turn["text"] for turn in fillers[:2]] == ["Let me look.", "I am still looking."]
    assert 700 <= fillers[0]["end_ms"] - fillers[0]["start_ms"] <= 1000
    assert abs(fillers[0]["start_ms"] - began) < 1000
    spoken = sound.levels(bytes(call.heard))[fillers[1]["start_ms"] // 20 : fillers[1]["end_ms"] // 20]
    assert (spoken > sound.QUIET_DBFS).mean() > 0.5, "the voice is heard"
    [look_up] = [one for one in record["tool_calls"] if one["tool"] == "order_status"]
    assert look_up["fillers"] >= 2
    assert record["longest_tool_silence_ms"] <= 1500, "1200, and what a loaded machine adds"
    said = [turn["text"] for turn in record["turns"] if turn["who"] == "agent"]
    assert any("is shipped with DHL" in text for text in said), said
    assert worker.metric("offhook_fillers_total") >= 2


def test_the_caller_speaks_into_one(
    start: Callable[..., Worker], provider: Provider, dial: Callable[[str], Call], folder: Path
) -> None:
    """It stops; the model, which did not say it, is told nothing of it, in a next session either; the result comes."""
    worker = start("", **provider.settings)
    call = dial(worker.uri)
    first, call_id = provider.session(), worker.next_call()
    tool = first.calls("slow", {"seconds": 4, "name": "canned"})
    call.hears_tone(LONG_HZ, 300)
    told = len(first.received)
    item = first.caller_starts()
    until(lambda: worker.calls()[0]["floor"] == "caller", "the caller has the floor")
    call.waits(300)  # what was on its way is heard
    stopped_ms = call.now_ms
    assert first.received[told:] == [], "no truncation, no cancelled response, no item"
    call.waits(500)
    assert sound.tone_ms(bytes(call.heard), LONG_HZ, stopped_ms) == 0
    assert sound.tone_ms(bytes(call.heard), LONG_HZ) < LONG_MS / 2
    first.caller_stops(item, "are you there")
    first.says(ANSWER_HZ, 300, "Yes.")
    call.hears_tone(ANSWER_HZ, 240)

    first.cut()
    second = provider.session()
    answered_ms = call.listen().now_ms
    assert second.output(tool) == {"slept": 4}
    call.hears_tone(ANSWER_HZ, 400, after=answered_ms)
    assert second.texts() == [("user", "are you there"), ("assistant", "Yes.")]
    for session in (first, second):
        assert session.got("conversation.item.truncate") == session.got("conversation.item.delete") == []
        assert session.got("response.cancel") == []
    call.hang_up()
    record = worker.record(call_id)
    [used] = record["tool_calls"]
    assert used["status"] == "ok" and (folder / "canned.ended").exists()
    filler = next(turn for turn in record["turns"] if turn["who"] == "filler")
    assert filler["end_ms"] - filler["start_ms"] < LONG_MS / 2
    assert len(record["barge_ins"]) == 1
