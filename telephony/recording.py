"""The stereo recording of a call: what was really received on the left, what was really sent on the right.

The clock thread only appends; whoever drains it (off the event loop: it writes a file) moves the audio to disk. The
file is a valid WAV after every drain, so that a call's recording outlives the process.
"""

from __future__ import annotations

import threading
import wave
from collections import deque
from pathlib import Path

import numpy as np

__all__ = ["StereoRecorder"]

LIMIT_FRAMES = 3000
"""A minute at 20 ms: longer than any drain takes. Beyond it the oldest frames are lost, and counted."""
SLACK_FRAMES = 10
"""How far one direction may be behind the other (200 ms) before it is filled up with silence."""


class StereoRecorder:
    """Records one call. `received` and `sent` are a bridge's tap; frames are 16-bit mono PCM at `rate_hz`."""

    def __init__(self, path: Path, rate_hz: int) -> None:
        """Nothing is written before the first drain."""
        self.path = path
        self.lost_frames = 0
        self._rate_hz = rate_hz
        self._left: deque[bytes] = deque(maxlen=LIMIT_FRAMES)
        self._right: deque[bytes] = deque(maxlen=LIMIT_FRAMES)
        self._file: wave.Wave_write | None = None
        self._lock = threading.Lock()
        self._closed = False

    # --- the clock thread ---------------------------------------------------------------------------------------------

    def received(self, frame: bytes) -> None:
        """Keep a frame of the caller's."""
        self._append(self._left, frame)

    def sent(self, frame: bytes) -> None:
        """Keep a frame of the agent's."""
        self._append(self._right, frame)

    def _append(self, side: deque[bytes], frame: bytes) -> None:
        if len(side) == LIMIT_FRAMES:
            self.lost_frames += 1
        side.append(frame)

    # --- whoever writes -----------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Write what has gathered. Raises OSError when the file can't be written."""
        with self._lock:
            if not self._closed:
                self._drain(SLACK_FRAMES)

    def close(self) -> None:
        """Write the rest and close the file; later drains do nothing."""
        with self._lock:
            if self._closed:
                return
            self._drain(0)
            self._closed = True
            if self._file is not None:
                self._file.close()

    def _drain(self, slack: int) -> None:
        both = min(len(self._left), len(self._right))
        count = max(both, max(len(self._left), len(self._right)) - slack)
        left, right = self._take(self._left, count), self._take(self._right, count)
        if not left and not right:
            return
        length = max(len(left), len(right))
        stereo = np.zeros((length // 2, 2), dtype="<i2")
        stereo[: len(left) // 2, 0] = np.frombuffer(left, dtype="<i2")
        stereo[: len(right) // 2, 1] = np.frombuffer(right, dtype="<i2")
        self._open().writeframes(stereo.tobytes())  # which brings the header's lengths up to date

    def _open(self) -> wave.Wave_write:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = wave.open(str(self.path), "wb")
            self._file.setnchannels(2)
            self._file.setsampwidth(2)
            self._file.setframerate(self._rate_hz)
        return self._file

    @staticmethod
    def _take(side: deque[bytes], count: int) -> bytes:
        return b"".join(side.popleft() for _ in range(min(count, len(side))))
