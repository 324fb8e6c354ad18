"""Reads four times a second how busy the worker's core is, and has the governor judge it."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import deque
from collections.abc import Callable

import structlog

from worker.records.metrics import Metrics
from worker.service.governor import Governor, Reading

__all__ = ["LoadWatch"]

log = structlog.get_logger(__name__)

LOOK_S = 0.25
CPU_LOOKS = 2
"""CPU time is that of so many spans: a log line's write is no load."""
MEASURES_S = 1.0
MEASURES = 1000
"""Kept of each kind at most, for so long; past it the oldest go."""


class LoadWatch:
    """Gathers what the pacer and the calls tell, on the event loop."""

    def __init__(
        self,
        governor: Governor,
        calls: Callable[[], tuple[int, int]],
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        """`calls` tells how many are in progress and how many of them have no audio yet.

        `cpu`: the CPU time of all the process's threads (s).
        """
        self._governor = governor
        self._calls = calls
        self._metrics = metrics
        self._clock = clock
        self._cpu = cpu
        self._lags: deque[tuple[float, float]] = deque(maxlen=MEASURES)
        self._lates: deque[tuple[float, float]] = deque(maxlen=MEASURES)
        self._used = deque([(clock(), cpu())], maxlen=CPU_LOOKS + 1)

    def begin(self) -> None:
        """The start is over: what it took is no load, and what is read from now on counts."""
        now = self._clock()
        self._lags.clear()
        self._lates.clear()
        self._used.clear()
        self._used.append((now, self._cpu()))
        self._governor.begin(now)

    def lagged(self, seconds: float) -> None:
        """A timer of the event loop was so late."""
        self._lags.append((self._clock(), seconds))
        self._metrics.loop_lag.observe(seconds)

    def late(self, seconds: float) -> None:
        """The media clock came to a call so late at the worst, in the call's last second."""
        self._lates.append((self._clock(), seconds))
        self._metrics.callback_lateness.observe(seconds)

    def look(self) -> None:
        """Take a reading."""
        now, cpu_s = self._clock(), self._cpu()
        if now <= self._used[-1][0]:
            return
        self._used.append((now, cpu_s))
        since, cpu_then = self._used[0]
        lags, lates = _recent(self._lags, now), _recent(self._lates, now)
        calls, coming = self._calls()
        reading = Reading(
            at=now,
            span_s=now - since,
            cpu=(cpu_s - cpu_then) / (now - since),
            lag_s=sorted(lags)[len(lags) * 95 // 100] if lags else 0.0,
            late_s=statistics.median(lates) if lates else 0.0,
            calls=calls,
            coming=coming,
        )
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
        """Look four times a second until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()


def _recent(measures: deque[tuple[float, float]], now: float) -> list[float]:
    """Those of the last second; the older ones go."""
    while measures and measures[0][0] < now - MEASURES_S:
        measures.popleft()
    return [value for _, value in measures]
