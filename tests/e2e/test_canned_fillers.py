"""Fillers that the worker speaks by itself, in a call with a voice at either end."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path

import pytest
from parts import sound
from parts.caller import Call
from parts.services import RealtimeServer, RedisServer, ToolWorker, Worker

SHOP = Path(__file__).parent / "parts" / "shop.py"
LOOK_HZ = 1700

AGENT = """
greeting = "Hello."
[tools]
modules = ["{shop}", "tools.builtin.clock"]
[fillers]
mode = "canned"
interval_ms = 2500
texts = ["I am still looking.", "It takes {{about}}."]
[fillers.tools]
order_status = ["Let me look."]
[fillers.wav]
"Let me look." = "look.wav"
"""


@pytest.fixture
def worker(redis: RedisServer, tool_worker: ToolWorker, folder: Path, tmp_path: Path) -> Worker:
    agent = folder / "canned.toml"
    agent.write_text(AGENT.format(shop=SHOP))
    with wave.open(str(folder / "look.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sound.RATE)
        file.writeframes(sound.tone(LOOK_HZ, 800))
    server = RealtimeServer().ready()
    made = Worker(
        tmp_path / "calls",
        REDIS_URL=redis.url,
        OFFHOOK_AGENT=agent,
        OFFHOOK_REALTIME_URL=server.url,
        SHOP_FOLDER=folder,
    )
    try:
        yield made.ready()
        assert made.stop() == 0, made.text()
    finally:
        made.stop()
        server.stop()


def test_they_are_heard_in_turn_and_then_the_answer(worker: Worker, dial: Callable[[str], Call]) -> None:
    call = dial(worker.uri)
    call_id = worker.next_call()
    call.waits(1500)  # the greeting
    call.say("what is the status of order four two seven")
    worker.wait_log("tool_call", call_id=call_id, tool="order_status")
    began = call.hears_tone(LOOK_HZ, 700)  # the file
    worker.wait_log("tool_outcome", call_id=call_id, tool="order_status", status="ok")
    call.waits(6000).hang_up()
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
    assert record["longest_tool_silence_ms"] <= 1200
    said = [turn["text"] for turn in record["turns"] if turn["who"] == "agent"]
    assert any("is shipped with DHL" in text for text in said), said
    assert worker.metric("offhook_fillers_total") >= 2
