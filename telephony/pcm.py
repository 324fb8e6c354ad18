"""16-bit little-endian mono PCM as bytes: lengths and levels."""

from __future__ import annotations

import math

from telephony.g711 import audioop

__all__ = ["SAMPLE_BYTES", "bytes_of", "level_dbfs", "level_of", "rms", "silence"]

SAMPLE_BYTES = 2
FULL_SCALE = 32768.0
FLOOR_DBFS = -96.0
"""What silence is said to be: under the smallest level that 16 bits can hold."""


def bytes_of(ms: float, rate_hz: int) -> int:
    """Return the bytes of so many ms, in whole samples."""
    return int(ms * rate_hz / 1000) * SAMPLE_BYTES


def silence(ms: float, rate_hz: int) -> bytes:
    """Return so many ms of silence."""
    return bytes(bytes_of(ms, rate_hz))


def rms(pcm: bytes) -> int:
    """Return the RMS level, 0 to 32768; 0 for nothing."""
    return audioop.rms(pcm, SAMPLE_BYTES) if pcm else 0


def level_of(pcm: bytes) -> int:
    """Return the RMS level as a byte: 255 is -12 dB of full scale, and whatever is louder."""
    return min(rms(pcm) >> 5, 255)


def level_dbfs(pcm: bytes) -> float:
    """Return the RMS level in dB of full scale: 0 at most, -96 for silence or nothing."""
    level = rms(pcm)
    return max(FLOOR_DBFS, 20 * math.log10(level / FULL_SCALE)) if level else FLOOR_DBFS
