"""The pacer: every call is driven at its pace, and one call's fault is no other's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from worker.call.audio import Uplink
from worker.service.pacer import BATCH_MS, SLOTS, TICK_S, Pacer

Until = Callable[..., Awaitable[None]]


class Call:
    """Counts what it is driven to, in order."""

    def __init__(self, fault: str = "") -> None:
        self.steps: list[str] = []
        self.breaks = 0
        self.fault = fault
        self.uplink = Uplink(8000, "pcm24k")

    def take(self) -> bytes:
        self.steps.append("take")
        if self.fault == "take":
            raise ValueError("no bridge")
        return bytes(639 if self.fault == "audio" else 640)

    def append(self, audio: bytes) -> None:
        assert len(audio) == 1920
        self.steps.append("append")
        if self.fault == "append":
            raise ValueError("no session")

    def poll(self, now: float) -> None:
        self.steps.append("poll")
        if self.fault == "poll":
            raise ValueError("no such item")

    def broke(self) -> None:
        self.breaks += 1


async def drive(pacer: Pacer, until: Until, done: Callable[[], bool]) -> None:
    task = asyncio.create_task(pacer.run())
    try:
        await until(done, "the pacer's work")
        assert not task.done(), "the pacer ended"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_a_round_is_a_batch() -> None:
    assert SLOTS * TICK_S * 1000 == BATCH_MS


async def test_each_call_is_pumped_once_and_polled_twice_a_round(until: Until) -> None:
    pacer, calls = Pacer(), [Call() for _ in range(SLOTS + 1)]
    for call in calls:
        pacer.add(call)
    await drive(pacer, until, lambda: all(len(call.steps) >= 16 for call in calls))
    for call in calls:
        whole = call.steps[call.steps.index("take") :][:12]
        assert whole == ["take", "append", "poll", "poll"] * 3


async def test_calls_are_spread_over_the_slots() -> None:
    pacer = Pacer()
    calls = [Call() for _ in range(SLOTS * 3)]
    for call in calls:
        pacer.add(call)
    assert [len(slot) for slot in pacer._slots] == [3] * SLOTS
    for call in calls[:SLOTS]:
        pacer.remove(call)
    pacer.remove(calls[0])  # unknown by now
    pacer.remove(Call())
    assert sorted(len(slot) for slot in pacer._slots) == [2] * SLOTS


async def test_a_removed_call_is_driven_no_more(until: Until) -> None:
    pacer, gone, stays = Pacer(), Call(), Call()
    pacer.add(gone)
    pacer.add(stays)
    pacer.remove(gone)
    await drive(pacer, until, lambda: len(stays.steps) >= 6)
    assert gone.steps == []


@pytest.mark.parametrize("fault", ["take", "append", "poll"])
async def test_a_call_that_raises_ends_alone(until: Until, fault: str) -> None:
    pacer, bad, good = Pacer(), Call(fault), Call()
    pacer.add(bad)
    pacer.add(good)
    await drive(pacer, until, lambda: bool(bad.breaks) and len(good.steps) >= 9)
    assert bad.breaks == 1 and bad.steps.count(fault) == 1


async def test_what_is_no_audio_ends_its_call_alone(until: Until) -> None:
    pacer, bad, good = Pacer(), Call("audio"), [Call() for _ in range(2 * SLOTS)]
    for call in (bad, *good):
        pacer.add(call)
    await drive(pacer, until, lambda: bool(bad.breaks) and all(len(call.steps) >= 9 for call in good))
    assert bad.breaks == 1 and "append" not in bad.steps
    assert not any(call.breaks for call in good)


async def test_lag_is_told_each_tick_and_never_negative(until: Until) -> None:
    lags: list[float] = []
    await drive(Pacer(lags.append), until, lambda: len(lags) >= 5)
    assert all(lag >= 0 for lag in lags)


async def test_a_blocked_loop_is_seen_as_lag_and_not_made_up_for(until: Until) -> None:
    lags: list[float] = []

    class Blocks(Call):
        def take(self) -> bytes:
            pcm = super().take()
            if self.steps.count("take") == 1:
                time.sleep(0.3)  # the loop is held up by something else
            return pcm

    call = Blocks()
    pacer = Pacer(lags.append)
    pacer.add(call)
    await drive(pacer, until, lambda: call.steps.count("take") >= 3)
    late = lags.index(max(lags))
    assert lags[late + 1] < lags[late] / 2, "the missed ticks are run one after the other"
