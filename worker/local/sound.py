"""Audio on this server's wire: G.711 and 24 kHz PCM, levels, and whole-utterance resampling. Pure.

All PCM is 16-bit little-endian mono. Nothing here streams: an utterance is converted as a whole, off the loop.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
from scipy.signal import resample_poly

with warnings.catch_warnings():  # in the standard library it is deprecated; from 3.13 on audioop-lts carries it
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

__all__ = ["bytes_per_ms", "decode", "encode", "level_dbfs", "rate_of", "resample"]

_RATES = {"audio/pcm": 24000, "audio/pcmu": 8000, "audio/pcma": 8000}
SILENT_DBFS = -100.0


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
    """A whole utterance at another rate."""
    if from_hz == to_hz or not pcm:
        return pcm
    common = math.gcd(from_hz, to_hz)
    samples = np.frombuffer(pcm, "<i2").astype(np.float32)
    out = resample_poly(samples, to_hz // common, from_hz // common)
    rounded: bytes = np.clip(np.rint(out), -32768, 32767).astype("<i2").tobytes()
    return rounded
