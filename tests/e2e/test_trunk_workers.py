"""Several workers on one trunk: promises to callers are kept through it, and all calls are seen as one."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts.caller import Call, Phone
from parts.front import Front, heard_both_ways, owner, takes
from parts.program import ROOT, kill, until
from parts.provider import ANSWER_HZ, WORDS_HZ, Provider
from parts.services import Gates, RedisServer, ToolWorker, Worker

ERRANDS = ROOT / "tests" / "e2e" / "parts" / "errands.py"
NUMBER = "0301234567"
AGENT = f"""
goodbye = "Goodbye."
[tools]
modules = ["{ERRANDS}"]
[later]
offer_after = 1.5
pauses = [1]
[outbound]
screen = false
"""


class Line(Gates):
    """A carrier's line with a telephone at its end, a front on it, and what stands behind: any number of workers."""

    def __init__(self, folder: Path, provider: Provider) -> None:
        self.folder = folder
        self.agent = folder / "agent.toml"
        self.agent.write_text(AGENT)
        self.redis = RedisServer(folder)
        self.redis.start()
        self.phone = Phone(folder, username=NUMBER).ready()
        self.front = Front(folder, PROXY_TRUNK=f"sip:127.0.0.1:{self.phone.port}")
        self.tool_worker = ToolWorker(self.redis.url, self.agent, folder).ready()
        self.workers: list[Worker] = []
        self._provider = provider

    def start(self, count: int) -> list[Worker]:
        """So many more workers; returns when they are in rotation."""
        found = [self._worker(len(self.workers) + number + 1) for number in range(count)]
        self.workers += found
        for worker in found:
            worker.ready()
        self.front.in_rotation(sum(worker.alive for worker in self.workers))
        return found

    def _worker(self, number: int) -> Worker:
        settings = {
            "REDIS_URL": self.redis.url,
            "OFFHOOK_AGENT": self.agent,
            "OFFHOOK_REALTIME": "gateway",
            "OFFHOOK_REALTIME_URL": self._provider.url,
            "OFFHOOK_DRAIN_SECONDS": 0,
            "SHOP_FOLDER": self.folder,
        }
        return self.front.worker(self.folder / "calls", f"127.0.5.{number}", **settings)

    def rung(self) -> int:
        """How often the telephone has been called."""
        return len(self.phone.events("IncomingCall"))

    def stop(self) -> None:
        for worker in self.workers:
            worker.kill()
        self.tool_worker.kill()
        self.front.stop()
        self.phone.stop()
        self.redis.kill()


@pytest.fixture
def line(folder: Path, provider: Provider) -> Iterator[Line]:
    (own := folder / f"line{len(list(folder.iterdir()))}").mkdir()
    line = Line(own, provider)
    yield line
    line.stop()


def test_a_dead_workers_promise_is_kept_by_another_through_the_trunk(line: Line, provider: Provider) -> None:
    """The caller's number is dialled at the carrier, from the proxy's address, and sound comes through both ways."""
    pair = line.start(2)
    call = line.phone.dial(line.front.uri)
    session = provider.session()
    promising, other = owner(*pair)
    session.calls("browse", {"name": "parcel"})
    line.begun("parcel")
    assert session.output(session.calls("tell_later", {"how": "call_back"}))["status"] == "promised"
    call.hang_up()
    promising.record(promising.next_call())
    kill(promising.pid)
    promising.wait()
    rung = line.rung()
    line.open("parcel")
    ringing = line.phone.rings(rung + 1)
    assert ringing["dialled"] == NUMBER
    assert ringing["source"] == f"127.0.0.1:{line.front.port}"
    back = line.phone.pick_up(ringing)
    assert takes(other) == [1]
    until(
        lambda: [count for flags, count in line.front.destinations().values() if flags == "AP"] == [1],
        lambda: f"what a worker calls counts, too; {line.front.destinations()}",
    )
    opened_ms = back.hears_tone(WORDS_HZ, 600)
    back.hears_tone(ANSWER_HZ, 400, after=opened_ms)
    heard_both_ways(back, provider)
    back.hang_up()
    assert other.wait_log("call_back_ended")["outcome"] == "told"


def test_whom_a_dead_worker_had_called_hears_bye(line: Line, provider: Provider) -> None:
    [worker] = line.start(1)
    call = line.phone.dial(line.front.uri)
    session = provider.session()
    session.calls("browse", {"name": "letter"})
    line.begun("letter")
    assert session.output(session.calls("tell_later", {"how": "call_back"}))["status"] == "promised"
    call.hang_up()
    rung = line.rung()
    line.open("letter")
    back = line.phone.pick_up(line.phone.rings(rung + 1))
    back.hears_tone(WORDS_HZ, 400)
    kill(worker.pid)
    worker.wait()
    assert back.ended()["by"] == "caller"


def calls_of(offhook: Callable[..., tuple[int, str, str]], line: Line, *words: str) -> list[dict[str, Any]]:
    code, out, err = offhook("calls", *words, REDIS_URL=line.redis.url)
    assert code == 0, err
    return [json.loads(text) for text in out.splitlines()]


def test_the_calls_of_all_workers_are_listed(line: Line, offhook: Callable[..., tuple[int, str, str]]) -> None:
    """Each with its worker; by call id; and a worker that does not answer is named."""
    three = line.start(3)
    calls: list[Call] = [line.phone.dial(line.front.uri) for _ in range(3)]
    ids = {worker.calls()[0]["call_id"] for worker in three}
    listed = calls_of(offhook, line)
    assert {one["call_id"] for one in listed} == ids and len({one["worker"] for one in listed}) == 3
    wanted = three[1].calls()[0]["call_id"]
    assert [one["call_id"] for one in calls_of(offhook, line, wanted)] == [wanted]
    status, text = three[0].get(f"/calls/{wanted}")
    story = json.loads(text)
    assert status == 200 and story["live"] and story["record"]["call_id"] == wanted, (
        f"any worker shows any call: {text}"
    )
    named = {one["call_id"]: one["worker"] for one in listed}
    assert story["worker"] == named[wanted]
    found = json.loads(three[0].get("/calls?past=all")[1])
    assert {one["call_id"] for one in found["calls"] if one["live"]} == ids and found["silent"] == []
    three[0].signal(signal.SIGSTOP)
    try:
        listed = calls_of(offhook, line)
    finally:
        three[0].signal(signal.SIGCONT)
    assert sorted("call_id" in one for one in listed) == [False, True, True]
    assert [one["error"] for one in listed if "error" in one] == ["does not answer"]
    for call in calls:
        call.hang_up()
    until(lambda: calls_of(offhook, line) == [], "no call is left")
    over = lambda: {one["call_id"] for one in calls_of(offhook, line, "--past", "--outcome", "completed")}  # noqa: E731
    until(lambda: over() == ids, "calls that are over are found, too")
