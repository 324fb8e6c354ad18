"""Sounds that the worker makes by itself, as 16-bit mono PCM: the soft tone and recorded prompts."""

from __future__ import annotations

import functools
import wave
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from telephony.resample import Resampler
from worker.errors import HostError

__all__ = ["APOLOGY", "OWN_WORDS", "load_prompt", "soft_tone"]

PROMPTS = Path(__file__).parent / "prompts"
APOLOGY = PROMPTS / "apology.wav"
"""Spoken without any provider, when none can be had."""
OWN_WORDS: Mapping[str, tuple[Path, str]] = {
    "moment": (PROMPTS / "moment.wav", "One moment, please."),
    "again": (PROMPTS / "again.wav", "I am sorry, I could not answer that. Please say it again."),
    "goodbye": (PROMPTS / "goodbye.wav", "I am sorry, we have to end this call. Goodbye."),
}
"""What is said where a provider says nothing: the recording and its words, by `turns.events.Words`."""
TONE_HZ = (440.0, 554.37)
TONE_MS = 360
TONE_PEAK = 0.03
"""Of full scale, -30 dBFS: well over a line's noise, well under speech, and under a realtime server's VAD threshold."""


@functools.cache
def soft_tone(rate_hz: int) -> bytes:
    """Return the comfort tone: two sines, swelling and fading, `TONE_MS` long."""
    count = rate_hz * TONE_MS // 1000
    t = np.arange(count) / rate_hz
    swell = np.sin(np.pi * np.arange(count) / count) ** 2
    sound = sum(np.sin(2 * np.pi * hz * t) for hz in TONE_HZ) / len(TONE_HZ)
    return np.asarray(np.rint(sound * swell * TONE_PEAK * 32767), dtype="<i2").tobytes()


@functools.cache
def load_prompt(path: Path, rate_hz: int) -> bytes:
    """Return a WAV file (16-bit PCM mono at 8, 16 or 24 kHz) at `rate_hz`.

    Raises `HostError` when it can't be read or has another format.
    """
    try:
        with wave.open(str(path), "rb") as file:
            shape = (file.getnchannels(), file.getsampwidth())
            source_hz, pcm = file.getframerate(), file.readframes(file.getnframes())
    except (OSError, wave.Error, EOFError) as error:
        raise HostError(f"{path}: can't be read as a WAV file: {error}") from None
    if shape != (1, 2) or source_hz not in (8000, 16000, 24000):
        raise HostError(f"{path}: is {shape[0]} channels of {8 * shape[1]} bits at {source_hz} Hz; make it 16-bit mono")
    return Resampler(source_hz, rate_hz).process(pcm) if source_hz != rate_hz else pcm
