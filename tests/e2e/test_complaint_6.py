"""Complaint 6: a provider that, like Gemini, says nothing any more while one of its function calls has no answer.

Each way in which a tool call can end is gone through: it is answered exactly once, and the model speaks again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts.caller import Call
from parts.program import until
from parts.provider import ANSWER_HZ, WORDS_HZ, Opening, Provider
from parts.services import OwnDesk, errand_desk

from tools.queue.client import QueueClient, QueueSettings
from tools.tool_call.request import job_id

QUOTA = "[tools.max_runs_of]\nhere = 1"


@pytest.fixture(scope="module")
def shared_desk(own_folder: Path, provider_server: Provider) -> Iterator[OwnDesk]:
    desk = errand_desk(own_folder, provider_server.url, QUOTA)
    desk.start_tool_worker()  # a tool that waits for the scene is in nobody's way
    yield desk
    assert desk.stop() == 0, desk.worker.text()


class Talk:
    """A call with a provider that wedges."""

    def __init__(self, desk: OwnDesk, provider: Provider, dial: Callable[[str], Call]) -> None:
        provider.wedges = True
        self.desk = desk
        self.provider = provider
        self.call = dial(desk.worker.uri)
        self.session = provider.session()
        self.call_id = desk.worker.next_call()
        self.calls: list[str] = []

    def asks(self, name: str, arguments: Any = None) -> str:
        """A response that is one function call."""
        self.calls.append(self.session.calls(name, arguments))
        return self.calls[-1]

    def speaks_again(self, tool_call: str, status: str | None = None) -> dict[str, Any]:
        """The call is answered so, once; then the model says something to it, and the caller hears it."""
        asked_ms = self.call.listen().now_ms
        found = self.session.output(tool_call)
        assert found.get("status") == status, found
        self.call.hears_tone(ANSWER_HZ, 400, after=asked_ms)
        assert self.session.outputs(tool_call) == 1 and self.session.unanswered() == []
        return found

    def reconnects(self) -> None:
        self.session.cut()
        self.session = self.provider.session()

    def job(self, tool_call: str) -> str:
        return job_id(self.call_id, tool_call)


@pytest.fixture
def talk(shared_desk: OwnDesk, provider: Provider, dial: Callable[[str], Call]) -> Iterator[Talk]:
    shared_desk.worker.forget_calls()
    found = Talk(shared_desk, provider, dial)
    yield found
    assert found.session.unanswered() == [] and all(found.session.outputs(one) <= 1 for one in found.calls)
    found.call.hang_up()
    record = found.desk.worker.record(found.call_id)
    assert record["outcome"] == "completed"


def test_complaint_6_every_answer_and_every_mistake(talk: Talk) -> None:
    """Naive: a wrong name or wrong arguments raise where nobody answers for it."""
    talk.speaks_again(talk.asks("here", {"word": "yes"}))
    talk.speaks_again(talk.asks("add", {"left": 2, "right": 3}))
    talk.speaks_again(talk.asks("when"), "failed")
    talk.speaks_again(talk.asks("add", {"left": 2}), "invalid")
    talk.speaks_again(talk.asks("add", '{"left": 2, "rig'), "invalid")
    talk.speaks_again(talk.asks("ad", {"left": 2, "right": 3}), "unknown_tool")
    assert "once in a call" in talk.speaks_again(talk.asks("here", {"word": "again"}), "unavailable")["error"]
    assert talk.speaks_again(talk.asks("pending_jobs")) == {"pending": []}
    talk.speaks_again(talk.asks("cancel_job", {"job": "nothing"}), "not_found")


def test_complaint_6_several_at_once_and_one_told_twice(talk: Talk) -> None:
    """They are answered together: the model is asked to speak once all are."""
    session, response = talk.session, talk.session.begin()
    first = session.call(response, "add", {"left": 1, "right": 1})
    second = session.call(response, "nobody", {})
    third = session.call(response, "pack", {"name": "third"})
    session.call(response, "add", {"left": 1, "right": 1}, call_id=first)  # a provider that says it again
    session.end(response)
    talk.calls += [first, second, third]
    assert session.output(first) == {"result": 2} and session.output(second)["status"] == "unknown_tool"
    fits = lambda m: m.get("response", {}).get("metadata", {}).get("purpose") == "tool_result"  # noqa: E731
    assert session.unanswered() == [third] and session.got("response.create", fits) == []
    talk.desk.open("third")
    assert talk.speaks_again(third) == {"done": "third"}
    assert len(session.got("response.create", fits)) == 1


def test_complaint_6_time_out_and_an_operators_cancel(talk: Talk) -> None:
    looks = talk.asks("browse", {"name": "looks"})
    talk.desk.begun("looks")
    client = QueueClient(QueueSettings(url=talk.desk.redis.url))
    try:
        assert client.cancel(talk.job(looks)) == "stopped"
        talk.speaks_again(looks, "cancelled")
    finally:
        client.close()
    talk.speaks_again(talk.asks("doomed", {"name": "doomed"}), "timeout")


def test_complaint_6_a_generation_that_the_caller_interrupts(talk: Talk) -> None:
    """Naive: a discarded response's calls are dropped with it, but the provider waits for their answers."""
    session = talk.session
    response = session.begin()
    session.speak(response, WORDS_HZ, 2000, words="I pack it.", end=False)
    talk.call.hears_tone(WORDS_HZ, 200)
    begun = session.call(response, "pack", {"name": "before"})
    talk.desk.begun("before")
    speech = session.caller_starts()
    late = session.call(response, "pack", {"name": "late"})
    session.end(response, status="cancelled")
    talk.calls += [begun, late]
    assert session.output(late)["status"] == "not_started"
    session.caller_stops(speech, "no, wait")
    assert session.unanswered() == [begun], "it says nothing to that yet"
    talk.desk.open("before")
    assert session.output(begun) == {"done": "before"}
    heard_ms = talk.call.listen().now_ms
    session.says(ANSWER_HZ, 500, "I am listening.")  # it answers the caller's turn now that it can
    talk.call.hears_tone(ANSWER_HZ, 400, after=heard_ms)
    talk.speaks_again(talk.asks("add", {"left": 2, "right": 3}))
    assert talk.desk.marks("late.started") == []
    assert session.outputs(late) == session.outputs(begun) == 1


def test_complaint_6_a_session_that_is_lost_meanwhile(talk: Talk) -> None:
    """Once while the tool runs, and once when it ends with no session to tell it to."""
    first = talk.session
    runs = talk.asks("pack", {"name": "runs"})
    talk.desk.begun("runs")
    talk.reconnects()
    until(lambda: talk.session.unanswered() == [runs], "the new session is told of the open call")
    talk.desk.open("runs")
    talk.speaks_again(runs)
    assert first.outputs(runs) == 0

    ends = talk.asks("pack", {"name": "ends"})
    talk.desk.begun("ends")
    talk.provider.openings.extend([Opening(refuse=(503, "busy"))] * 2)
    talk.desk.open("ends")
    talk.reconnects()
    talk.speaks_again(ends)
    talk.speaks_again(talk.asks("add", {"left": 2, "right": 3}))
    assert len(talk.desk.marks("runs.started")) == len(talk.desk.marks("ends.started")) == 1


def test_complaint_6_redis_is_gone(talk: Talk) -> None:
    waits = talk.asks("pack", {"name": "waits"})
    talk.desk.begun("waits")
    talk.desk.redis.kill()
    try:
        refused = talk.session.calls("add", {"left": 2, "right": 3})
        assert talk.session.output(refused)["status"] == "unavailable"
        assert talk.session.unanswered() == [waits]
        talk.desk.open("waits")
    finally:
        talk.desk.redis.start()
    talk.speaks_again(waits)
    assert talk.session.outputs(refused) == 1
