"""Both ways of waiting for a tool: the call stays open, or a placeholder closes it. The caller hears the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from parts import sound
from parts.caller import Call
from parts.program import command_line, until
from parts.provider import ANSWER_HZ, FILLER_HZ, WORDS_HZ, Provider, Session
from parts.services import OwnDesk, Worker

PENDING = {"status": "pending"}


@dataclass
class Way:
    """A worker whose provider talks while a call is open (native), or refuses to (placeholder)."""

    native: bool
    worker: Worker
    workshop: OwnDesk
    provider: Provider
    dial_uri: Callable[[str], Call]

    def dial(self) -> tuple[Call, Session, str]:
        call = self.dial_uri(self.worker.uri)
        return call, self.session(), self.worker.next_call()

    def session(self) -> Session:
        session = self.provider.session()
        session.wedges = not self.native
        return session

    def waits(self, session: Session, tool: str) -> None:
        """The tool runs, and the provider may be asked something else."""
        if self.native:
            until(lambda: session.unanswered() == [tool], "the call is open")
        else:
            until(lambda: not session.unanswered(), "the call is closed with a placeholder")
            assert session.output(tool) == PENDING

    def learns(self, session: Session, tool: str, result: dict[str, Any]) -> None:
        """The model is told the result, in the one way or the other, once."""
        if self.native:
            assert session.output(tool) == result
            assert session.texts() == []
        else:
            until(session.texts, "the result is told")
            [(role, text)] = session.texts()
            assert role == "system" and tool in text and text.endswith(json.dumps(result, separators=(",", ":")))
        assert session.outputs(tool) == 1


@pytest.fixture(scope="module")
def placeholder_worker(workshop_desk: OwnDesk) -> Iterator[Worker]:
    worker = workshop_desk.start_worker(OFFHOOK_REALTIME_TOOL_CALLS="placeholder")
    yield worker
    assert worker.stop() == 0, worker.text()


@pytest.fixture(params=["native", "placeholder"])
def way(request: pytest.FixtureRequest, workshop: OwnDesk, provider: Provider, dial: Callable[[str], Call]) -> Way:
    native = request.param == "native"
    worker: Worker = workshop.worker if native else request.getfixturevalue("placeholder_worker")
    worker.forget_calls()
    return Way(native, worker, workshop, provider, dial)


def test_the_caller_hears_a_filler_another_answer_and_the_result(way: Way) -> None:
    call, session, call_id = way.dial()
    name = f"waits.{way.native}"
    tool = session.calls("gated", {"name": name})
    call.hears_tone(FILLER_HZ, 400)
    way.waits(session, tool)
    session.caller_says("and what is a lamp")
    session.says(WORDS_HZ, 800, "Ten dollars.")
    words_ms = call.hears_tone(WORDS_HZ, 700)
    [pending] = session.output(session.calls("pending_jobs"))["pending"]
    assert pending["job"] == tool, "whatever the provider was told"
    call.hears_tone(ANSWER_HZ, 500, after=words_ms)
    way.workshop.open(name)
    way.learns(session, tool, {"done": name})
    call.hears_tone(ANSWER_HZ, 1100, after=words_ms)
    call.waits(1000)
    call.hang_up()
    heard = bytes(call.heard)
    assert sound.tone_ms(heard, WORDS_HZ) < 1000 and sound.tone_ms(heard, ANSWER_HZ) < 1500, "each once"
    [used] = way.worker.record(call_id)["tool_calls"]
    assert (used["tool"], used["status"]) == ("gated", "ok") and used["fillers"] >= 1
    assert len(way.workshop.marks(f"{name}.ended")) == 1


def test_a_quick_tool_is_answered_at_once(way: Way) -> None:
    call, session, _ = way.dial()
    tool = session.calls("measure")
    assert session.output(tool) == {"pid": way.worker.pid}
    call.hears_tone(ANSWER_HZ, 500)
    assert session.outputs(tool) == 1 and session.texts() == []


def test_the_caller_has_it_cancelled(way: Way) -> None:
    call, session, call_id = way.dial()
    name = f"cancels.{way.native}"
    tool = session.calls("gated", {"name": name})
    pid = way.workshop.begun(name)
    way.waits(session, tool)
    assert session.output(session.calls("cancel_job", {"job": "gated"}))["status"] == "cancelled"
    words = "The tool call was cancelled before it had a result."
    way.learns(session, tool, {"status": "cancelled", "error": words})
    call.hears_tone(ANSWER_HZ, 500)
    until(lambda: not command_line(pid), "its process is gone")
    call.hang_up()
    assert [one["status"] for one in way.worker.record(call_id)["tool_calls"]] == ["cancelled"]


def test_the_session_is_lost_while_the_tool_runs(way: Way) -> None:
    call, first, call_id = way.dial()
    name = f"lost.{way.native}"
    tool = first.calls("gated", {"name": name})
    way.workshop.begun(name)
    way.waits(first, tool)
    first.cut()
    second = way.session()
    second.wait("conversation.item.create", lambda message: message["item"]["type"] == "function_call")
    way.waits(second, tool)
    second.caller_says("are you still there")
    second.says(WORDS_HZ, 800, "Yes.")
    words_ms = call.hears_tone(WORDS_HZ, 700)
    way.workshop.open(name)
    way.learns(second, tool, {"done": name})
    call.hears_tone(ANSWER_HZ, 500, after=words_ms)
    call.hang_up()
    assert first.texts() == [] and len(way.workshop.marks(f"{name}.started")) == 1
    assert [one["status"] for one in way.worker.record(call_id)["tool_calls"]] == ["ok"]
