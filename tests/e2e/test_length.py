"""How long a call lasts: silence, its limit, keys that are typed in it, and one end, after the goodbye."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts import sound
from parts.caller import Call
from parts.program import until
from parts.provider import ANSWER_HZ, WORDS_HZ, Provider, Session
from parts.services import RedisServer, ToolWorker, Worker

SHOP = Path(__file__).parent / "parts" / "shop.py"

AGENT = """
goodbye = "Goodbye then."
[tools]
modules = ["{shop}"]
[[route]]
dialled = "silent"
[route.limits]
silence_seconds = 0.8
silence_prompts = ["Are you there?", "Hello?"]
[[route]]
dialled = "short"
[route.limits]
max_call_seconds = 4
warn_seconds = 2.5
warning = "We must end soon."
"""

Talk = tuple[Call, Session, str]


@pytest.fixture(scope="module")
def shared_worker(
    redis: RedisServer, tool_worker: ToolWorker, provider_server: Provider, folder: Path
) -> Iterator[Worker]:
    """Its log is as talkative as it gets."""
    (agent := folder / "length.toml").write_text(AGENT.format(shop=SHOP))
    worker = Worker(
        folder / "length",
        REDIS_URL=redis.url,
        OFFHOOK_AGENT=agent,
        **provider_server.settings,
        OFFHOOK_LOG_LEVEL="debug",
        SHOP_FOLDER=folder,
    ).ready()
    yield worker
    assert worker.stop() == 0, worker.text()


@pytest.fixture
def worker(shared_worker: Worker, provider: Provider) -> Worker:
    shared_worker.forget_calls()
    return shared_worker


@pytest.fixture
def call_up(worker: Worker, provider: Provider, dial: Callable[[str], Call]) -> Callable[[str], Talk]:
    def start(dialled: str) -> Talk:
        call = dial(f"sip:{dialled}@{worker.target}")
        return call, provider.session(), worker.next_call()

    return start


def said_by_us(session: Session) -> list[str]:
    """What the provider was asked to say word by word, in order; no fillers."""
    asked = (message["response"] for message in session.got("response.create"))
    told = [str(one.get("instructions")) for one in asked if one.get("metadata", {}).get("purpose") != "filler"]
    return [text.removeprefix("Say exactly: ") for text in told if text.startswith("Say exactly: ")]


class TestSilence:
    def test_a_silent_caller_is_asked_and_then_the_call_ends(
        self, call_up: Callable[[str], Talk], worker: Worker
    ) -> None:
        call, session, call_id = call_up("silent")
        call.ended()
        assert said_by_us(session) == ["Are you there?", "Hello?", "Goodbye then."]
        heard = call.tones()
        assert [hz for hz, _ in heard] == [WORDS_HZ] * 3 and all(ms >= 740 for _, ms in heard), "each to its end"
        record = worker.record(call_id)
        assert record["outcome"] == "completed" and record["reason"] == "silence"

    def test_any_word_or_key_begins_anew_and_a_tool_is_no_silence(
        self, call_up: Callable[[str], Talk], worker: Worker
    ) -> None:
        call, session, call_id = call_up("silent")
        asked = lambda count: until(lambda: len(said_by_us(session)) >= count, f"{count} prompts")  # noqa: E731
        asked(1)
        session.caller_says("just a moment")
        session.says(ANSWER_HZ, 200)
        asked(2)
        call.type("5#")
        session.wait("response.create", lambda m: "instructions" not in m.get("response", {}))
        asked(3)
        slow = session.calls("slow", {"seconds": 1.5, "name": "no-silence"})
        assert session.output(slow) == {"slept": 1.5}
        assert said_by_us(session) == ["Are you there?"] * 3, "what is waited for is no silence of the caller's"
        call.ended()
        assert said_by_us(session) == ["Are you there?"] * 3 + ["Hello?", "Goodbye then."]
        assert worker.record(call_id)["reason"] == "silence"


class TestLimit:
    def test_a_warning_then_a_goodbye_that_is_heard(self, call_up: Callable[[str], Talk], worker: Worker) -> None:
        """It is ours, so the caller's words into it put it off and don't take it back."""
        call, session, call_id = call_up("short")
        until(lambda: said_by_us(session) == ["We must end soon."], "the warning")
        warned_ms = call.hears_tone(WORDS_HZ, 740)
        assert 1400 <= warned_ms
        until(lambda: said_by_us(session)[1:] == ["Goodbye then."], "the goodbye")
        call.hears_tone(WORDS_HZ, 200, after=warned_ms + 800)
        session.caller_says("but I")
        session.says(ANSWER_HZ, 300)
        response = session.wait("response.create", count=3)["response"]
        assert response["instructions"] == "Say exactly: Goodbye then."
        call.ended()
        heard = [(hz, ms >= 740) for hz, ms in call.tones()]
        assert heard == [(WORDS_HZ, True), (WORDS_HZ, False), (ANSWER_HZ, False), (WORDS_HZ, True)]
        record = worker.record(call_id)
        assert record["outcome"] == record["reason"] == "limit" and record["duration_ms"] >= 4000


def test_keys_are_one_item_after_a_pause_and_in_no_log(
    call_up: Callable[[str], Talk], worker: Worker, tool_worker: ToolWorker
) -> None:
    """In the middle of a sentence of the agent's too; the worker's log is at `debug`."""
    first, second = "7294615038", "48*15162"
    call, session, call_id = call_up("keys")
    response = session.begin()
    session.speak(response, WORDS_HZ, 2500)
    call.hears_tone(WORDS_HZ, 200)
    call.type(first)
    session.wait("conversation.item.create")  # after the pause
    assert session.texts() == [("user", f"The caller typed on the keypad: {first}")]
    assert session.got("response.create") == [], "the agent is still at it"
    session.end(response)
    session.wait("response.create")
    call.hears_tone(ANSWER_HZ)
    call.type(second + "#")
    session.wait("response.create", count=2)
    assert session.texts()[1:] == [("user", f"The caller typed on the keypad: {second}")]
    call.hang_up()
    record = worker.record(call_id)
    assert sound.tone_ms(bytes(call.heard), WORDS_HZ) >= 2440, "a key is no interruption"
    places = [*worker.err, *worker.out, *tool_worker.err, json.dumps(record), *worker.get("/metrics")[1].splitlines()]
    assert worker.logged("turn", call_id=call_id), "debug lines are there"
    assert not [line for line in places if first in line or second in line]
    # Nor key by key, which no search for the whole would find.
    events = [line for line in worker.logs if line.get("call_id") == call_id]
    assert not [line for line in events if set(line) & {"digit", "digits", "key", "dtmf"}]


class TestEndCall:
    def test_asked_for_twice_there_is_one_bye_after_one_goodbye(
        self, worker: Worker, provider: Provider, sipp: Any, rtp: Any, tmp_path: Path
    ) -> None:
        media = rtp()
        run = sipp("their_bye", worker.target, "-trace_msg", "-message_file", "messages.log", rtp=media.port)
        session, call_id = provider.session(), worker.next_call()
        media.learn_peer()
        response = session.begin()
        ends = [session.call(response, "end_call") for _ in range(2)]
        session.speak(response, WORDS_HZ, 1500, words="Goodbye.")
        session.end(response)
        until(lambda: sound.tone_ms(media.heard(), WORDS_HZ) >= 500, "the goodbye begins")
        ends.append(session.calls("end_call"))
        run.finish()
        assert sound.tone_ms(media.heard(), WORDS_HZ) >= 1460
        assert [session.outputs(end) for end in ends] == [1, 1, 1]
        worker.record(call_id)
        assert (tmp_path / "messages.log").read_text().count("\nBYE sip:") == 1
        assert len(worker.logged("call_ended", call_id=call_id)) == 1

    def test_one_that_is_interrupted_while_it_is_made_does_not_hang_up(self, call_up: Callable[[str], Talk]) -> None:
        """The function was called, the goodbye has begun: the caller has more to say, and the generation is dropped."""
        call, session, _ = call_up("more")
        response = session.begin()
        end_call = session.call(response, "end_call")
        item = session.speak(response, WORDS_HZ, 3000, words="Goodbye.", end=False)
        call.hears_tone(WORDS_HZ, 300)
        speech = session.caller_starts()
        session.stream(response, item, sound.tone(WORDS_HZ, 500, 24000))
        session.end(response, status="cancelled")
        assert session.output(end_call)["status"] == "ending"
        session.caller_stops(speech, "wait, one more thing")
        said_ms = call.listen().now_ms
        session.says(ANSWER_HZ, 1200)
        call.hears_tone(ANSWER_HZ, 1100, after=said_ms)
        call.waits(800)  # longer than the pause between a goodbye and its BYE
        assert call.up and WORDS_HZ not in [hz for hz, _ in call.tones(said_ms)]
