"""A caller who interrupts, asks and cancels, and a connection that breaks, while tools run: nothing lost or doubled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from parts import sound
from parts.caller import ROUGHLY, Call
from parts.program import command_line, kill, until
from parts.provider import ANSWER_HZ, FILLER_HZ, WORDS_HZ, Opening, Provider, Session, is_filler, is_no_filler
from parts.services import OwnDesk, RealtimeServer, Worker

Dial = Callable[[], tuple[Call, Session, str]]


def floor_is(workshop: OwnDesk, call_id: str, whose: str) -> None:
    floors = lambda: {one["call_id"]: one["floor"] for one in workshop.worker.calls()}  # noqa: E731
    until(lambda: floors().get(call_id) == whose, lambda: f"the floor is {whose}'s; {floors()}")


class TestBargeIn:
    """The caller speaks while a tool runs: it goes on, and what it found is said."""

    def test_a_result_is_said_when_the_floor_is_free(self, dial_workshop: Dial, workshop: OwnDesk) -> None:
        call, session, call_id = dial_workshop()
        tool = session.calls("gated", {"name": "free"})
        pid = workshop.begun("free")
        call.hears_tone(FILLER_HZ, 200)
        session.caller_says("what else do you sell")  # into the filler
        session.says(WORDS_HZ, 1500, "Lamps and chairs.")
        call.hears_tone(WORDS_HZ, 300)
        assert command_line(pid), "it goes on"
        workshop.open("free")
        assert session.output(tool) == {"done": "free"}
        call.hears_tone(ANSWER_HZ, 500)
        heard = [hz for hz, _ in call.tones() if hz in (WORDS_HZ, ANSWER_HZ)]
        assert heard == [WORDS_HZ, ANSWER_HZ], "to its end, then the result"
        assert sound.tone_ms(bytes(call.heard), WORDS_HZ) >= 1440
        call.hang_up()
        assert len(session.got("response.create", is_no_filler)) == session.outputs(tool) == 1
        assert len(workshop.marks("free.started")) == len(workshop.marks("free.ended")) == 1
        assert [one["status"] for one in workshop.worker.record(call_id)["tool_calls"]] == ["ok"]

    def test_a_result_that_comes_while_the_caller_speaks_is_told_after_the_answer_to_them(
        self, dial_workshop: Dial, workshop: OwnDesk
    ) -> None:
        """The model answers the question alone: its answer is never taken for the telling."""
        call, session, call_id = dial_workshop()
        tool = session.calls("gated", {"name": "fold"})
        workshop.begun("fold")
        call.play(sound.tone(300, 4000, sound.RATE), wait=False)
        item = session.caller_starts()
        floor_is(workshop, call_id, "caller")
        workshop.open("fold")
        until(lambda: workshop.marks("fold.ended"), "it has ended")
        call.waits(400)
        assert session.got("response.create", is_no_filler) == [], "nobody speaks over the caller"
        assert session.outputs(tool) == 0, "the answer to them is not to be taken for the telling"
        session.caller_stops(item, "and how much is the lamp")
        session.says(WORDS_HZ, 800, "The lamp is ten dollars.")
        assert session.output(tool) == {"done": "fold"}
        call.hears_tone(WORDS_HZ, 760)
        call.hears_tone(ANSWER_HZ, 500)
        [request] = session.got("response.create", is_no_filler)
        assert request["response"]["metadata"] == {"purpose": "tool_result"}
        assert session.outputs(tool) == 1
        call.hang_up()
        assert [one["status"] for one in workshop.worker.record(call_id)["tool_calls"]] == ["ok"]

    def test_one_that_asks_for_it_is_stopped_by_words_and_not_by_a_cough(
        self, dial_workshop: Dial, workshop: OwnDesk
    ) -> None:
        call, session, call_id = dial_workshop()
        stays, goes = session.calls("gated", {"name": "stays"}), session.calls("fickle", {"name": "goes"})
        stays_pid, goes_pid = workshop.begun("stays"), workshop.begun("goes")
        session.caller_says("")
        session.says(WORDS_HZ, 300, "Bless you.")
        call.hears_tone(WORDS_HZ, 280)
        assert command_line(goes_pid), "nobody has asked for anything"
        session.caller_says("never mind that, what is the time")
        assert session.output(goes)["status"] == "cancelled"
        until(lambda: not command_line(goes_pid), "it is stopped")
        assert command_line(stays_pid), "the other goes on"
        workshop.open("stays")
        assert session.output(stays) == {"done": "stays"}
        call.hang_up()
        assert workshop.marks("goes.ended") == []
        assert [one["status"] for one in workshop.worker.record(call_id)["tool_calls"]] == ["ok", "cancelled"]


def test_the_caller_asks_what_is_pending_and_has_it_cancelled(dial_workshop: Dial, workshop: OwnDesk) -> None:
    call, session, call_id = dial_workshop()
    runs = session.calls("gated", {"name": "unwanted"})
    other = session.calls("gated", {"name": "wanted"})
    workshop.begun("wanted")
    pid = workshop.begun("unwanted")
    waits = session.calls("pay", {"name": "waiting"})  # for a tool worker: both are at work
    until(lambda: workshop.redis.client.llen("rq:queue:tools") == 1, "it is in the queue")

    session.caller_says("what are you doing")
    pending = session.output(session.calls("pending_jobs"))["pending"]
    assert [(one["job"], one["tool"], one["what"]) for one in pending] == [
        (runs, "gated", "gated"), (other, "gated", "gated"), (waits, "pay", "pay")
    ]  # fmt: skip

    session.caller_says("pay nothing, and never mind the first")
    # The one that waits first: a process that comes free would take it, and paying may not be unknown here.
    assert session.output(session.calls("cancel_job", {"job": "pay"})) == {"status": "cancelled", "cancelled": ["pay"]}
    assert session.output(session.calls("cancel_job", {"job": runs})) == {"status": "cancelled", "cancelled": ["gated"]}
    for cancelled in (runs, waits):
        outcome = session.output(cancelled)
        assert outcome["status"] == "cancelled" and "cancelled" in outcome["error"]
    until(lambda: not command_line(pid), "its process is gone")
    workshop.open("unwanted")
    workshop.open("waiting")
    workshop.open("wanted")
    assert session.output(other) == {"done": "wanted"}, "the other one went on"
    gone = session.output(session.calls("cancel_job", {"job": runs}))
    assert gone["status"] == "not_found" and gone["pending"] == []
    call.hears_tone(ANSWER_HZ, 500)
    assert not workshop.marks("unwanted.ended") and not workshop.marks("waiting.started")
    call.hang_up()
    used = [(one["tool"], one["status"]) for one in workshop.worker.record(call_id)["tool_calls"]]
    assert used == [("gated", "cancelled"), ("gated", "ok"), ("pay", "cancelled")]
    assert session.outputs(runs) == session.outputs(waits) == session.outputs(other) == 1


DIALOGUE = """
[[turn]]
hears = ["can you help me"]
[[turn.call]]
tool = "gated"
arguments = { name = "voice" }
[[turn.call.answer]]
when = { status = "cancelled" }
say = "The order was not placed."

[[turn]]
hears = ["what are you doing"]
[[turn.call]]
tool = "pending_jobs"
[[turn.call.answer]]
when = { pending = "*" }
say = "I am still at work for you."

[[turn]]
hears = ["please stop it"]
[[turn.call]]
tool = "cancel_job"
arguments = { job = "gated" }
[[turn.call.answer]]
when = { status = "cancelled" }
say = "Good, I have stopped it."
"""


@pytest.fixture
def speaks(workshop: OwnDesk, folder: Path) -> Iterator[Worker]:
    """A worker with the workshop's tools that one can talk to."""
    path = folder / "stop-dialogue.toml"
    path.write_text(DIALOGUE)
    server = RealtimeServer(path).ready()
    worker: Worker | None = None
    try:
        worker = workshop.start_worker(OFFHOOK_REALTIME_URL=server.url)
        yield worker
        assert worker.stop() == 0, worker.text()
    finally:
        if worker is not None:
            worker.stop()
        server.stop()


def test_it_is_cancelled_by_voice(speaks: Worker, workshop: OwnDesk, dial: Callable[[str], Call]) -> None:
    call = dial(speaks.uri)
    call_id = speaks.next_call()
    speaks.wait_log("realtime_session_ready", call_id=call_id)
    call.say("can you help me")
    pid = workshop.begun("voice")
    call.say("what are you doing")
    asked_ms = call.now_ms
    call.hears_said("I am still at work for you.", after=asked_ms - 1000, likeness=ROUGHLY)
    call.say("please stop it")
    call.hears_said("Good, I have stopped it.", after=asked_ms, likeness=ROUGHLY)
    until(lambda: not command_line(pid), "its process is gone")
    call.hang_up()
    [used] = speaks.record(call_id)["tool_calls"]
    assert (used["tool"], used["status"]) == ("gated", "cancelled") and not workshop.marks("voice.ended")


def test_what_a_tool_reports_is_said(dial_workshop: Dial, workshop: OwnDesk) -> None:
    call, session, call_id = dial_workshop()
    tool = session.calls("counted", {"name": "steps"})
    said = lambda words: lambda m: is_filler(m) and m["response"]["instructions"] == f"Say exactly: {words}"  # noqa: E731
    session.wait("response.create", said("one of three"))
    call.hears_tone(FILLER_HZ, 400)
    heard_ms = call.now_ms
    workshop.open("steps", "one")
    session.wait("response.create", said("two of three"))
    call.hears_tone(FILLER_HZ, 400, after=heard_ms)
    [pending] = session.output(session.calls("pending_jobs"))["pending"]
    assert pending["progress"] == "two of three"
    workshop.open("steps", "two")
    assert session.output(tool) == {"all": 3}
    call.hears_tone(ANSWER_HZ, 500)
    call.hang_up()
    fillers = [turn["text"] for turn in workshop.worker.record(call_id)["turns"] if turn["who"] == "filler"]
    assert fillers[:1] == ["one of three"] and "two of three" in fillers


def test_arguments_that_come_twice_run_the_tool_once(dial_workshop: Dial, workshop: OwnDesk) -> None:
    """In one response. The same id in a later one is another call, with a job and an output of its own."""
    call, session, call_id = dial_workshop()

    def pay(name: str, call_id: str | None = None) -> str:
        response = session.begin()
        tool = session.call(response, "pay", {"name": name}, call_id=call_id)
        session.call(response, "pay", {"name": name}, call_id=tool)
        session.end(response)
        workshop.begun(name)
        workshop.open(name)
        return tool

    tool = pay("twice")
    assert session.output(tool) == {"paid": "twice"}
    first_ms = call.hears_tone(ANSWER_HZ, 500)
    pay("later", tool)
    until(lambda: session.outputs(tool) == 2, "the other call has its output")
    call.hears_tone(ANSWER_HZ, 500, after=first_ms + 700)
    assert session.output(session.calls("measure")) == {"pid": workshop.worker.pid}, "the call goes on"
    call.hang_up()
    assert len(workshop.marks("twice.started")) == len(workshop.marks("later.started")) == 1
    assert session.outputs(tool) == 2
    used = workshop.worker.record(call_id)["tool_calls"]
    assert [(one["tool"], one["status"]) for one in used] == [("pay", "ok"), ("pay", "ok"), ("measure", "ok")]
    assert used[0]["job_id"] != used[1]["job_id"]


def test_a_result_that_comes_while_there_is_no_session_is_told_once(
    dial_workshop: Dial, workshop: OwnDesk, provider: Provider
) -> None:
    call, first, call_id = dial_workshop()
    tool = first.calls("pay", {"name": "between"})
    workshop.begun("between")
    provider.always = Opening(refuse=(503, "busy"))
    before = provider.connections
    first.cut()
    until(lambda: provider.connections > before, "it tries to connect again")
    workshop.open("between")
    workshop.worker.wait_log("tool_outcome", call_id=call_id, status="ok")
    provider.always = None
    second = provider.session()
    assert second.output(tool) == {"paid": "between"}
    kinds = [message["item"]["type"] for message in second.got("conversation.item.create")]
    assert kinds == ["function_call", "function_call_output"]
    call.hears_tone(ANSWER_HZ, 500)
    second.cut()
    third = provider.session()
    assert third.output(third.calls("measure")) == {"pid": workshop.worker.pid}, "the call goes on"
    call.hang_up()
    assert len(workshop.marks("between.started")) == 1
    assert [session.outputs(tool) for session in (first, second, third)] == [0, 1, 0]
    used = [(one["tool"], one["status"]) for one in workshop.worker.record(call_id)["tool_calls"]]
    assert used == [("pay", "ok"), ("measure", "ok")]


def test_a_payment_whose_process_is_killed_is_unknown_and_not_tried_again(
    dial_workshop: Dial, workshop: OwnDesk
) -> None:
    call, session, call_id = dial_workshop()
    tool = session.calls("pay", {"name": "killed"})
    kill(workshop.begun("killed"))
    outcome = session.output(tool)
    assert outcome["status"] == "unknown" and "not known whether it was done" in outcome["error"]
    call.hears_tone(ANSWER_HZ, 500)
    job = workshop.redis.job(f"{call_id}-{tool}")
    until(lambda: job.get_status() == "failed", "RQ knows, too")
    job.requeue()  # by hand, as in rq-dashboard
    until(lambda: job.get_status() == "finished", "a tool worker takes it up")
    assert job.return_value()["status"] == "unknown", "and leaves it alone"
    assert len(workshop.marks("killed.started")) == 1 and not workshop.marks("killed.ended")
    assert session.output(session.calls("meet", {"name": "next", "others": []})) == {"met": "next"}
    call.hang_up()
    used = [(one["tool"], one["status"]) for one in workshop.worker.record(call_id)["tool_calls"]]
    assert used == [("pay", "unknown"), ("meet", "ok")] and session.outputs(tool) == 1
