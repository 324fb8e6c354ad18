"""Whether a core was there when it was wanted: a process that wakes each half millisecond and notes when it was late.

It goes before all threads of its core (man 7 sched: SCHED_FIFO) but one: pjmedia's clock, which has the highest
priority where it is allowed to (SCHED_RR, 99), and whose work at each tick keeps the probe waiting, too. But the time
from a packet's due to its sending is before that work. Where the probe was away through that, the machine was: its host
took the core, or the kernel was busy in a place that nothing interrupts. Where it was in time, the worker's clock
waited for something of the worker's own.
"""

from __future__ import annotations

import gc
import os
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from rig.child import Child, answer

PERIOD = 500_000
"""In ns. It costs its core 1 %."""
LATE = 300_000
"""In ns; what it is late by is noted from here on."""
LOOK_EVERY = 20


@dataclass(slots=True)
class Seen:
    """What it saw in a window."""

    precise: bool
    """It does go before everybody; else others' work is in its figures."""
    wakes: int = 0
    at: list[int] = field(default_factory=list)
    """When it woke late (CLOCK_REALTIME ns),"""
    late: list[int] = field(default_factory=list)
    """and how late (ns)."""

    def away(self, begin: int, end: int) -> int:
        """For how long of a span (CLOCK_REALTIME ns) the core was away; in ns."""
        spans = zip(self.at, self.late, strict=True)
        return sum(max(0, min(end, at) - max(begin, at - late)) for at, late in spans)

    def words(self) -> str:
        """In short."""
        over = [sum(late >= ms * 1e6 for late in self.late) for ms in (1, 3)]
        most = max(self.late, default=0) / 1e6
        how = "" if self.precise else " (behind others, too: no right to go before them)"
        return f"of {self.wakes} wakes late by 1 ms {over[0]}, by 3 ms {over[1]}, at most {most:.2f} ms{how}"


class _Probe:
    """The child process."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self.precise = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO
        self.seen = Seen(self.precise)

    def run(self) -> None:
        gc.disable()
        due, wakes = time.monotonic_ns(), 0
        while wakes % LOOK_EVERY or answer(self.pipe, self):
            due, wakes = due + PERIOD, wakes + 1
            if (early := due - time.monotonic_ns()) > 0:
                time.sleep(early / 1e9)
            now = time.monotonic_ns()
            self.seen.wakes += 1
            if now - due > LATE:
                self.seen.at.append(time.time_ns())
                self.seen.late.append(now - due)
                due = max(due, now - PERIOD)

    def do_begin(self) -> None:
        """Begin a window."""
        self.seen = Seen(self.precise)

    def do_end(self) -> Seen:
        """End it."""
        return self.seen


def _main(pipe: Connection) -> None:
    _Probe(pipe).run()


class Probe(Child):
    """The parent's hold on it."""

    def __init__(self, core: int) -> None:
        super().__init__(_main, core=core, first=3)

    def begin(self) -> None:
        """Begin a window."""
        self.ask("begin")

    def end(self) -> Seen:
        """What was seen since then."""
        found: Seen = self.ask("end")
        return found
