"""Calls full of audio through the front: what callers hear, how much on time, and what each part uses for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rig.child import cpu_s
from rig.figures import quantile
from rig.load_figures import WITHIN_MS, beat, direction, mute, numbered
from rig.load_server import LoadServer
from rig.rtp_load import RtpLoad
from rig.sipp import Sipp
from rig.tones import judge

SCENE = Path(__file__).parents[2] / "sipp" / "through.xml"
KEYS = {"payload": "0", "rtpmap": "PCMU/8000"}
WARM_UP_S = 6.0
GIVE_UP_S = 15.0
PER_SECOND = 10.0


class FrontLoad:
    """A realtime server with endless audio, and callers: both on one core."""

    def __init__(self, folder: Path, target: str, core: int) -> None:
        self.folder, self.target, self.core = folder, target, core
        self.server, self.rtp = LoadServer(core), RtpLoad(core)
        self.sipps: list[Sipp] = []

    def reach(self, calls: int) -> int:
        """Dial until so many are up, with sound; returns how many are when no more come."""
        if (more := calls - self._up()) > 0:
            options = {"calls": more, "per_second": PER_SECOND, "core": self.core}
            self.sipps.append(Sipp(self.target, self.rtp.port, self.folder, scene=SCENE, keys=KEYS, **options))  # type: ignore[arg-type]
        give_up = time.monotonic() + max(0, more) / PER_SECOND + GIVE_UP_S
        while self._up() < calls and time.monotonic() < give_up:
            time.sleep(0.2)
        return self._up()

    def _up(self) -> int:
        return min(self.rtp.streams()[0], self.server.connections()[0])

    def measure(self, seconds: float, parts: dict[str, Callable[[], Sequence[int]]]) -> str:
        """Listen for so long; a line of figures. parts: processes whose CPU time is told, by name."""
        time.sleep(WARM_UP_S)
        before = {name: sum(cpu_s(pid) for pid in pids()) for name, pids in parts.items()}
        self.server.begin()
        self.rtp.begin()
        began = time.monotonic()
        time.sleep(seconds)
        span = time.monotonic() - began
        used = {name: 100 * (sum(cpu_s(pid) for pid in pids()) - before[name]) / span for name, pids in parts.items()}
        appended, heard = self.server.end(), self.rtp.end()
        order, number = numbered(heard.stream, heard.sequence)
        off = beat(heard.at[order] / 1e6, heard.stream[order], number)
        down = direction(judge(heard.stream[order], number, heard.measured[order]))
        up = direction(judge(appended.stream, appended.number, appended.measured))
        calls = max(1, appended.connections)
        cost = ", ".join(f"{name} {share:.1f} ({share / calls:.3f} a call)" for name, share in used.items())
        late = quantile(heard.send_late_ms, 0.99) if len(heard.send_late_ms) else float("nan")
        words = [
            f"within {WITHIN_MS:g} ms {100 * float(np.mean(off <= WITHIN_MS)):.2f} %, p99 {quantile(off, 0.99):.2f} ms",
            f"heard by callers {down.words()}, mute {mute(heard.stream, heard.measured)}",
            f"by the provider {up.words()}",
            f"% of a core: {cost}",
            f"the load sent late p99 {late:.2f} ms",
        ]
        return f"{appended.connections} calls: {'; '.join(words)}"

    def stop(self) -> None:
        for one in self.sipps:
            one.stop()
        self.rtp.stop()
        self.server.stop()
