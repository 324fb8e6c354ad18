"""Bounds what a call may write into the log: a peer that repeats itself without end fills no disk. Pure: time is given.

Each event of each call has a bucket of `BURST` lines, which fills by `PER_S`; what concerns the whole worker has a
larger one. The next line that passes has `suppressed`, the number of those that were not written; what is left of them
at the end of the call stands in its line `call_ended`, by event. A text longer than `LONGEST` is cut.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import structlog

__all__ = ["Limiter", "LimitLines"]

BURST, PER_S = 30, 1.0
"""More than any call has that goes well; a flood writes its first moments and then a line a second."""
WORKER_BURST, WORKER_PER_S = 200, 20.0
"""Of events without a call, such as refusals."""
MOST = 10_000
"""Buckets that are kept; past that the one that was used longest ago goes."""
LONGEST = 2000
"""Characters of a text that came from elsewhere; tracebacks stay whole."""
ENDED = "call_ended"
WHOLE = frozenset({"exception", "event"})


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float
    suppressed: int = 0


class Limiter:
    """Lets so many lines of a key pass."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._buckets: OrderedDict[tuple[str, str], _Bucket] = OrderedDict()

    def admit(self, call_id: str, event: str, now: float) -> int | None:
        """Whether a line is written: the number of those before it that were not; None: nor is this one.

        call_id: "" for what concerns the whole worker. now: in s, of any clock that does not go back.
        """
        burst, per_s = (BURST, PER_S) if call_id else (WORKER_BURST, WORKER_PER_S)
        bucket = self._buckets.get((call_id, event))
        if bucket is None:
            bucket = self._buckets[call_id, event] = _Bucket(burst, now)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end((call_id, event))
        bucket.left = min(burst, bucket.left + (now - bucket.at) * per_s)
        bucket.at = now
        if bucket.left < 1:
            bucket.suppressed += 1
            return None
        bucket.left -= 1
        suppressed, bucket.suppressed = bucket.suppressed, 0
        return suppressed

    def end(self, call_id: str) -> dict[str, int]:
        """Forget a call; returns how many lines of it were not written and not told of yet, by event."""
        keys = [key for key in self._buckets if key[0] == call_id]
        left = {event: self._buckets.pop((call_id, event)).suppressed for _, event in keys}
        return {event: count for event, count in left.items() if count}


class LimitLines:
    """The limiter as a processor of structlog's, for any thread. Debug lines pass: who asks for them wants them all."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._limiter = Limiter()
        self._clock = clock
        self._lock = threading.Lock()

    def __call__(self, _logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Drop the line, or let it pass."""
        for key, value in event.items():
            if isinstance(value, str) and len(value) > LONGEST and key not in WHOLE:
                event[key] = f"{value[:LONGEST]}... ({len(value)} characters)"
        if method == "debug":
            return event
        name, call_id = str(event.get("event", "")), str(event.get("call_id") or "")
        with self._lock:
            suppressed = self._limiter.admit(call_id, name, self._clock())
            left = self._limiter.end(call_id) if name == ENDED and call_id else {}
        if suppressed is None:
            raise structlog.DropEvent
        if suppressed or left:
            event["suppressed"] = left or suppressed
        return event
