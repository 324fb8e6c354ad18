"""The moments of a window at which packets came late, and whether their core was there meanwhile. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from rig.load_figures import WITHIN_MS, behind, numbered
from rig.probe import Seen
from rig.rtp_load import Taken

APART_NS = 10_000_000
"""Late packets further apart are of different ticks."""
MOST = 12
"""That are listed."""
HALF = 0.5


@dataclass(frozen=True, slots=True)
class LateTick:
    """A moment at which packets were late by more than 3 ms."""

    begin: int
    """When the first of them was due (CLOCK_REALTIME ns),"""
    came: int
    """and when it came."""
    packets: int
    worst_ms: float


def late_ticks(heard: Taken) -> list[LateTick]:
    """Those of a window."""
    order, number = numbered(heard.stream, heard.sequence)
    at = heard.at[order]
    off = behind((at - (at[0] if len(at) else 0)) / 1e6, heard.stream[order], number)
    late = np.flatnonzero(off > WITHIN_MS)
    late = late[np.argsort(at[late], kind="stable")]
    groups = np.split(late, np.flatnonzero(np.diff(at[late]) > APART_NS) + 1) if len(late) else []
    return [
        LateTick(
            begin=int(at[group[0]] - off[group[0]] * 1e6),
            came=int(at[group[0]]),
            packets=len(group),
            worst_ms=float(off[group].max()),
        )
        for group in groups
    ]


def lines(heard: Taken, seen: Mapping[int, Seen]) -> list[str]:
    """In words, with what probes saw, by core; the first is the worker's."""
    ticks = late_ticks(heard)
    own, *_ = seen
    away = [tick for tick in ticks if seen[own].away(tick.begin, tick.came) > HALF * (tick.came - tick.begin)]
    found = [f"      core {core}'s probe: {one.words()}" for core, one in seen.items()]
    packets = sum(tick.packets for tick in ticks)
    found.append(
        f"      late by over 3 ms: {packets} packets at {len(ticks)} moments; at {len(away)} of them the worker's core"
        " was away for half of that time or more"
    )
    for tick in sorted(ticks, key=lambda one: -one.worst_ms)[:MOST]:
        gaps = ", ".join(f"core {core} {one.away(tick.begin, tick.came) / 1e6:.2f}" for core, one in seen.items())
        found.append(
            f"        {tick.begin / 1e9 % 1000:.4f} s: {tick.worst_ms:.1f} ms, {tick.packets} packets; away: {gaps}"
        )
    return found
