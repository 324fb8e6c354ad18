"""A provider that stalls or lies, over real SIP: the caller hears words, then the model, or an apology."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts.caller import ROUGHLY, Call
from parts.program import until
from parts.services import RealtimeServer, RedisServer, ToolWorker, Worker

from worker.call.sounds import APOLOGY, OWN_WORDS, load_prompt

Start = Callable[..., tuple[Worker, RealtimeServer]]
SHOP = Path(__file__).parent / "parts" / "shop.py"
GREETING = "Hello, this is the order desk."
ANSWER = "I can look up an order for you."
AGENT = """
greeting = "{greeting}"
[tools]
modules = ["{shop}"]
"""
DIALOGUE = """
results_alone = {alone}
[faults]
{faults}
[[turn]]
hears = ["what can you do"]
say = "{answer}"
[[turn]]
hears = ["are you still there"]
say = "Yes, I am here."
[[turn]]
hears = ["where is my parcel"]
[[turn.call]]
tool = "slow"
arguments = {{ seconds = 4, name = "parcel" }}
[[turn.call.answer]]
when = {{ slept = "*" }}
say = "Your parcel is at the front door."
"""


def own_words(name: str) -> bytes:
    return load_prompt(OWN_WORDS[name][0], 8000)


@pytest.fixture
def start(redis: RedisServer, tool_worker: ToolWorker, folder: Path, tmp_path: Path) -> Iterator[Start]:
    """Start a realtime server with these faults, and a worker for it."""
    started: list[tuple[Worker, RealtimeServer]] = []
    (agent := tmp_path / "agent.toml").write_text(AGENT.format(greeting=GREETING, shop=SHOP))

    def one(faults: str = "", *, alone: bool = False) -> tuple[Worker, RealtimeServer]:
        (dialogue := tmp_path / "dialogue.toml").write_text(
            DIALOGUE.format(faults=faults, answer=ANSWER, alone=str(alone).lower())
        )
        server = RealtimeServer(dialogue).ready()
        settings = {"REDIS_URL": redis.url, "OFFHOOK_AGENT": agent, "SHOP_FOLDER": folder}
        worker = Worker(tmp_path / "calls", OFFHOOK_REALTIME_URL=server.url, **settings).ready()
        started.append((worker, server))
        return worker, server

    yield one
    for worker, server in started:
        assert worker.stop() == 0, worker.text()
        server.stop()


def owes(worker: Worker, expected: str, then: str) -> dict[str, Any]:
    """Wait for the log line of this."""
    return worker.wait_log("provider_owes", expected=expected, then=then)


@pytest.mark.parametrize(
    ("stall", "expected"),
    [
        ("request", "response begun"),
        pytest.param("created", "audio begun", marks=pytest.mark.spoken),
        pytest.param("taken", "active response ended", marks=pytest.mark.spoken),
        ("half", "audio going on"),
    ],
)
def test_who_waits_in_vain_hears_words_of_ours_and_gets_a_new_session(
    start: Start, dial: Callable[[str], Call], stall: str, expected: str
) -> None:
    worker, _ = start(f'stall = "{stall}"')
    call = dial(worker.uri)
    call_id = worker.next_call()
    call.hears_sound(own_words("moment"), "one moment", likeness=ROUGHLY)
    owes(worker, expected, "asked again")
    owes(worker, expected, "new session")
    worker.wait_log("realtime_session_ready", call_id=call_id, count=2)
    call.hang_up()
    record = worker.record(call_id)
    assert [one["then"] for one in record["unmet"] if one["expected"] == expected][:2] == ["asked again", "new session"]
    assert all(one["waited_ms"] > 0 for one in record["unmet"] if one["expected"] == expected)
    assert any("given up by us" in error for error in record["errors"])


def test_a_provider_that_never_answers_ends_in_an_apology(start: Start, dial: Callable[[str], Call]) -> None:
    worker, _ = start('stall = "request"')
    call = dial(worker.uri)
    call_id = worker.next_call()
    call.hears_sound(load_prompt(APOLOGY, 8000), "the apology", likeness=ROUGHLY)
    assert call.ended()["by"] == "caller"
    record = worker.record(call_id)
    assert record["outcome"] == "failed"
    assert [one["then"] for one in record["unmet"]][-1] == "apology"
    assert [one["then"] for one in record["unmet"]].count("new session") == 2


@pytest.mark.parametrize(
    "stall",
    [
        *("request", "half", "cut", "rate"),
        *(pytest.param(one, marks=pytest.mark.spoken) for one in ("created", "empty", "text", "filtered", "cancelled")),
    ],
)
def test_a_provider_that_comes_round_is_heard(start: Start, dial: Callable[[str], Call], stall: str) -> None:
    """One response goes wrong: it is told, and asked for again."""
    worker, _ = start(f'stall = "{stall}"\nstall_first = 1')
    call = dial(worker.uri)
    call_id = worker.next_call()
    if stall != "cut":  # asked to go on it says what the script has
        call.hears_said(GREETING, likeness=ROUGHLY)
    else:
        owes(worker, "whole response", "asked again")
    until(lambda: [one["floor"] for one in worker.calls()] == ["nobody"], "it is said")
    call.say("what can you do")
    call.hears_said(ANSWER, likeness=ROUGHLY)
    call.hang_up()
    record = worker.record(call_id)
    assert record["outcome"] == "completed" and record["unmet"]
    assert worker.logged("provider_owes", call_id=call_id)


def test_a_response_that_never_ends_holds_up_nothing(start: Start, dial: Callable[[str], Call]) -> None:
    worker, _ = start('stall = "never_ends"')
    call = dial(worker.uri)
    call_id = worker.next_call()
    call.hears_said(GREETING, likeness=ROUGHLY)
    owes(worker, "response ended", "goes on without")
    call.say("what can you do")
    call.hears_said(ANSWER, likeness=ROUGHLY)
    call.hang_up()
    assert worker.record(call_id)["outcome"] == "completed"


def test_speech_that_never_stops_is_ended_by_our_own_ears(start: Start, dial: Callable[[str], Call]) -> None:
    worker, _ = start('stall = "speech"')
    call = dial(worker.uri)
    call_id = worker.next_call()
    call.hears_said(GREETING, likeness=ROUGHLY)
    call.say("what can you do")
    owes(worker, "end of speech", "asked again")
    until(lambda: worker.calls()[0]["floor"] != "caller", "the floor is the caller's no more")
    call.hang_up()
    assert "end of speech" in [one["expected"] for one in worker.record(call_id)["unmet"]]


def test_a_provider_that_is_gone_when_the_caller_speaks_is_found_out_by_its_silence(
    start: Start, dial: Callable[[str], Call]
) -> None:
    """It stands still between two turns: no connection breaks, nobody tells of speech."""
    worker, server = start("")
    call = dial(worker.uri)
    call_id = worker.next_call()
    call.hears_said(GREETING, likeness=ROUGHLY)
    until(lambda: worker.calls()[0]["floor"] == "nobody", "it is the caller's turn")
    server.signal(signal.SIGSTOP)
    call.say("what can you do")
    spoken_ms = call.now_ms
    call.hears_sound(own_words("moment"), "one moment", likeness=ROUGHLY, after=spoken_ms)
    lost = worker.wait_log("realtime_connection_lost", call_id=call_id)
    assert lost["reason"] == "no answer to a ping within 3 s"
    server.signal(signal.SIGCONT)
    worker.wait_log("realtime_session_ready", call_id=call_id, count=2)
    until(lambda: worker.calls()[0]["floor"] == "agent", "the agent takes it up again")
    until(lambda: worker.calls()[0]["floor"] == "nobody", "and waits for the caller")
    call.say("what can you do")
    call.hears_said(ANSWER, likeness=ROUGHLY)
    call.hang_up()
    assert worker.record(call_id)["outcome"] == "completed"


def test_a_provider_that_refuses_what_it_then_says_is_not_asked_over_and_over(
    start: Start, dial: Callable[[str], Call]
) -> None:
    worker, _ = start('stall = "spurious"')
    call = dial(worker.uri)
    call_id = worker.next_call()
    greeted_ms = call.hears_said(GREETING, likeness=ROUGHLY)
    call.say("what can you do")
    call.hears_said(ANSWER, likeness=ROUGHLY, after=greeted_ms)
    call.waits(3000)
    call.hang_up()
    record = worker.record(call_id)
    said = [turn["text"] for turn in record["turns"] if turn["who"] == "agent"]
    assert said == [GREETING, ANSWER]
    assert len(worker.logged("realtime_error", call_id=call_id)) < 10


def test_a_result_that_comes_while_the_caller_asks_something_else_is_told_after_the_answer(
    start: Start, dial: Callable[[str], Call], folder: Path
) -> None:
    """With a model that answers the question alone."""
    worker, _ = start(alone=True)
    call = dial(worker.uri)
    call_id = worker.next_call()
    call.hears_said(GREETING, likeness=ROUGHLY)
    call.say("where is my parcel")
    until((folder / "parcel.started").exists, "the tool runs")
    worker.wait_log("tool_call", call_id=call_id)
    until(lambda: (folder / "parcel.ended").exists() or call.say("what can you do"), "the caller talks into the result")
    answered_ms = call.hears_said("Your parcel is at the front door.", likeness=ROUGHLY)
    assert answered_ms > 0
    call.hang_up()
    said = [turn["text"] for turn in worker.record(call_id)["turns"] if turn["who"] == "agent"]
    assert said.count("Your parcel is at the front door.") == 1
    assert ANSWER in said


def test_a_provider_that_refuses_to_speak_while_a_tool_runs_gets_placeholders_from_then_on(
    start: Start, dial: Callable[[str], Call], folder: Path
) -> None:
    """The caller asks on during a look-up: that is no reason to end the call."""
    (folder / "parcel.started").unlink(missing_ok=True)
    worker, _ = start("refuse_open_calls = true")
    call = dial(worker.uri)
    call_id = worker.next_call()
    call.hears_said(GREETING, likeness=ROUGHLY)
    call.say("where is my parcel")
    until((folder / "parcel.started").exists, "the tool runs")
    call.say("what can you do")
    owes(worker, "response granted", "placeholders from now on")
    call.hears_said(ANSWER, likeness=ROUGHLY)
    call.waits(4000)
    assert call.up
    call.hang_up()
    record = worker.record(call_id)
    assert record["outcome"] == "completed"
    assert [tool["status"] for tool in record["tool_calls"]] == ["ok"]
