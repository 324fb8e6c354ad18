"""A caller hangs up while tools run: each tool goes by what it declares, and who wants to know is told once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from parts.caller import Call
from parts.program import until
from parts.provider import Provider, Session
from parts.services import Gates, RedisServer, ToolWorker, Worker
from parts.webhook import Receiver

from tools.queue import names
from tools.worker.notify import DELIVERY, verify

ERRANDS = Path(__file__).parent / "parts" / "errands.py"
SECRET = "a-secret-of-this-scene"

AGENT = """
[tools]
modules = ["{errands}"]
"""


class Errands(Gates):
    """A queue of its own, one tool worker that may tell, and the folder in which its tools wait."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.agent = folder / "agent.toml"
        self.agent.write_text(AGENT.format(errands=ERRANDS))
        self.receiver = Receiver()
        self.redis = RedisServer(folder)
        self.redis.start()
        notify = {"OFFHOOK_NOTIFY_URL": self.receiver.url, "OFFHOOK_NOTIFY_SECRET": SECRET}
        self.tool_worker = ToolWorker(self.redis.url, self.agent, folder, **notify).ready()

    def ended(self, name: str) -> bool:
        return (self.folder / f"{name}.ended").exists()

    def status(self, job: str) -> str:
        return str(self.redis.job(job).get_status().value)

    def stop(self) -> None:
        assert self.tool_worker.stop() == 0, self.tool_worker.text()
        self.redis.kill()
        self.receiver.stop()


@pytest.fixture(scope="module")
def errands(own_folder: Path) -> Iterator[Errands]:
    made = Errands(own_folder)
    yield made
    made.stop()


def start_worker(errands: Errands, provider: Provider) -> Worker:
    settings = provider.settings
    return Worker(errands.folder, REDIS_URL=errands.redis.url, OFFHOOK_AGENT=errands.agent, **settings).ready()


@pytest.fixture(scope="module")
def shared_worker(errands: Errands, provider_server: Provider) -> Iterator[Worker]:
    worker = start_worker(errands, provider_server)
    yield worker
    assert worker.stop() == 0, worker.text()


@pytest.fixture
def worker(shared_worker: Worker, provider: Provider) -> Worker:
    shared_worker.forget_calls()
    return shared_worker


Dial = Callable[[str], Call]


def call_up(worker: Worker, provider: Provider, dial: Dial) -> tuple[Call, Session, str]:
    call = dial(worker.uri)
    return call, provider.session(), worker.next_call()


def hang_up(call: Call, worker: Worker, call_id: str) -> None:
    """Hang up, and wait until the worker has written down what goes on."""
    call.hang_up()
    worker.record(call_id)
    worker.wait_log("tool_goes_on", call_id=call_id)


def test_cancel_ends_the_running_and_removes_the_waiting(
    worker: Worker, errands: Errands, provider: Provider, dial: Dial
) -> None:
    call, session, call_id = call_up(worker, provider, dial)
    running = f"{call_id}-{session.calls('browse', {'name': 'looked'})}"
    errands.begun("looked")
    waiting = f"{call_id}-{session.calls('browse', {'name': 'unseen'})}"
    until(lambda: errands.redis.client.exists(names.job_key(waiting)), "the second job waits")
    call.hang_up()
    until(lambda: errands.status(running) == "stopped", lambda: errands.status(running))
    until(lambda: errands.status(waiting) == "canceled", lambda: errands.status(waiting))
    # What is queued behind them runs: neither holds the tool worker up.
    other, session, other_id = call_up(worker, provider, dial)
    errands.open("after")
    assert session.output(session.calls("browse", {"name": "after"})) == {"done": "after"}
    other.hang_up()
    assert not errands.ended("looked") and not (errands.folder / "unseen.started").exists()
    assert worker.record(other_id)["outcome"] == "completed"
    assert errands.receiver.of(call_id) == []


def test_finish_keeps_the_result_with_the_call(
    worker: Worker, errands: Errands, provider: Provider, dial: Dial, offhook: Any
) -> None:
    """The result is read by the call's id when the caller is gone."""
    call, session, call_id = call_up(worker, provider, dial)
    tool_call = session.calls("pack", {"name": "packed"})
    errands.begun("packed")
    hang_up(call, worker, call_id)
    assert not errands.ended("packed")
    errands.open("packed")
    until(lambda: errands.status(f"{call_id}-{tool_call}") == "finished", "it is run to its end")
    code, out, err = offhook("tools", "late", call_id, REDIS_URL=errands.redis.url)
    assert code == 0, err
    [late] = [json.loads(line) for line in out.splitlines()]
    kept = {"tool": "pack", "summary": "put an order together", "status": "ok", "result": {"done": "packed"}}
    assert late.items() >= {"call_id": call_id, "tool_call_id": tool_call, "delivered_at": None, **kept}.items()
    assert 0 < late["hung_up_at"] <= late["ended_at"] <= time.time()
    [entry] = until(lambda: ended_tools(worker, call_id), "the record is completed")
    assert (entry["status"], entry["result"], entry["job_id"]) == ("ok", {"done": "packed"}, f"{call_id}-{tool_call}")
    assert datetime.fromisoformat(entry["ended_at"]).timestamp() == pytest.approx(late["ended_at"], abs=0.001)
    assert runs(errands, "packed") == 1
    assert errands.receiver.of(call_id) == [], "nobody wants to know"
    assert offhook("tools", "late", "nobody", REDIS_URL=errands.redis.url)[:2] == (0, "")


def ended_tools(worker: Worker, call_id: str) -> list[dict[str, Any]]:
    """What the record says of tools that ended after the call."""
    return [entry for entry in worker.record(call_id)["tool_calls"] if entry["ended_at"] is not None]


def test_a_record_is_completed_by_the_next_run_of_the_worker(errands: Errands, provider: Provider, dial: Dial) -> None:
    first = start_worker(errands, provider)
    try:
        call, session, call_id = call_up(first, provider, dial)
        session.calls("pack", {"name": "overnight"})
        errands.begun("overnight")
        hang_up(call, first, call_id)
    finally:
        first.kill()
    [entry] = first.record(call_id)["tool_calls"]
    assert (entry["status"], entry["result"]) == ("continues", None)
    errands.open("overnight")
    until(lambda: errands.ended("overnight"), "it ends")
    second = start_worker(errands, provider)
    try:
        [entry] = until(lambda: ended_tools(second, call_id), "the record is completed")
        assert (entry["status"], entry["result"]) == ("ok", {"done": "overnight"})
    finally:
        second.kill()


def runs(errands: Errands, name: str) -> int:
    return len((errands.folder / f"{name}.started").read_text().splitlines())


def is_told_once(errands: Errands, call_id: str, tool_call: str, answers: list[int]) -> dict[str, Any]:
    """Wait until the notice is out; it was answered so, and signed each time. Returns what was told."""
    job = f"{call_id}-{tool_call}"
    until(lambda: len(errands.receiver.of(call_id)) == len(answers), lambda: f"{errands.receiver.deliveries}")
    until(lambda: errands.status(names.notice_id(job)) == "finished", "and nobody tries again")
    found = errands.receiver.of(call_id)
    assert [one.answer for one in found] == answers
    assert all(verify(SECRET, one.headers, one.body, time.time()) for one in found)
    assert not any(verify("another", one.headers, one.body, time.time()) for one in found)
    assert {one.headers[DELIVERY] for one in found} == {names.notice_id(job)}
    assert errands.redis.client.exists(names.delivered_key(job))
    return found[-1].told


def test_finish_and_notify_tells_until_it_is_taken(
    worker: Worker, errands: Errands, provider: Provider, dial: Dial
) -> None:
    errands.receiver.answers.append(500)
    call, session, call_id = call_up(worker, provider, dial)
    tool_call = session.calls("book", {"name": "booked"})
    errands.begun("booked")
    hang_up(call, worker, call_id)
    errands.open("booked")
    told = is_told_once(errands, call_id, tool_call, [500, 204])
    record = worker.record(call_id)
    who = {"caller": record["caller"], "dialled": record["dialled"], "call_id": call_id, "tool_call_id": tool_call}
    assert told.items() >= {"tool": "book", "status": "ok", "result": {"done": "booked"}, **who}.items()
    assert runs(errands, "booked") == 1
    assert SECRET not in "\n".join([*worker.err, *errands.tool_worker.err])


def test_a_notice_goes_out_though_the_worker_is_dead(errands: Errands, provider: Provider, dial: Dial) -> None:
    """Killed after the hang-up and before the tool's end: whoever lives to see that tells it."""
    worker = start_worker(errands, provider)
    try:
        call, session, call_id = call_up(worker, provider, dial)
        tool_call = session.calls("book", {"name": "orphan"})
        errands.begun("orphan")
        hang_up(call, worker, call_id)
        worker.kill()
        errands.open("orphan")
        assert is_told_once(errands, call_id, tool_call, [204])["result"] == {"done": "orphan"}
    finally:
        worker.kill()


def test_nobody_is_told_what_the_caller_heard(worker: Worker, errands: Errands, provider: Provider, dial: Dial) -> None:
    call, session, call_id = call_up(worker, provider, dial)
    errands.open("heard")
    tool_call = session.calls("book", {"name": "heard"})
    assert session.output(tool_call) == {"done": "heard"}
    call.hang_up()
    [record] = worker.record(call_id)["tool_calls"]
    assert record["status"] == "ok"
    until(lambda: errands.status(f"{call_id}-{tool_call}") == "finished", "rq has written its end")
    assert not errands.redis.client.exists(names.job_key(names.notice_id(f"{call_id}-{tool_call}")))
    assert errands.receiver.of(call_id) == []
