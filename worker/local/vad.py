"""Hears where speech starts and stops, by energy. Pure; its clock is the audio itself.

A frame of 20 ms is loud when its level is over the threshold and well over the noise floor. Three loud frames of four
start speech: a click is shorter. `silence_duration_ms` without a loud frame stops it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from worker.local.config import VadSettings
from worker.local.sound import level_dbfs

__all__ = ["Edge", "Vad"]

FRAME_MS = 20
WINDOW = 4
NEEDED = 3
HYSTERESIS_DB = 6.0
"""A frame may be this much softer and still go on with speech that has begun."""
OVER_FLOOR_DB = 12.0
FLOOR_RISE_DB_PER_FRAME = 0.05
"""The noise floor falls at once and rises by 2.5 dB a second, so that speech does not lift it."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Speech started or stopped. at_ms: on the audio's clock; for a start with the prefix padding taken off."""

    started: bool
    at_ms: int


class Vad:
    """Voice activity of one stream of PCM at one rate."""

    def __init__(self, rate_hz: int, settings: VadSettings, *, start_ms: int = 0) -> None:
        self.settings = settings
        self.rate_hz = rate_hz
        self.speaking = False
        self._frame_bytes = rate_hz * FRAME_MS // 1000 * 2
        self._rest = b""
        self._ms = start_ms
        self._begin_ms = start_ms
        self._recent: deque[bool] = deque(maxlen=WINDOW)
        self._floor = -70.0
        self._quiet_ms = 0

    def feed(self, pcm: bytes) -> list[Edge]:
        """Take the next audio, of any length; returns the edges in it, in order."""
        edges = []
        data = self._rest + pcm
        whole = len(data) - len(data) % self._frame_bytes
        for at in range(0, whole, self._frame_bytes):
            edge = self._frame(data[at : at + self._frame_bytes])
            if edge is not None:
                edges.append(edge)
        self._rest = data[whole:]
        return edges

    def _frame(self, frame: bytes) -> Edge | None:
        level = level_dbfs(frame)
        limit = max(self.threshold_dbfs, self._floor + OVER_FLOOR_DB)
        loud = level > (limit - HYSTERESIS_DB if self.speaking else limit)
        self._floor = min(max(level, -90.0), self._floor + FLOOR_RISE_DB_PER_FRAME)
        self._ms += FRAME_MS
        if self.speaking:
            return self._while_speaking(loud)
        self._recent.append(loud)
        if sum(self._recent) < NEEDED:
            return None
        first = self._ms - FRAME_MS * (len(self._recent) - self._recent.index(True))
        self.speaking, self._quiet_ms = True, 0
        self._recent.clear()
        return Edge(True, max(self._begin_ms, first - self.settings.prefix_padding_ms))

    def _while_speaking(self, loud: bool) -> Edge | None:
        self._quiet_ms = 0 if loud else self._quiet_ms + FRAME_MS
        if self._quiet_ms < max(self.settings.silence_duration_ms, FRAME_MS):
            return None
        return self.stop()

    def stop(self) -> Edge:
        """End speech that goes on for too long, as if it had stopped here."""
        self.speaking = False
        self._begin_ms = self._ms
        return Edge(False, self._ms)

    @property
    def threshold_dbfs(self) -> float:
        """The service's threshold of 0 to 1 as a level: 0.5 is -40 dBFS, some 20 dB under speech on the telephone."""
        return -60.0 + 40.0 * self.settings.threshold
