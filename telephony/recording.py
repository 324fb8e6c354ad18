"""The stereo recording of a call: what was really received on the left, what was really sent on the right.

The clock thread only appends; whoever drains (off the event loop: it writes a file) moves the audio to disk. The file
is a valid WAV after every drain, so that a call's recording outlives the process.
"""

from __future__ import annotations

import threading
import wave
from collections import deque
from pathlib import Path
from typing import BinaryIO

import numpy as np

__all__ = ["StereoRecorder"]

LIMIT_TICKS = 3000
"""A minute at 20 ms: longer than any drain takes. Beyond it the oldest audio is lost, counted, and left as silence."""


class _Tick:
    """What went to the caller and what came from them in one round of the clock."""

    __slots__ = ("received", "sent")

    def __init__(self, received: bytes, sent: bytes) -> None:
        self.received = received
        self.sent = sent


class StereoRecorder:
    """Records one call. `received` and `sent` are a bridge's tap; frames are 16-bit mono PCM at `rate_hz`.

    The conference asks a port for its frame first and hands it the caller's after, so `sent` opens a tick and
    `received` completes it. A side that falls silent (a call on hold) is silence in the file, and both sides stay in
    step however often that happens.
    """

    def __init__(self, path: Path, rate_hz: int) -> None:
        """Nothing is written before the first drain that has something to write."""
        self.path = path
        self.lost_ticks = 0
        """Frames' worth of audio that nobody drained in time, or that could not be written."""
        self._rate_hz = rate_hz
        self._ticks: deque[_Tick] = deque()
        self._open: _Tick | None = None
        self._ticks_lock = threading.Lock()
        """Held for an append or a swap."""
        self._file: BinaryIO | None = None
        self._wav: wave.Wave_write | None = None
        self._silent_ticks = 0
        """Of the lost, those that the file has as silence."""
        self._file_lock = threading.Lock()
        """Held by whoever writes; the clock thread never asks for it."""
        self._closed = False

    # --- the clock thread ---------------------------------------------------------------------------------------------

    def sent(self, frame: bytes) -> None:
        """Keep a frame of the agent's."""
        with self._ticks_lock:
            self._open = self._append(b"", frame)

    def received(self, frame: bytes) -> None:
        """Keep a frame of the caller's."""
        with self._ticks_lock:
            if self._open is not None:
                self._open.received = frame
                self._open = None
            else:
                self._append(frame, b"")

    def _append(self, received: bytes, sent: bytes) -> _Tick:
        tick = _Tick(received, sent)
        if len(self._ticks) >= LIMIT_TICKS:
            self._ticks.popleft()
            self.lost_ticks += 1
        self._ticks.append(tick)
        return tick

    # --- whoever writes -----------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Write what has gathered. Raises OSError when that fails; what was to be written counts as lost."""
        with self._file_lock:
            if not self._closed:
                self._write(final=False)

    def close(self) -> None:
        """Write the rest and close the file; later drains do nothing. Raises OSError as `drain` does."""
        with self._file_lock:
            if self._closed:
                return
            self._closed = True
            try:
                self._write(final=True)
            finally:
                if self._wav is not None and self._file is not None:
                    self._wav.close()
                    self._file.close()

    def _write(self, *, final: bool) -> None:
        with self._ticks_lock:
            ticks, self._ticks = self._ticks, deque()
            lost = self.lost_ticks - self._silent_ticks
            if self._open is not None and not final:
                ticks.pop()  # it is the last: the caller's half of it may come yet
                self._ticks.append(self._open)
        if not ticks:
            return
        sizes = [max(len(tick.received), len(tick.sent)) for tick in ticks]
        left = b"".join(tick.received.ljust(size, b"\0") for tick, size in zip(ticks, sizes, strict=True))
        right = b"".join(tick.sent.ljust(size, b"\0") for tick, size in zip(ticks, sizes, strict=True))
        missing = lost * sizes[0] // 2
        stereo = np.zeros((missing + len(left) // 2, 2), dtype="<i2")
        stereo[missing:, 0] = np.frombuffer(left, dtype="<i2")
        stereo[missing:, 1] = np.frombuffer(right, dtype="<i2")
        try:
            wav, file = self._files()
            wav.writeframes(stereo.tobytes())  # which brings the header's lengths up to date
            file.flush()
        except OSError:
            with self._ticks_lock:
                self.lost_ticks += len(ticks)
            raise
        self._silent_ticks += lost

    def _files(self) -> tuple[wave.Wave_write, BinaryIO]:
        if self._wav is None or self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("wb")
            self._wav = wave.open(self._file, "wb")
            self._wav.setnchannels(2)
            self._wav.setsampwidth(2)
            self._wav.setframerate(self._rate_hz)
        return self._wav, self._file
