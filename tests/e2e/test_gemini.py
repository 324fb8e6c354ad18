"""A worker on the Live API, against the local server: sessions that end, and what is refused.

The scenes of the spoken worker (conftest) run on both protocols.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts.caller import Call
from parts.services import RealtimeServer, RedisServer, ToolWorker, Worker

Dial = Callable[[str], Call]
PLAIN = 0.6
"""Enough to know a sentence by: others have 0.2 to 0.5. How well it sounds is no matter of these scenes."""
RESULT = "Order four two seven is shipped with DHL, and arrives on Thursday."
APOLOGY = "I am sorry, something went wrong on our side. Please call again later. Goodbye."
QUESTION = "what is the status of order four two seven"


@pytest.fixture
def start(
    redis: RedisServer, tool_worker: ToolWorker, spoken_agent: Path, folder: Path, tmp_path: Path
) -> Iterator[Callable[..., Worker]]:
    """Start a local Live API with these options, and a worker on it."""
    running: list[Any] = []

    def begin(*options: str, key: str = "any", **settings: Any) -> Worker:
        server = RealtimeServer(None, "--protocol", "gemini", *options).ready()
        running.append(server)
        own = {
            "REDIS_URL": redis.url,
            "OFFHOOK_AGENT": spoken_agent,
            "SHOP_FOLDER": folder,
            "OFFHOOK_REALTIME": "gemini",
            "OFFHOOK_REALTIME_URL": server.url,
            "GEMINI_API_KEY": key,
        }
        worker = Worker(tmp_path / "records", **{**own, **settings}).ready()
        running.insert(0, worker)
        return worker

    yield begin
    for one in running:
        one.stop()


@pytest.mark.spoken
def test_a_session_that_goes_away_is_resumed_at_a_quiet_moment_and_nothing_is_lost(
    start: Callable[..., Worker], dial: Dial
) -> None:
    """Connections of 66 s: one says so after six. Three sessions in this call, and the caller hears one."""
    desk = start("--connection-seconds", "66")
    call = dial(desk.uri)
    call_id = desk.next_call()
    desk.wait_log("realtime_session_ready", within=40, count=2, call_id=call_id)
    asked = call.say(QUESTION).now_ms
    call.hears_said(RESULT, after=asked, likeness=PLAIN)
    desk.wait_log("realtime_session_ready", within=40, count=3, call_id=call_id)
    asked = call.say(QUESTION).now_ms
    call.hears_said(RESULT, after=asked, likeness=PLAIN)
    call.hang_up()
    record = desk.record(call_id)
    assert record["outcome"] == "completed" and record["errors"] == []
    assert [tool["status"] for tool in record["tool_calls"]] == ["ok", "ok"]
    assert record["usage"]["responses"] >= 3 and record["usage"]["output_audio_tokens"] > 0
    assert desk.metric(r'offhook_realtime_tokens_total\{kind="output_audio"\}') > 0
    assert desk.logged("realtime_connection_lost") == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"key": "wrong"}, "API key not valid"),
        ({"OFFHOOK_REALTIME_MODEL": "gemini-0.1"}, "not found"),
    ],
)
def test_what_is_refused_is_told_to_the_operator_and_the_caller_hears_an_apology(
    start: Callable[..., Worker], dial: Dial, settings: dict[str, str], words: str
) -> None:
    desk = start("--api-key", "right", **{"key": "right", **settings})
    call = dial(desk.uri)
    call_id = desk.next_call()
    refused = desk.wait_log("realtime_refused", call_id=call_id)
    assert words in refused["reason"] and refused["fatal"]
    assert "wrong" not in json.dumps(desk.logged("realtime_refused"))
    call.ended()
    record = desk.record(call_id)
    assert record["outcome"] == "failed"
    assert [turn["text"] for turn in record["turns"] if turn["who"] == "agent"] == [APOLOGY]
