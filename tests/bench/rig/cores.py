"""What each core of the machine did, and the health of a measurement that depends on it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cores:
    """The cores at a moment; s since the machine began."""

    at: float
    busy: dict[int, float]
    """Not idle, without what was stolen."""
    stolen: dict[int, float]
    """Taken by the host of a virtual machine."""

    def busy_since(self, before: Cores, core: int) -> float:
        """The share of a core that was in use."""
        return (self.busy[core] - before.busy[core]) / (self.at - before.at)

    def stolen_since(self, before: Cores) -> float:
        """The largest share that was stolen of any core."""
        return max(self.stolen[core] - before.stolen[core] for core in self.stolen) / (self.at - before.at)


def cores() -> Cores:
    """Read /proc/stat (man 5 proc_stat)."""
    busy, stolen = {}, {}
    with open("/proc/stat") as table:
        for name, *fields in map(str.split, table):
            if name.startswith("cpu") and name != "cpu":
                user, nice, system, _, _, irq, soft, steal, *_ = (int(field) / TICKS for field in fields)
                busy[int(name[3:])] = user + nice + system + irq + soft
                stolen[int(name[3:])] = steal
    return Cores(time.monotonic(), busy, stolen)
