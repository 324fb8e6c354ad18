"""The formats of a session's audio: their names, rates and sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

AudioFormat: TypeAlias = Literal["pcm24k", "pcm16k", "pcmu", "pcma"]
"""`pcm24k`/`pcm16k`: 16-bit little-endian mono PCM; `pcmu`/`pcma`: G.711 at 8 kHz, one byte a sample."""

RATE_HZ: Final[Mapping[str, int]] = {"pcm24k": 24_000, "pcm16k": 16_000, "pcmu": 8_000, "pcma": 8_000}
"""Samples per second of each `AudioFormat`."""

SAMPLE_BYTES: Final[Mapping[str, int]] = {"pcm24k": 2, "pcm16k": 2, "pcmu": 1, "pcma": 1}
"""Bytes per sample of each `AudioFormat`."""

G711: Final = ("pcmu", "pcma")
"""The formats that a telephone speaks itself."""
