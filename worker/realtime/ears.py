"""Hears where a caller begins and ends to speak, for a provider that does not: by energy. Pure; its clock is the audio.

A frame of 20 ms is loud when it is over `LOUD_DBFS` and well over the line's own noise. What is sent to the provider is
the speech with `PADDING_MS` before it: of a start several frames have passed when it is noticed, and the soft beginning
of a word before them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

__all__ = ["END_MS", "Ears", "Edge"]

FRAME_MS: Final = 20
LOUD_DBFS: Final = -42.0
"""Speech on the telephone is 15 to 25 dB over this, a line's noise 10 to 20 under it."""
OVER_NOISE_DB: Final = 10.0
SOFTER_DB: Final = 5.0
"""A frame may be so much softer and still go on with speech that has begun."""
RISE_DB: Final = 0.05
"""The noise is taken for louder by so much a frame (2.5 dB a second), for softer at once: speech does not lift it."""
LOUD_FRAMES, WINDOW = 3, 4
"""So many loud frames of so many begin speech: a click is shorter."""
END_MS: Final = 500
"""Silence that ends a turn."""
PADDING_MS: Final = 300
LONGEST_MS: Final = 60_000
"""Noise that does not end is no speech: then the turn is ended, and the noise is what the line is like."""
SILENT_DBFS: Final = -96.0


@dataclass(frozen=True, slots=True)
class Edge:
    """Speech began or ended. at_ms: in ms of all the audio that was heard."""

    started: bool
    at_ms: int


class Ears:
    """One caller's line: 16-bit PCM at `rate_hz` in pieces of any length in whole samples."""

    def __init__(self, rate_hz: int, *, end_ms: int = END_MS) -> None:
        """Begin in silence. end_ms: how long a silence ends a turn."""
        self.speaking = False
        self._end_ms = max(end_ms, FRAME_MS)
        self._frame_bytes = rate_hz * FRAME_MS // 1000 * 2
        self._before_bytes = (PADDING_MS // FRAME_MS + WINDOW) * self._frame_bytes
        """What is sent of the time before a start is noticed."""
        self._rest = b""
        self._kept = bytearray()
        self._ms = 0
        self._began_ms = 0
        self._recent: deque[bool] = deque(maxlen=WINDOW)
        self._noise = -70.0
        self._quiet_ms = 0

    def hear(self, pcm: bytes) -> list[Edge | bytes]:
        """Take the next piece; return what is to be sent and told, in order: in silence nothing."""
        data = self._rest + pcm
        whole = len(data) - len(data) % self._frame_bytes
        self._rest = data[whole:]
        found: list[Edge | bytes] = []
        began = 0
        for at, level in zip(range(0, whole, self._frame_bytes), self._levels(data[:whole]), strict=True):
            edge = self._frame(level)
            if edge is None:
                continue
            end = at + self._frame_bytes
            if edge.started:
                found += [edge, (bytes(self._kept) + data[began:end])[-self._before_bytes :]]
                self._kept.clear()
            else:
                found += [data[began:end], edge]
            began = end
        left = data[began:whole]
        if self.speaking:
            return [*found, left] if left else found
        self._kept += left
        del self._kept[: -self._before_bytes]
        return found

    def stop(self) -> Edge | None:
        """End speech of which no more comes: the line fell silent without a frame, or the session is over."""
        return self._stopped() if self.speaking else None

    def _levels(self, pcm: bytes) -> list[float]:
        """The RMS level (dBFS) of each frame."""
        frames = np.frombuffer(pcm, "<i2").astype(np.float32).reshape(-1, self._frame_bytes // 2)
        power = np.einsum("ij,ij->i", frames, frames) / (self._frame_bytes // 2)
        levels: list[float] = (10 * np.log10(np.maximum(power, 1e-3)) - 90.31).tolist()  # 20 log10(32768)
        return levels

    def _frame(self, level: float) -> Edge | None:
        limit = max(LOUD_DBFS, self._noise + OVER_NOISE_DB)
        loud = level > (limit - SOFTER_DB if self.speaking else limit)
        self._noise = min(max(level, SILENT_DBFS), self._noise + RISE_DB)
        self._ms += FRAME_MS
        if self.speaking:
            self._quiet_ms = 0 if loud else self._quiet_ms + FRAME_MS
            if self._ms - self._began_ms > LONGEST_MS:
                self._noise = level
                return self._stopped()
            return self._stopped() if self._quiet_ms >= self._end_ms else None
        self._recent.append(loud)
        if sum(self._recent) < LOUD_FRAMES:
            return None
        self.speaking, self._quiet_ms = True, 0
        self._began_ms = self._ms - FRAME_MS * (len(self._recent) - self._recent.index(True))
        self._recent.clear()
        return Edge(True, self._began_ms)

    def _stopped(self) -> Edge:
        self.speaking = False
        self._recent.clear()
        return Edge(False, self._ms - self._quiet_ms)
