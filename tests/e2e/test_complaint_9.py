"""Complaint 9: a drain in which the first call to end killed the others; a burst of which too many calls are taken."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts import sound
from parts.caller import Call
from parts.program import until
from parts.provider import ANSWER_HZ, RATE, WORDS_HZ, Opening, Provider, Session
from parts.services import RedisServer, Worker

CALLER_HZ = 1200


@pytest.fixture
def worker(redis: RedisServer, provider: Provider, scripted_agent: Path, tmp_path: Path) -> Iterator[Worker]:
    made = Worker(
        tmp_path / "calls",
        REDIS_URL=redis.url,
        OFFHOOK_AGENT=scripted_agent,
        **provider.settings,
        OFFHOOK_MAX_CALLS=3,
        OFFHOOK_DRAIN_SECONDS=600,
    )
    try:
        yield made.ready()
    finally:
        made.kill()


def talk(call: Call, session: Session) -> None:
    """What the caller says comes to the model, and what it says to the caller."""
    sent = len(session.audio)
    call.play(sound.tone(CALLER_HZ, 400))
    every_third = RATE // sound.RATE

    def understood() -> bool:
        new = sound.samples_of(bytes(session.audio[sent:]))[::every_third]
        return sound.tone_ms(new.astype("<i2").tobytes(), CALLER_HZ) >= 340

    until(understood, "the model hears the caller")
    said_ms = call.listen().now_ms
    session.says(ANSWER_HZ, 500)
    call.hears_tone(ANSWER_HZ, 460, after=said_ms)


def test_complaint_9_a_drain_ends_no_call(
    worker: Worker, provider: Provider, dial: Callable[[str], Call], sipp: Any
) -> None:
    """Naive: the process ends with the first call that does. Three calls end one by one, each in its own way."""
    calls = [dial(worker.uri) for _ in range(3)]
    sessions = [provider.session() for _ in calls]
    ids = [worker.next_call() for _ in calls]
    worker.signal(signal.SIGTERM)
    until(lambda: not worker.part("draining")["ok"], "it drains")

    calls[0].hang_up()
    assert worker.record(ids[0])["outcome"] == "completed"
    sipp("refused_503", worker.target).finish()
    for call, session in zip(calls[1:], sessions[1:], strict=True):
        talk(call, session)

    response = sessions[1].begin()
    sessions[1].speak(response, WORDS_HZ, 800, words="Goodbye.")
    sessions[1].call(response, "end_call")
    sessions[1].end(response)
    calls[1].hears_tone(WORDS_HZ, 760)
    calls[1].ended()
    assert worker.record(ids[1])["outcome"] == "completed"
    tool = sessions[2].calls("here", {"word": "still"})
    assert sessions[2].output(tool) == {"word": "still"}
    calls[2].waits(700)
    talk(calls[2], sessions[2])
    assert worker.alive and calls[2].up

    calls[2].hang_up()
    assert worker.wait() == 0, worker.text()
    records = [worker.record(call_id) for call_id in ids]
    assert [record["outcome"] for record in records] == ["completed"] * 3
    assert [record["errors"] for record in records] == [[], [], []]
    assert len(worker.logged("call")) == 3


def test_complaint_9_a_burst_is_not_over_accepted(worker: Worker, provider: Provider, sipp: Any) -> None:
    """Naive: the load is looked at now and then, and calls that still ring weigh nothing."""
    provider.always = Opening(silent=True)  # they ring for as long as a call may
    run = sipp("burst", worker.target, "-m", "24", "-l", "24", "-r", "2000", hold_ms=500)
    run.finish()
    assert len(worker.logged("call")) == 3
    assert len(worker.logged("call_refused")) == 21
    assert worker.metric(r'offhook_calls_total\{outcome="rejected"\}') == 21
    until(lambda: not worker.calls(), "the burst is over")
    provider.always = None
    sipp("call", worker.target).finish()
    assert worker.stop() == 0, worker.text()
