"""What is read of the load, with clocks of the test's own; and once with the real ones."""

from __future__ import annotations

import asyncio
import time

import pytest
from structlog.testing import capture_logs

from worker.records.metrics import Metrics
from worker.service.governor import Governor
from worker.service.load_watch import LOOK_S, MEASURES, LoadWatch


class Scene:
    """A watch whose clocks stand still unless they are moved."""

    def __init__(self) -> None:
        self.now, self.cpu_s, self.calls = 50.0, 3.0, 7
        self.governor = Governor(self.now)
        self.metrics = Metrics()
        self.watch = LoadWatch(
            self.governor, lambda: (self.calls, 2), self.metrics, clock=lambda: self.now, cpu=lambda: self.cpu_s
        )

    def passes(self, seconds: float, cpu: float) -> None:
        self.now += seconds
        self.cpu_s += seconds * cpu
        self.watch.look()


def test_a_reading_is_of_the_span_since_the_last_one() -> None:
    scene = Scene()
    for lag in [0.001] * 94 + [0.2] * 6:
        scene.watch.lagged(lag)
    for late in (0.001, 0.002, 0.5):
        scene.watch.late(late)
    scene.passes(0.5, 0.6)
    reading = scene.governor.reading
    assert reading.cpu == pytest.approx(0.6) and reading.span_s == pytest.approx(0.5) and reading.at == scene.now
    assert (reading.lag_s, reading.late_s, reading.calls, reading.coming) == (0.2, 0.002, 7, 2)
    scene.passes(0.4, 0.1)
    assert scene.governor.reading.lag_s == 0.2, "a second's measures count"
    scene.passes(0.7, 0.1)
    reading = scene.governor.reading
    assert reading.cpu == pytest.approx(0.1) and (reading.lag_s, reading.late_s) == (0.0, 0.0)
    text = scene.metrics.exposition().decode()
    assert "offhook_loop_lag_seconds_count 100.0" in text and "offhook_callback_lateness_seconds_count 3.0" in text
    assert scene.metrics.load._value.get() == pytest.approx(0.1)


def test_a_clock_that_stands_still_is_no_reading() -> None:
    scene = Scene()
    scene.watch.look()
    assert scene.governor.reading.calls == 0


def test_a_moments_work_is_no_load() -> None:
    scene = Scene()
    scene.passes(0.25, 0.1)
    scene.passes(0.25, 0.9)
    assert scene.governor.reading.cpu == pytest.approx(0.5)


def test_what_is_kept_between_two_readings_is_bounded() -> None:
    scene = Scene()
    for _ in range(3 * MEASURES):
        scene.watch.lagged(0.0)
    assert len(scene.watch._lags) == MEASURES


def test_the_log_tells_when_it_closes_and_when_it_opens() -> None:
    scene = Scene()
    with capture_logs() as lines:
        for cpu in [0.5, *[0.99] * 7, *[0.2] * 7]:
            scene.passes(0.5, cpu)
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("overloaded", "warning"),
        ("load_is_down", "info"),
    ]
    assert lines[0]["load"] == "99% of a core, loop 0 ms late, media clock 0 ms late" and lines[0]["calls"] == 7
    assert "offhook_overloaded 0.0" in scene.metrics.exposition().decode()


def test_what_the_start_took_is_in_no_reading() -> None:
    scene = Scene()
    scene.now += 4.0
    scene.cpu_s += 4.0
    for _ in range(100):
        scene.watch.lagged(0.13)
    scene.watch.late(0.5)
    scene.watch.begin()
    scene.passes(0.25, 0.02)
    reading = scene.governor.reading
    assert reading.cpu == pytest.approx(0.02) and reading.span_s == pytest.approx(0.25)
    assert (reading.lag_s, reading.late_s) == (0.0, 0.0)


async def test_it_reads_the_process_itself() -> None:
    governor = Governor(time.monotonic())
    watch = LoadWatch(governor, lambda: (1, 0), Metrics())
    task = asyncio.create_task(watch.run())
    try:
        async with asyncio.timeout(10):
            while governor.reading.calls != 1:
                await asyncio.sleep(LOOK_S / 10)
        assert 0.0 <= governor.reading.cpu < 100.0 and governor.reading.span_s >= LOOK_S * 0.9
    finally:
        task.cancel()
