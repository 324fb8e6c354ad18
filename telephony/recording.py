"""The stereo recording of a call: what was really received on the left, what was really sent on the right.

The bridge keeps both directions (`Bridge.record`); whoever drains (off the event loop: it writes a file) moves them to
disk. The file is a valid WAV after every drain, so that a call's recording outlives the process.
"""

from __future__ import annotations

import threading
import wave
from pathlib import Path
from typing import BinaryIO

from telephony.bridge import Bridge

__all__ = ["StereoRecorder"]

LIMIT_MS = 60_000
"""Longer than any drain takes. Beyond it the oldest audio is lost, counted, and left as silence."""


class StereoRecorder:
    """Records one call, from `begin` on."""

    def __init__(self, path: Path, bridge: Bridge) -> None:
        """Nothing is written before the first drain that has something to write."""
        self.path = path
        self.lost_ms = 0
        """Audio that nobody drained in time, or that could not be written."""
        self._bridge = bridge
        self._bytes_per_ms = bridge.rate_hz * 4 // 1000
        self._file: BinaryIO | None = None
        self._wav: wave.Wave_write | None = None
        self._unwritten_ms = 0
        """Of the lost, those that could not be written."""
        self._silent_ms = 0
        """Of the lost, those that the file has as silence."""
        self._lock = threading.Lock()
        """Held by whoever writes; the clock thread never asks for it."""
        self._closed = False

    def begin(self) -> None:
        """Record from now on."""
        self._bridge.record(LIMIT_MS)

    def mute(self, muted: bool) -> None:
        """Record silence of the same length, until told otherwise."""
        self._bridge.mute_record(muted)

    def drain(self) -> None:
        """Write what has gathered. Raises OSError when that fails; what was to be written counts as lost."""
        with self._lock:
            if not self._closed:
                self._write(last=False)

    def close(self) -> None:
        """Write the rest and close the file; later drains do nothing. Raises OSError as `drain` does."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                self._write(last=True)
            finally:
                if self._wav is not None and self._file is not None:
                    self._wav.close()
                    self._file.close()

    def _write(self, *, last: bool) -> None:
        samples, lost_ms = self._bridge.take_record(last=last)
        self.lost_ms = lost_ms + self._unwritten_ms
        if not samples:
            return
        missing_ms = self.lost_ms - self._silent_ms
        try:
            wav, file = self._files()
            wav.writeframes(bytes(missing_ms * self._bytes_per_ms) + samples)  # and the header's lengths
            file.flush()
        except OSError:
            self._unwritten_ms += len(samples) // self._bytes_per_ms
            self.lost_ms = lost_ms + self._unwritten_ms
            raise
        self._silent_ms += missing_ms

    def _files(self) -> tuple[wave.Wave_write, BinaryIO]:
        if self._wav is None or self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("wb")
            self._wav = wave.open(self._file, "wb")
            self._wav.setnchannels(2)
            self._wav.setsampwidth(2)
            self._wav.setframerate(self._bridge.rate_hz)
        return self._wav, self._file
