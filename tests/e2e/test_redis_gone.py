"""Redis goes away under several phone calls at once, and comes back: nobody has to start anything again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from parts.caller import Call
from parts.program import until
from parts.provider import ANSWER_HZ, Provider, Session
from parts.services import OwnDesk, errand_desk

from tools.queue import names

Talk = tuple[Call, Session, str]


@pytest.fixture(scope="module")
def shared_desk(own_folder: Path, provider_server: Provider) -> Iterator[OwnDesk]:
    desk = errand_desk(own_folder, provider_server.url, OFFHOOK_MAX_CALLS=4)
    yield desk
    assert desk.worker.alive and desk.tool_worker.alive and len(desk.tool_workers) == 1, desk.worker.text()
    assert desk.stop() == 0, desk.worker.text()


def goes_on_without(talk: Talk) -> str:
    """A caller's quick tool works, a slow one is declined in words; both are heard. Returns the declined one's id."""
    call, session, _ = talk
    asked_ms = call.listen().now_ms
    assert session.output(session.calls("here", {"word": "still"})) == {"word": "still"}
    call.hears_tone(ANSWER_HZ, 400, after=asked_ms)
    asked_ms = call.listen().now_ms
    refused = session.calls("add", {"left": 2, "right": 3})
    outcome = session.output(refused)
    assert outcome["status"] == "unavailable" and "can't be reached" in outcome["error"]
    call.hears_tone(ANSWER_HZ, 400, after=asked_ms)
    return refused


@pytest.mark.parametrize("how", ["killed", "hanging"])
def test_three_callers_when_redis_goes_and_comes(our_desk: OwnDesk, call_up: Callable[[], Talk], how: str) -> None:
    redis, worker = our_desk.redis, our_desk.worker
    talks = [call_up() for _ in range(3)]
    (one, first, _), (other, second, _), _ = talks
    runs = first.calls("pack", {"name": f"{how}-runs"})
    our_desk.begun(f"{how}-runs")
    waits = second.calls("pack", {"name": f"{how}-waits"})
    job = f"{talks[1][2]}-{waits}"
    until(
        lambda: redis.client.lrange(names.queue_key("tools"), 0, -1) == [job.encode()], "the second's is in the queue"
    )

    (redis.kill if how == "killed" else redis.freeze)()
    refused = [goes_on_without(talk) for talk in talks]
    until(lambda: not worker.part("redis")["ok"], "the worker knows")
    assert worker.get("/healthz")[0] == 200
    talks.append(call_up())
    goes_on_without(talks[-1])
    our_desk.open(f"{how}-runs")
    our_desk.open(f"{how}-waits")
    until((our_desk.folder / f"{how}-runs.ended").exists, "the job ends while nobody can be told")
    assert first.outputs(runs) == second.outputs(waits) == 0
    assert not our_desk.marks(f"{how}-waits.started")

    back_ms = one.listen().now_ms, other.listen().now_ms
    (redis.start if how == "killed" else redis.thaw)()
    assert first.output(runs) == {"done": f"{how}-runs"}, "the tool worker kept it"
    one.hears_tone(ANSWER_HZ, 400, after=back_ms[0])
    assert second.output(waits) == {"done": f"{how}-waits"}, "Redis kept it"
    other.hears_tone(ANSWER_HZ, 400, after=back_ms[1])
    until(lambda: worker.part("redis")["ok"], "the worker knows that it is back")
    for _, session, _ in talks:
        assert session.output(session.calls("add", {"left": 20, "right": 3})) == {"result": 23}
    for (_, session, _), tool in zip(talks, refused, strict=False):
        assert session.outputs(tool) == 1
    assert first.outputs(runs) == second.outputs(waits) == 1
    for name in (f"{how}-runs", f"{how}-waits"):
        assert len(our_desk.marks(f"{name}.started")) == 1
    for call, _, call_id in talks:
        call.hang_up()
        record = worker.record(call_id)
        assert record["outcome"] == "completed" and record["errors"] == []


def test_a_caller_hangs_up_meanwhile(our_desk: OwnDesk, call_up: Callable[[], Talk]) -> None:
    """What each tool declares for that holds as soon as Redis is back."""
    call, session, call_id = call_up()
    looks = f"{call_id}-{session.calls('browse', {'name': 'looks'})}"
    our_desk.begun("looks")
    waiting = lambda: our_desk.redis.client.llen(names.queue_key("tools"))  # noqa: E731
    packs = session.calls("pack", {"name": "packs"})
    until(lambda: waiting() == 1, "one job waits")
    unseen = f"{call_id}-{session.calls('browse', {'name': 'unseen'})}"
    until(lambda: waiting() == 2, "and another one behind it")
    our_desk.redis.kill()
    call.hang_up()
    assert our_desk.worker.record(call_id)["outcome"] == "completed"
    our_desk.worker.wait_log("tool_not_cancelled", call_id=call_id)
    our_desk.redis.start()
    until(lambda: our_desk.redis.job(looks).get_status() == "stopped", lambda: our_desk.redis.job(looks).get_status())
    until(
        lambda: our_desk.redis.job(unseen).get_status() == "canceled", lambda: our_desk.redis.job(unseen).get_status()
    )
    our_desk.open("packs")
    until(lambda: our_desk.redis.client.hexists(names.late_key(call_id), packs), "the other's result is kept")
    assert not our_desk.marks("looks.ended") and not our_desk.marks("unseen.started")
