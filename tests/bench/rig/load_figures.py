"""What a window of load comes to. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rig.figures import quantile
from rig.load import LOAD_CORE, WORKER_CORE, Window
from rig.load_protocol import DELTA_MS
from rig.tones import LEVEL, PIECE_MS, SILENT_BELOW, Measured, Verdict, judge
from rig.worker import bucket_quantile

WITHIN_MS = 3.0
FULL, LATE_MS, SHARED, STOLEN = 0.9, 5.0, 0.03, 0.01
"""From where on a figure may be the load's or the machine's: see `doubts`."""


@dataclass(frozen=True, slots=True)
class Direction:
    """The audio of one direction."""

    pieces: int
    """of 20 ms that were looked at."""
    lost: int
    silent: int
    damaged: int
    jumps: int
    """Audio left out, or said twice."""

    @property
    def bad(self) -> int:
        """All faults."""
        return self.lost + self.silent + self.damaged + self.jumps

    def words(self) -> str:
        """All of it."""
        faults = f"lost {self.lost}, silent {self.silent}, damaged {self.damaged}, jumps {self.jumps}"
        return f"{self.pieces} x 20 ms: {faults}"


@dataclass(frozen=True, slots=True)
class Step:
    """A number of calls, and what they cost and got. Shares in %, times in ms."""

    calls: int
    wanted: int
    seconds: float
    cpu_per_call: float
    """% of a core, the worker's process alone."""
    cpu: float
    threads: dict[str, float]
    memory_mb: float
    memory_per_call_mb: float
    off_p50: float
    """RTP: how far a packet was off its stream's beat."""
    off_p99: float
    off_p999: float
    off_max: float
    within: float
    """% of packets within 3 ms."""
    packets: int
    down: Direction
    """What callers heard: every packet."""
    up: Direction
    """What the provider was sent: some connections at a time, in turn."""
    uplink: float
    """% of real time that all connections got,"""
    uplink_least: float
    """and the one that got least."""
    callback_late_p99: float
    """Upper edge of the bucket in the worker's own histogram."""
    loop_lag_p99: float
    mute: int
    """Calls that heard next to nothing,"""
    stalled: int
    """and deltas that the worker's socket did not take at once."""
    underruns: int | None
    """None: the worker tells them at the end of a call only."""
    ended: int
    """Calls or sessions that ended by themselves."""
    load_cpu: dict[str, float]
    """The load's own processes."""
    load_late_p99: float
    """How late they sent RTP."""
    load_late_max: float
    doubts: list[str]

    def lines(self) -> list[str]:
        """All of it in words."""
        short = "" if self.calls == self.wanted else f" (of {self.wanted} WANTED)"
        threads = ", ".join(f"{name} {share:.1f}" for name, share in self.threads.items())
        load = ", ".join(f"{name} {share:g} %" for name, share in self.load_cpu.items())
        return [
            f"  {self.calls:>3} calls{short}: {self.cpu_per_call:.3f} % of a core per call, {self.cpu:.1f} % in all"
            f" ({threads}); {self.memory_per_call_mb:.2f} MB per call",
            f"      RTP off its beat by p50 {self.off_p50:.2f}, p99 {self.off_p99:.2f}, p99.9 {self.off_p999:.2f},"
            f" max {self.off_max:.1f} ms; within 3 ms: {self.within:.3f} %",
            f"      heard by callers: {self.down.words()}; mute calls {self.mute}; calls or sessions that ended"
            f" {self.ended}",
            f"      by the provider: {self.up.words()}; {self.uplink:.2f} % of real time, at least"
            f" {self.uplink_least:.2f} %; deltas it had to hold back {self.stalled}",
            f"      callbacks late p99 <= {self.callback_late_p99:g} ms, loop lag p99 <= {self.loop_lag_p99:g} ms;"
            f" underruns {'unknown' if self.underruns is None else self.underruns}; the load: {load}; sends late p99"
            f" {self.load_late_p99:.2f}, max {self.load_late_max:.1f} ms",
            *(f"      BUT {doubt}" for doubt in self.doubts),
        ]


def step(window: Window, wanted: int, idle_mb: float, at_mb: float) -> Step:
    """`idle_mb`: the worker's memory without calls, `at_mb`: with these."""
    heard, appended = window.heard, window.appended
    calls = appended.connections
    seconds = window.end.at - window.begin.at
    cpu = 100 * window.end.cores_since(window.begin)
    order, number = numbered(heard.stream, heard.sequence)
    off = beat(heard.at[order] / 1e6, heard.stream[order], number)
    down = judge(heard.stream[order], number, heard.measured[order])
    per_ms = appended.audio_ms / appended.seconds / 10
    before, after = window.metrics_begin, window.metrics_end
    return Step(
        calls=calls,
        wanted=wanted,
        seconds=seconds,
        cpu_per_call=cpu / max(1, calls),
        cpu=cpu,
        threads=threads(window),
        memory_mb=at_mb,
        memory_per_call_mb=(at_mb - idle_mb) / max(1, calls),
        off_p50=quantile(off, 0.5) if len(off) else float("nan"),
        off_p99=quantile(off, 0.99) if len(off) else float("nan"),
        off_p999=quantile(off, 0.999) if len(off) else float("nan"),
        off_max=float(off.max(initial=0)),
        within=100 * float(np.mean(off <= WITHIN_MS)) if len(off) else 0.0,
        packets=len(off),
        down=direction(down),
        up=direction(judge(appended.stream, appended.number, appended.measured)),
        uplink=float(np.mean(per_ms)) if len(per_ms) else 0.0,
        uplink_least=float(per_ms.min(initial=1000)),
        callback_late_p99=1000 * bucket_quantile(after, "offhook_callback_lateness_seconds", 0.99, before),
        loop_lag_p99=1000 * bucket_quantile(after, "offhook_loop_lag_seconds", 0.99, before),
        mute=mute(heard.stream, heard.measured),
        stalled=appended.stalled,
        underruns=window.underruns,
        ended=heard.ended + appended.ended,
        load_cpu=load_cpu(window),
        load_late_p99=quantile(heard.send_late_ms, 0.99) if len(heard.send_late_ms) else float("nan"),
        load_late_max=float(heard.send_late_ms.max(initial=0)),
        doubts=doubts(window),
    )


def mute(stream: NDArray[np.int64], measured: Measured) -> int:
    """How many streams are nine tenths silence."""
    silent = np.hypot(measured[:, 0], measured[:, 1]) < SILENT_BELOW * LEVEL
    all_, quiet = np.bincount(stream), np.bincount(stream, weights=silent)
    return int(np.sum(quiet > 0.9 * all_))


def direction(verdict: Verdict) -> Direction:
    """As it is told."""
    return Direction(verdict.pieces, verdict.lost, verdict.silent, verdict.damaged, verdict.jumps)


def numbered(stream: NDArray[np.int64], sequence: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The order by streams, and in it each packet's number, counted from its stream's first, over 65535 and on."""
    order = np.argsort(stream, kind="stable")
    stream, sequence = stream[order], sequence[order]
    new = np.ones(len(stream), bool)
    new[1:] = stream[1:] != stream[:-1]
    steps = np.zeros(len(stream), np.int64)
    steps[1:] = (sequence[1:] - sequence[:-1] + (1 << 15)) % (1 << 16) - (1 << 15)
    steps[new] = 0
    total = np.cumsum(steps)
    first = np.maximum.accumulate(np.where(new, np.arange(len(stream)), 0))
    return order, total - total[first] if len(stream) else total


def beat(at_ms: NDArray[np.float64], stream: NDArray[np.int64], number: NDArray[np.int64]) -> NDArray[np.float64]:
    """How far each packet (sorted by streams) was off its stream's beat, which is the median of all its packets."""
    return np.abs(behind(at_ms, stream, number))


def behind(at_ms: NDArray[np.float64], stream: NDArray[np.int64], number: NDArray[np.int64]) -> NDArray[np.float64]:
    """The same; below 0: before it."""
    off = at_ms - (at_ms[0] if len(at_ms) else 0) - number * PIECE_MS
    edges = np.flatnonzero(np.diff(stream)) + 1
    for begin, end in zip([0, *edges], [*edges, len(stream)], strict=True):
        if end > begin:
            off[begin:end] -= np.median(off[begin:end])
    return off


def threads(window: Window) -> dict[str, float]:
    """The worker's busiest threads, in % of a core."""
    found: dict[str, float] = {}
    for name, share in window.end.threads_since(window.begin):
        found[name] = found.get(name, 0.0) + 100 * share
    return {name: round(share, 2) for name, share in sorted(found.items(), key=lambda one: -one[1])[:4]}


def load_cpu(window: Window) -> dict[str, float]:
    """What stood around the worker, in % of a core."""
    shares = {
        "rtp": window.heard.cpu,
        "server": window.appended.cpu,
        "signalling": window.signalling_cpu,
        "bench": window.beside_cpu,
    }
    return {name: round(100 * share, 1) for name, share in shares.items()}


def doubts(window: Window) -> list[str]:
    """Why the figures may be another's than the worker's."""
    heard, appended = window.heard, window.appended
    begin, end = window.cores_begin, window.cores_end
    found = []
    if (busy := end.busy_since(begin, LOAD_CORE)) > FULL:
        found.append(f"the load's core was {100 * busy:.0f} % busy")
    if heard.dropped:
        found.append(f"the load dropped {heard.dropped} packets")
    for name, late, most in (("RTP", heard.send_late_ms, PIECE_MS), ("deltas", appended.late_ms, DELTA_MS)):
        if len(late) and (quantile(late, 0.99) > LATE_MS or late.max() > most):
            found.append(f"the load sent {name} late: p99 {quantile(late, 0.99):.1f}, max {late.max():.1f} ms")
    others = end.busy_since(begin, WORKER_CORE) - window.end.cores_since(window.begin)
    if others > SHARED:
        found.append(f"others used {100 * others:.0f} % of the worker's core")
    if (stolen := end.stolen_since(begin)) > STOLEN:
        found.append(f"the host took {100 * stolen:.1f} % of a core")
    return found
