"""Audio on this server's wire: G.711 and 24 kHz PCM, levels, and whole-utterance resampling. Pure.

All PCM is 16-bit little-endian mono. Nothing here streams: an utterance is converted as a whole, off the loop.
"""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from typing import Any

import numpy as np

with warnings.catch_warnings():  # in the standard library it is deprecated; from 3.13 on audioop-lts carries it
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

__all__ = ["bytes_per_ms", "decode", "encode", "level_dbfs", "rate_of", "resample"]

_RATES = {"audio/pcm": 24000, "audio/pcmu": 8000, "audio/pcma": 8000}
SILENT_DBFS = -100.0
HALF_TAPS = 16
"""Zero crossings of the sinc on either side."""
CUTOFF = 0.93
BETA = 8.0
BLOCK = 32768
"""Samples made at one time: 8 MB of work space at most."""


def rate_of(format_type: str) -> int:
    """The sample rate (Hz) of `audio/pcm`, `audio/pcmu` or `audio/pcma`."""
    return _RATES[format_type]


def bytes_per_ms(format_type: str) -> int:
    """How many bytes on the wire are one millisecond."""
    return 48 if format_type == "audio/pcm" else 8


def decode(wire: bytes, format_type: str) -> bytes:
    """PCM at `rate_of(format_type)` from bytes of the wire."""
    if format_type == "audio/pcmu":
        return audioop.ulaw2lin(wire, 2)
    if format_type == "audio/pcma":
        return audioop.alaw2lin(wire, 2)
    return wire


def encode(pcm: bytes, rate_hz: int, format_type: str) -> bytes:
    """Bytes for the wire from PCM at `rate_hz`."""
    pcm = resample(pcm, rate_hz, rate_of(format_type))
    if format_type == "audio/pcmu":
        return audioop.lin2ulaw(pcm, 2)
    if format_type == "audio/pcma":
        return audioop.lin2alaw(pcm, 2)
    return pcm


def level_dbfs(pcm: bytes) -> float:
    """The RMS level; -100 for silence."""
    rms = audioop.rms(pcm, 2)
    return 20 * math.log10(rms / 32768) if rms else SILENT_DBFS


def resample(pcm: bytes, from_hz: int, to_hz: int) -> bytes:
    """A whole utterance at another rate, through a polyphase windowed sinc.

    Written with numpy alone: to import scipy.signal would take most of this program's start.
    """
    if from_hz == to_hz or not pcm:
        return pcm
    common = math.gcd(from_hz, to_hz)
    up, down = to_hz // common, from_hz // common
    phases = _phases(up, down)
    taps = phases.shape[1]
    samples = np.frombuffer(pcm, "<i2").astype(np.float32)
    padded = np.pad(samples, taps)
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps)
    count = -(-samples.size * up // down)
    pieces = []
    for begin in range(0, count, BLOCK):
        at = np.arange(begin, min(begin + BLOCK, count)) * down
        pieces.append(np.einsum("ij,ij->i", windows[at // up + taps // 2 + 1], phases[at % up]))
    rounded: bytes = np.clip(np.rint(np.concatenate(pieces)), -32768, 32767).astype("<i2").tobytes()
    return rounded


@lru_cache(maxsize=16)
def _phases(up: int, down: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The filter's taps for each of `up` positions between two samples, cut off at the lower of the two rates."""
    cutoff = min(1.0, up / down) * CUTOFF
    half = math.ceil(HALF_TAPS / cutoff)
    # tap t of phase p weighs the sample t - half + 1 places from the last one at or before the output
    offset = np.arange(-half + 1, half + 1)[None, :] - (np.arange(up) / up)[:, None]
    window = np.i0(BETA * np.sqrt(np.clip(1 - (offset / half) ** 2, 0, 1))) / np.i0(BETA)
    taps = cutoff * np.sinc(cutoff * offset) * window
    levelled: np.ndarray[Any, np.dtype[np.float32]] = (taps / taps.sum(axis=1, keepdims=True)).astype(np.float32)
    return levelled
