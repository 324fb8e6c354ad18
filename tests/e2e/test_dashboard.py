"""rq-dashboard beside a live call: its jobs are found by the call's id, tell no secret, and are cancelled there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts.caller import ROUGHLY, Call
from parts.dashboard import Dashboard
from parts.program import until
from parts.provider import ANSWER_HZ, Session
from parts.services import RealtimeServer, RedisServer, ToolWorker, Worker

SHOP = Path(__file__).parent / "parts" / "shop.py"
WORD = "Marjoram"
"""Stands in arguments, and may stand on no page."""

AGENT = """
greeting = "Hello."
[tools]
modules = ["{shop}"]
"""

DIALOGUE = """
[[turn]]
hears = ["what is the status of order {order:digits:3}"]

[[turn.call]]
tool = "order_status"
arguments = { order = "{order}" }
[[turn.call.answer]]
when = { status = "shipped" }
say = "Order {order:digits} is shipped with {carrier}."
[[turn.call.answer]]
when = { status = "cancelled" }
say = "Somebody has stopped that search."
"""


@pytest.fixture(scope="module")
def dashboard(redis: RedisServer) -> Iterator[Dashboard]:
    shown = Dashboard(redis.url).ready()
    yield shown
    shown.stop()


def test_jobs_are_found_by_the_call_and_cancelled(
    dashboard: Dashboard, dial_desk: Callable[[], tuple[Call, Session, str]], desk: Worker, folder: Path
) -> None:
    call, session, call_id = dial_desk()
    running = session.calls("slow", {"seconds": 12, "name": WORD})
    until((folder / f"{WORD}.started").exists, "the first job runs")
    queued = session.calls("slow", {"seconds": 12, "name": f"{WORD}2"})
    until(lambda: dashboard.jobs("queued", call_id), "the second waits")

    [(second, waits)] = dashboard.jobs("queued", call_id).items()
    [(first, runs)] = dashboard.jobs("started", call_id).items()
    assert (first, second) == (f"{call_id}-{running}", f"{call_id}-{queued}")
    assert runs["description"] == waits["description"] == "slow: take a while"
    shown = dashboard.shows(f"job/{first}")
    told = {"call_id": call_id, "tool_call_id": running, "tool": "slow", "summary": "take a while"}
    assert json.loads(shown["metadata"]) == told and shown["status"] == "started"
    [worker] = dashboard.shows("workers")["workers"]
    assert worker["current_job"]["job_id"] == first
    for page in ("", "/0/view/workers", "/0/view/jobs/tools/started/8/asc/1", f"/0/view/job/{first}"):
        assert dashboard.ask(page)[0] == 200, page
    every = [shown, worker, waits, runs, dashboard.shows(f"job/{second}"), dashboard.shows("queues")]
    assert WORD not in json.dumps(every), "no arguments"

    for job, tool_call, how in ((second, queued, "removed"), (first, running, "stopped")):
        asked_ms = call.listen().now_ms
        assert dashboard.press_delete(job) == {"status": "OK", "how": how}
        outcome = session.output(tool_call)
        assert outcome["status"] == "cancelled" and "was cancelled" in outcome["error"]
        call.hears_tone(ANSWER_HZ, 400, after=asked_ms)
    assert dashboard.press_delete(first)["status"] == "ERROR", "it is over"
    assert dashboard.shows(f"job/{first}")["status"] == "stopped", "what happened can still be read"
    assert not (folder / f"{WORD}.ended").exists() and not (folder / f"{WORD}2.started").exists()
    assert session.outputs(running) == session.outputs(queued) == 1
    call.hang_up()
    assert [tool["status"] for tool in desk.record(call_id)["tool_calls"]] == ["cancelled"] * 2


@pytest.fixture
def talking(redis: RedisServer, tool_worker: ToolWorker, folder: Path, tmp_path: Path) -> Iterator[Worker]:
    """A worker with ears, and words for a tool that was stopped."""
    (agent := tmp_path / "agent.toml").write_text(AGENT.format(shop=SHOP))
    (dialogue := tmp_path / "dialogue.toml").write_text(DIALOGUE)
    server = RealtimeServer(dialogue)
    settings: dict[str, Any] = {"REDIS_URL": redis.url, "OFFHOOK_AGENT": agent, "SHOP_FOLDER": folder}
    worker = Worker(tmp_path / "calls", OFFHOOK_REALTIME_URL=server.ready().url, **settings)
    try:
        yield worker.ready()
        assert worker.stop() == 0, worker.text()
    finally:
        worker.stop()
        server.stop()


def test_the_caller_hears_of_it(talking: Worker, dashboard: Dashboard, dial: Callable[[str], Call]) -> None:
    call = dial(talking.uri)
    call_id = talking.next_call()
    call.waits(1200)  # the greeting
    call.say("what is the status of order four two seven")
    until(lambda: dashboard.jobs("started", call_id), "the job runs")
    [job] = dashboard.jobs("started", call_id)
    dashboard.press_delete(job)
    call.hears_said("Somebody has stopped that search.", after=call.now_ms, likeness=ROUGHLY)
    call.hang_up()
    [tool] = talking.record(call_id)["tool_calls"]
    assert tool["status"] == "cancelled" and tool["run_ms"] is None
