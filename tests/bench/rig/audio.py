"""Audio of the benches: noise whose place can be found again on the wire, mu-law by table, pulses."""

from __future__ import annotations

import functools

import numpy as np
from scipy import signal

PHONE_HZ, SESSION_HZ = 8000, 24000
FRAME = 160
"""Samples (and mu-law bytes) of one RTP packet of 20 ms."""
SILENT = b"\xff" * FRAME
PULSE_LEVEL = 16000
ONSET_LEVEL = 4000


def _decoded(code: int) -> int:
    """One mu-law byte as a 16-bit sample (G.711)."""
    code = ~code & 0xFF
    magnitude = ((code & 0x0F) << 3) + 132 << (code >> 4 & 7)
    return 132 - magnitude if code & 0x80 else magnitude - 132


DECODE = np.array([_decoded(code) for code in range(256)], dtype=np.int16)
_STEPS = np.sort(DECODE.astype(np.int32))
_CODES = np.argsort(DECODE.astype(np.int32), kind="stable").astype(np.uint8)


def ulaw(samples: np.ndarray) -> bytes:
    """Encode 16-bit samples: the nearest step of the table."""
    at = np.searchsorted((_STEPS[1:] + _STEPS[:-1]) / 2, samples)
    return _CODES[at].tobytes()


def linear(payload: bytes) -> np.ndarray:
    """Decode mu-law bytes to int16 samples."""
    return DECODE[np.frombuffer(payload, np.uint8)]


@functools.cache
def noise(ms: int, seed: int = 1) -> np.ndarray:
    """Noise up to 3 kHz at 8 kHz, about -17 dBFS, as floats."""
    taps = signal.firwin(101, 3000, fs=PHONE_HZ)
    white = np.random.default_rng(seed).normal(0, 5000, ms * PHONE_HZ // 1000 + 100)
    return signal.lfilter(taps, 1, white)[100:]


@functools.cache
def session_noise(ms: int, seed: int = 1) -> bytes:
    """The same noise as a realtime provider sends it: 16-bit PCM at 24 kHz."""
    wide = signal.resample_poly(noise(ms, seed), SESSION_HZ // PHONE_HZ, 1)
    return np.clip(np.rint(wide), -32768, 32767).astype("<i2").tobytes()


@functools.cache
def phone_noise(ms: int, seed: int = 2) -> list[bytes]:
    """The same noise as a caller sends it: mu-law packets of 20 ms."""
    data = ulaw(np.rint(noise(ms, seed)))
    return [data[at : at + FRAME] for at in range(0, len(data), FRAME)]


@functools.cache
def pulses(period: int) -> list[bytes]:
    """A loop of packets: one of a loud square wave, the others silence."""
    square = np.tile(np.repeat([PULSE_LEVEL, -PULSE_LEVEL], 4), FRAME // 8)
    return [ulaw(square)] + [SILENT] * (period - 1)


def place_of(payload: bytes, ms: int, seed: int = 1) -> tuple[float, float]:
    """Where in `session_noise(ms, seed)` these samples end, in ms, and how sure that is (correlation, 0 to 1)."""
    heard = linear(payload).astype(float)
    said = np.concatenate([np.zeros(FRAME), noise(ms, seed), np.zeros(FRAME)])
    products = np.correlate(said, heard, "valid")
    powers = np.sqrt(np.convolve(said**2, np.ones(len(heard)), "valid") * np.sum(heard**2)) + 1e-9
    scores = products / powers
    best = int(np.argmax(scores))
    return (best - FRAME + len(heard)) * 1000 / PHONE_HZ, float(scores[best])


class Onsets:
    """Finds where pulses begin in a stream of 16-bit PCM that comes in pieces."""

    def __init__(self, rate_hz: int = SESSION_HZ, quiet_ms: int = 60) -> None:
        self._quiet = rate_hz * quiet_ms // 1000
        self._since = self._quiet

    def found(self, pcm: bytes) -> bool:
        """Whether a pulse begins in this piece."""
        loud = np.flatnonzero(np.abs(np.frombuffer(pcm, "<i2").astype(np.int32)) > ONSET_LEVEL)
        samples = len(pcm) // 2
        if not len(loud):
            self._since += samples
            return False
        begins = self._since + loud[0] >= self._quiet
        self._since = samples - 1 - int(loud[-1])
        return bool(begins)
