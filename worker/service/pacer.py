"""One timer for all calls: it moves the callers' audio in batches and lets each call look at its playout."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

import structlog

from worker.call.audio import Uplink, convert_all

__all__ = ["BATCH_MS", "Pacer"]

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

TICK_S = 0.010
SLOTS = 4
BATCH_MS = 40
"""Each call's audio goes out once in so many ms: half the messages of 20 ms, for one more frame of delay."""


class Paced(Protocol):
    """What the pacer drives; no method may block."""

    @property
    def uplink(self) -> Uplink:
        """How its audio is converted."""
        ...

    def take(self) -> bytes:
        """Return what the caller has said since the last time (once in 40 ms): 16-bit PCM, b"" for nothing."""
        ...

    def append(self, audio: bytes) -> None:
        """Send that, as converted."""
        ...

    def poll(self, now: float) -> None:
        """Look at the playout and the clock (once in 20 ms)."""
        ...

    def broke(self) -> None:
        """One of the others raised: the call is not driven any more."""
        ...


class Pacer:
    """Drives every call from one loop, a quarter of them each 10 ms, so that the work is spread evenly."""

    def __init__(self, on_lag: Callable[[float], None] = lambda seconds: None) -> None:
        """`on_lag` gets the lateness (s) of each tick: the event loop's lag."""
        self._slots: list[list[Paced]] = [[] for _ in range(SLOTS)]
        self._on_lag = on_lag

    def add(self, call: Paced) -> None:
        """Drive this call from now on, in the emptiest slot."""
        min(self._slots, key=len).append(call)

    def remove(self, call: Paced) -> None:
        """Stop driving this call (unknown ones are ignored)."""
        for slot in self._slots:
            if call in slot:
                slot.remove(call)

    async def run(self) -> None:
        """Tick until cancelled. Ticks that were missed are not made up for: the audio waits in the bridges."""
        due = time.monotonic()
        slot = 0
        while True:
            due += TICK_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            now = time.monotonic()
            self._on_lag(max(0.0, now - due))
            if now - due > SLOTS * TICK_S:
                due = now
            slot = (slot + 1) % SLOTS
            self._pump(tuple(self._slots[slot]))
            for polled in (slot, (slot + SLOTS // 2) % SLOTS):
                for call in tuple(self._slots[polled]):
                    self._guarded(call, call.poll, now)

    def _pump(self, calls: tuple[Paced, ...]) -> None:
        """Move the audio of these calls, converted all at once."""
        taken = [(call, pcm) for call in calls if (pcm := self._guarded(call, call.take))]
        try:
            converted = convert_all([(call.uplink, pcm) for call, pcm in taken])
        except ValueError:  # somebody's is no audio: it is found among the others
            converted = [self._guarded(call, call.uplink.convert, pcm) or b"" for call, pcm in taken]
        for (call, _), audio in zip(taken, converted, strict=True):
            if audio:
                self._guarded(call, call.append, audio)

    def _guarded(self, call: Paced, do: Callable[P, T], *args: P.args, **options: P.kwargs) -> T | None:
        """One call's turn. Its fault is its own end, and no other call's."""
        try:
            return do(*args, **options)
        except Exception:
            log.exception("call_not_driven")
            self.remove(call)
            call.broke()
            return None
