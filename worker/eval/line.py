"""What becomes of the caller's voice on a bad line: white noise, and frames that are lost. Pure.

A lost frame is sent as silence: what the other side hears where a packet is lost and nothing is put in its place. No
packet is missing on the network: that is `packet_loss` (`SipSettings.drop_percent`), which no seed repeats.
"""

from __future__ import annotations

import random

import numpy as np

from telephony.pcm import level_dbfs

__all__ = ["Line", "speech_level"]

FULL_SCALE = 32768.0
SPEECH_DBFS = -40.0
"""A frame under this is a pause between words."""


def speech_level(pcm: bytes, frame_bytes: int) -> float:
    """Return the mean level (RMS, 0 to 1) of the frames with speech in them; 0 where there are none."""
    frames = [pcm[at : at + frame_bytes] for at in range(0, len(pcm) - frame_bytes + 1, frame_bytes)]
    loud = [10 ** (level_dbfs(frame) / 10) for frame in frames if level_dbfs(frame) > SPEECH_DBFS]
    return float(np.sqrt(np.mean(loud))) if loud else 0.0


class Line:
    """One caller's. Takes one frame of 16-bit PCM after the other, in the call's time."""

    def __init__(self, seed: int, *, speech: float, noise_db: float | None = None, loss_percent: float = 0.0) -> None:
        """speech: the level (RMS, 0 to 1) that `noise_db` is under: the ratio of signal to noise."""
        self._loss = loss_percent / 100
        self._lost = random.Random(f"{seed}/loss")
        self._noise = np.random.default_rng(seed)
        self._rms = 0.0 if noise_db is None else speech * 10 ** (-noise_db / 20) * FULL_SCALE
        self.frames = self.lost = 0

    def carry(self, frame: bytes) -> bytes:
        """Return what is sent for this frame."""
        self.frames += 1
        if self._rms:
            samples = np.frombuffer(frame, "<i2") + self._noise.normal(0.0, self._rms, len(frame) // 2)
            frame = np.clip(samples, -FULL_SCALE, FULL_SCALE - 1).astype("<i2").tobytes()
        if self._lost.random() < self._loss:
            self.lost += 1
            return bytes(len(frame))
        return frame
