"""Reads twice a second how busy the worker's core is, and has the governor judge it."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import deque
from collections.abc import Callable

import structlog

from worker.governor import Governor, Reading
from worker.metrics import Metrics

__all__ = ["LoadWatch"]

log = structlog.get_logger(__name__)

LOOK_S = 0.5
MEASURES = 1000
"""Kept between two readings at most; past it the oldest go."""


class LoadWatch:
    """Gathers what the pacer and the calls tell, on the event loop."""

    def __init__(
        self,
        governor: Governor,
        calls: Callable[[], int],
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        """`calls` tells how many are in progress, `cpu` the CPU time of all the process's threads (s)."""
        self._governor = governor
        self._calls = calls
        self._metrics = metrics
        self._clock = clock
        self._cpu = cpu
        self._lags: deque[float] = deque(maxlen=MEASURES)
        self._lates: deque[float] = deque(maxlen=MEASURES)
        self._at, self._cpu_s = clock(), cpu()

    def lagged(self, seconds: float) -> None:
        """A timer of the event loop was so late."""
        self._lags.append(seconds)
        self._metrics.loop_lag.observe(seconds)

    def late(self, seconds: float) -> None:
        """The media clock came to a call so late at the worst, in the call's last second."""
        self._lates.append(seconds)
        self._metrics.callback_lateness.observe(seconds)

    def look(self) -> None:
        """Take a reading."""
        now, cpu_s = self._clock(), self._cpu()
        span_s = now - self._at
        if span_s <= 0:
            return
        reading = Reading(
            at=now,
            span_s=span_s,
            cpu=(cpu_s - self._cpu_s) / span_s,
            lag_s=_high(self._lags),
            late_s=statistics.median(self._lates) if self._lates else 0.0,
            calls=self._calls(),
        )
        self._at, self._cpu_s = now, cpu_s
        self._lags.clear()
        self._lates.clear()
        before = self._governor.closed
        self._governor.read(reading)
        self._metrics.load.set(reading.cpu)
        self._metrics.overloaded.set(self._governor.closed)
        if self._governor.closed != before:
            tell = log.warning if self._governor.closed else log.info
            tell("overloaded" if self._governor.closed else "load_is_down", load=self.words(), calls=reading.calls)

    def words(self) -> str:
        """How it stands, for the operator."""
        reading = self._governor.reading
        lag_ms, late_ms = reading.lag_s * 1000, reading.late_s * 1000
        return f"{reading.cpu:.0%} of a core, loop {lag_ms:.0f} ms late, media clock {late_ms:.0f} ms late"

    async def run(self) -> None:
        """Look twice a second until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()


def _high(values: deque[float]) -> float:
    """The 95th percentile; 0 of nothing."""
    return sorted(values)[min(len(values) - 1, len(values) * 95 // 100)] if values else 0.0
