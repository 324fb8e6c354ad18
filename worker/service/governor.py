"""Whether the worker's core has room for one more call. Pure: time and what was measured are parameters.

Two rules, since one alone would be too late or too nervous. *Reckoned*: what was measured last, and what the calls
taken since then will add to it, must stay under the limit, so that a burst between two readings is not let in whole.
*Closed*: where readings were over a limit for `close_after_s` without a break, no call is taken until they have been
well under it for `open_after_s`. A worker without a call refuses nobody: there is nobody whose audio would suffer.
Nor does one whose start is not over yet (`begin`): what it is busy with ends in a moment and says nothing of its calls.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

__all__ = ["Governor", "Limits", "Reading"]

MARKS = 8
"""Readings that may overlap."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a span of time was like for the worker."""

    at: float = 0.0
    """When it ended (s)."""
    span_s: float = 0.5
    """How long it was."""
    cpu: float = 0.0
    """The process's CPU time in it, as a share of one core."""
    lag_s: float = 0.0
    """How late the event loop's timers were: the 95th percentile of the last second's."""
    late_s: float = 0.0
    """How late the media clock was: the median over the calls of the worst in each one's last second."""
    calls: int = 0
    """Calls in progress at its end,"""
    coming: int = 0
    """and those of them whose audio does not flow yet."""


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on a worker has enough."""

    cpu: float = 0.92
    """Share of a core. One core is what Python's lock leaves to one process."""
    lag_s: float = 0.08
    """Two batches of the callers' audio."""
    late_s: float = 0.04
    """Two frames: what a telephone's jitter buffer still hides."""
    easy: float = 0.85
    """The part of each limit under which a closed worker comes to rest."""
    close_after_s: float = 2.0
    """A hiccup of a second closes nothing."""
    open_after_s: float = 2.0
    settle_s: float = 2.0
    """After the start: what the first calls take then is done once (modules, connections, caches that fill), and says
    nothing of the calls to come."""
    stale_s: float = 1.5
    """An event loop that has taken no reading for so long is stuck."""
    call_cpu: float = 0.003
    """What a call adds to the share of a core (measured: 0.3 % with audio both ways),"""
    setup_s: float = 0.006
    """and the CPU time of its set-up (measured: 5 to 7 ms, WebSocket and log lines included),"""
    setup_span_s: float = 0.5
    """of which a burst may take so long."""
    retry_reckoned_s: int = 2
    retry_closed_s: int = 5
    """Retry-After. A proxy may leave the whole worker alone for so long (RFC 3261 section 21.5.4): keep it short."""


@dataclass(frozen=True, slots=True)
class _State:
    """All that `refusal` looks at, replaced as a whole: it is asked on another thread."""

    reading: Reading
    cpu: float
    """What the reading's calls take of a core, as far as that is known yet."""
    closed: bool
    taken: int
    """Calls taken until the reading,"""
    taken_within: int
    """and those within its span."""


class Governor:
    """`read` is called by one thread, `refusal` by one other; neither waits."""

    def __init__(self, now: float | None = None, limits: Limits | None = None) -> None:
        """now: where it has begun long ago; left out: it does with `begin`."""
        self.limits = limits or Limits()
        self._taken = 0
        self._state: _State | None = None
        self._marks: deque[tuple[float, int]] = deque(maxlen=MARKS)
        self._over_since: float | None = None
        self._easy_since: float | None = None
        self._settled = 0.0
        if now is not None:
            self.begin(now)
            self._settled = -math.inf

    def begin(self, now: float) -> None:
        """The start is over. Until now every call was taken, and no reading was taken in."""
        self._settled = now + self.limits.settle_s
        self._marks.append((now, self._taken))
        self._state = _State(Reading(at=now), 0.0, False, self._taken, 0)

    @property
    def closed(self) -> bool:
        """Whether no calls are taken until the load has gone down."""
        return self._state is not None and self._state.closed

    @property
    def reading(self) -> Reading:
        """The latest."""
        return Reading() if self._state is None else self._state.reading

    def read(self, reading: Reading) -> None:
        """Take a reading in."""
        if self._state is None:
            return
        settled = reading.at - reading.span_s >= self._settled
        pressure = self._pressure(reading) if settled else 0.0
        if pressure < 1.0:
            self._over_since = None
        elif self._over_since is None:
            self._over_since = reading.at - reading.span_s
        if pressure >= self.limits.easy:
            self._easy_since = None
        elif self._easy_since is None:
            self._easy_since = reading.at - reading.span_s
        closed = self._state.closed
        if closed:
            closed = self._easy_since is None or reading.at - self._easy_since < self.limits.open_after_s
        elif self._over_since is not None:
            closed = reading.at - self._over_since >= self.limits.close_after_s
        taken = self._taken
        before = [count for at, count in self._marks if at <= reading.at - reading.span_s]
        self._marks.append((reading.at, taken))
        cpu = reading.cpu if settled else reading.calls * self.limits.call_cpu
        self._state = _State(reading, cpu, closed, taken, taken - (before[-1] if before else 0))

    def refusal(self, now: float) -> int | None:
        """Whether a call that comes now is refused: the s after which it may try again, or None: it is taken."""
        state, limits = self._state, self.limits
        since = 0 if state is None else self._taken - state.taken
        if state is not None and (state.reading.calls or since):
            if state.closed or now - state.reading.at > limits.stale_s:
                return limits.retry_closed_s
            if self._reckoned(state, since) > limits.cpu:
                return limits.retry_reckoned_s
        self._taken += 1
        return None

    def _reckoned(self, state: _State, since: int) -> float:
        """The share of a core with one more call.

        Of those that are being set up the audio is yet to come; set-ups count as far as there are more of them than
        within the reading's span.
        """
        reading, limits = state.reading, self.limits
        unseen = reading.coming + since + 1
        more = max(0, since + 1 - state.taken_within)
        return state.cpu + unseen * limits.call_cpu + more * limits.setup_s / limits.setup_span_s

    def _pressure(self, reading: Reading) -> float:
        """The largest of the measures, each as a part of its limit."""
        limits = self.limits
        return max(reading.cpu / limits.cpu, reading.lag_s / limits.lag_s, reading.late_s / limits.late_s)
