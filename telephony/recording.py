"""The stereo recording of a call: what was really received on the left, what was really sent on the right.

The bridge keeps both directions (`Bridge.record`); whoever drains (off the event loop: it writes a file) moves them to
disk. The file is valid after every drain, so that a call's recording outlives the process.
"""

from __future__ import annotations

import threading
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from telephony.bridge import Bridge

__all__ = ["BEEP_HZ", "BEEP_MS", "BEEP_PEAK", "AudioFile", "MakeFile", "StereoRecorder", "WavFile"]

BEEP_HZ: Final = 1400
BEEP_MS: Final = 200
BEEP_PEAK: Final = 2500
"""What tells of a recording (`beeps` makes it on the line); of 32767, -22 dBFS: heard beside speech, and under it."""
LIMIT_MS = 60_000
"""Longer than any drain takes. Beyond it the oldest audio is lost, counted, and left as silence."""


class AudioFile(Protocol):
    """Where a recording goes: what is written of it can be read whatever becomes of the process."""

    def write(self, samples: bytes) -> None:
        """Add 16-bit stereo samples. Raises OSError."""

    def close(self) -> None:
        """No more comes. Raises OSError."""


MakeFile = Callable[[Path, int], AudioFile]
"""Creates the file of a recording at so many Hz. Raises OSError."""


class WavFile:
    """A WAV file, whose header has the right lengths after every write."""

    def __init__(self, path: Path, rate_hz: int) -> None:
        """Create it. Raises OSError."""
        self._file = path.open("wb")
        self._wav = wave.open(self._file, "wb")
        self._wav.setnchannels(2)
        self._wav.setsampwidth(2)
        self._wav.setframerate(rate_hz)

    def write(self, samples: bytes) -> None:
        """Add 16-bit stereo samples. Raises OSError."""
        self._wav.writeframes(samples)
        self._file.flush()

    def close(self) -> None:
        """Close it. Raises OSError."""
        self._wav.close()
        self._file.close()


class StereoRecorder:
    """Records one call, from `begin` on."""

    def __init__(self, path: Path, bridge: Bridge, make_file: MakeFile = WavFile) -> None:
        """Nothing is written before the first drain that has something to write."""
        self.path = path
        self.lost_ms = 0
        """Audio that nobody drained in time, or that could not be written."""
        self._bridge = bridge
        self._bytes_per_ms = bridge.rate_hz * 4 // 1000
        self._make_file = make_file
        self._file: AudioFile | None = None
        self._unwritten_ms = 0
        """Of the lost, those that could not be written."""
        self._silent_ms = 0
        """Of the lost, those that the file has as silence."""
        self._lock = threading.Lock()
        """Held by whoever writes; the clock thread never asks for it."""
        self._closed = False
        self._beep_ms = 0
        self._at = 0
        """How many samples of each side are in the file."""

    def begin(self) -> None:
        """Record from now on."""
        self._bridge.record(LIMIT_MS)

    def mute(self, muted: bool) -> None:
        """Record silence of the same length, until told otherwise."""
        self._bridge.mute_record(muted)

    def beep(self, seconds: float) -> None:
        """Put the beeps that the caller hears at this interval (s) into the agent's side, too; 0: no more.

        The line has its own clock for them: in the file they begin with the recording.
        """
        self._beep_ms = round(seconds * 1000)

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
                if self._file is not None:
                    self._file.close()

    def _write(self, *, last: bool) -> None:
        samples, lost_ms = self._bridge.take_record(last=last)
        self.lost_ms = lost_ms + self._unwritten_ms
        if not samples:
            return
        missing_ms = self.lost_ms - self._silent_ms
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._make_file(self.path, self._bridge.rate_hz)
            whole = bytes(missing_ms * self._bytes_per_ms) + samples
            self._file.write(self._with_beeps(whole))
            self._at += len(whole) // 4
        except OSError:
            self._unwritten_ms += len(samples) // self._bytes_per_ms
            self.lost_ms = lost_ms + self._unwritten_ms
            raise
        self._silent_ms += missing_ms

    def _with_beeps(self, samples: bytes) -> bytes:
        """Mix in what of the beeps falls into these samples."""
        rate_hz, interval_ms = self._bridge.rate_hz, self._beep_ms
        if not interval_ms or not samples:
            return samples
        both = np.frombuffer(samples, dtype="<i2").reshape(-1, 2).astype(np.int32)
        at = self._at + np.arange(len(both))
        sounds = at % (rate_hz * interval_ms // 1000) < rate_hz * BEEP_MS // 1000
        both[:, 1] += np.where(sounds, BEEP_PEAK * np.sin(2 * np.pi * BEEP_HZ / rate_hz * at), 0).astype(np.int32)
        return np.clip(both, -32768, 32767).astype("<i2").tobytes()
