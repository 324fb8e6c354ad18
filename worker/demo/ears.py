"""Hears when the other side of a call speaks, and cuts what it says into utterances. Pure; fed with 20 ms frames."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from telephony.pcm import level_dbfs

__all__ = ["Listener", "Started", "Stopped"]

FRAME_MS = 20
SPEECH_DBFS = -36.0
"""Over the soft tone (peak -30 dBFS, so -36 dBFS and less in any frame), well under speech at -20 dBFS."""
START_FRAMES = 3
"""So many loud frames in a row (60 ms) are speech."""
STOP_FRAMES = 30
"""600 ms of quiet end an utterance: longer than the pause at a comma, shorter than a turn's."""
BEFORE_FRAMES = 15
"""So much is kept from before the first loud frame: the soft beginning of a word."""


@dataclass(frozen=True, slots=True)
class Started:
    """Speech has begun."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """Speech has ended; the utterance is 16-bit mono PCM at the rate of the frames."""

    pcm: bytes


@dataclass(slots=True)
class Listener:
    """Turns frames of 20 ms into edges and utterances."""

    _before: deque[bytes] = field(default_factory=lambda: deque(maxlen=BEFORE_FRAMES))
    _utterance: list[bytes] = field(default_factory=list)
    _loud: int = 0
    _quiet: int = 0

    def hear(self, frame: bytes) -> Started | Stopped | None:
        """Take the next frame; returns the edge, if it made one."""
        loud = level_dbfs(frame) > SPEECH_DBFS
        if self._utterance:
            return self._speaking(frame, loud)
        self._before.append(frame)
        self._loud = self._loud + 1 if loud else 0
        if self._loud < START_FRAMES:
            return None
        self._utterance = list(self._before)
        self._before.clear()
        self._loud = self._quiet = 0
        return Started()

    def _speaking(self, frame: bytes, loud: bool) -> Stopped | None:
        self._utterance.append(frame)
        self._quiet = 0 if loud else self._quiet + 1
        if self._quiet < STOP_FRAMES:
            return None
        utterance, self._utterance = b"".join(self._utterance), []
        return Stopped(utterance)
