"""What is heard of a caller over the agent's voice: coughs, words of listening, interruptions. 8 kHz, with noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from rig.audio import DECODE, ulaw
from rig.greetings import RATE_HZ, VOICES, speech

QUIET_S = 12
"""The line's noise alone: ears take it for louder only slowly, and a call has lasted for a while."""

Samples = np.ndarray[tuple[int], np.dtype[np.float64]]

LISTENING = {
    "en": ("mm hmm", "uh huh", "yeah", "okay", "right", "i see", "yes", "aha"),
    "de": ("mm hm", "ja", "genau", "ach so", "okay", "verstehe"),
    "fr": ("oui", "d'accord", "ah bon"),
    "es": ("sí", "claro", "vale"),
}
INTERRUPTING = {
    "en": (
        *("stop", "no", "wait", "stop, wait", "no, not that one", "hold on please", "sorry, one question"),
        *("what about the other order", "can I speak to somebody", "that is not what I asked"),
    ),
    "de": ("stopp", "nein", "Moment bitte", "das stimmt nicht", "ich habe noch eine Frage"),
    "fr": ("non", "attendez", "ce n'est pas ça"),
    "es": ("no", "espere", "tengo otra pregunta"),
}


@dataclass(frozen=True, slots=True)
class Listener:
    """One sound over the agent's voice."""

    kind: str
    """cough, listening, or interrupting."""
    text: str
    language: str
    pcm: bytes
    """From `QUIET_S` before it begins to 2.5 s after it ends."""
    began_ms: int
    lasted_ms: int


def listeners(noise_dbfs: float = -55.0) -> Iterator[Listener]:
    """All of them: 24 coughs, and each text of the English ones with three voices, of the others with one."""
    rng = np.random.default_rng(5)
    for number in range(24):
        yield _listener("cough", f"cough {number + 1}", "en", _cough(rng, number), noise_dbfs, rng)
    for kind, texts in (("listening", LISTENING), ("interrupting", INTERRUPTING)):
        for language, some in texts.items():
            for text in some:
                for voice, wpm, pitch in VOICES[1:] if language == "en" else ((language, 165, 50),):
                    said = _trimmed(speech(text, voice, wpm, pitch))
                    yield _listener(kind, text, language, said, noise_dbfs, rng)


def _cough(rng: np.random.Generator, number: int) -> Samples:
    """A burst of air through a throat's resonance; every third has a voice at its end, every fourth is a double one."""
    one = _burst(rng, int(rng.uniform(120, 380)))
    if number % 3 == 2:
        ms = int(rng.uniform(60, 140))
        at = np.arange(ms * RATE_HZ // 1000) / RATE_HZ
        hum = sum(np.sin(2 * np.pi * 140 * k * at) / k for k in range(1, 8))
        one = np.concatenate([one, 3000 * hum * np.exp(-at * 12)])
    if number % 4 == 3:
        gap = np.zeros(int(rng.uniform(0.1, 0.45) * RATE_HZ))
        one = np.concatenate([one, gap, _burst(rng, int(rng.uniform(120, 300)))])
    return one


def _burst(rng: np.random.Generator, ms: int) -> Samples:
    count = ms * RATE_HZ // 1000
    air = rng.normal(0, 1, count + 64)
    at = np.arange(64) / RATE_HZ
    throat = np.exp(-at * 900) * np.cos(2 * np.pi * rng.uniform(500, 1500) * at)
    found = np.convolve(air, throat)[:count] * np.exp(-np.arange(count) / (count / 3))
    return found * (5000 / max(1.0, float(np.sqrt(np.mean(found * found)))) if count else 1.0)


def _trimmed(samples: Samples) -> Samples:
    loud = np.flatnonzero(np.abs(samples) > 300)
    return samples[loud[0] : loud[-1] + 1]


def _listener(
    kind: str, text: str, language: str, sound: Samples, noise_dbfs: float, rng: np.random.Generator
) -> Listener:
    before = np.zeros(QUIET_S * RATE_HZ + int(rng.integers(0, 160)))
    whole = np.concatenate([before, sound, np.zeros(5 * RATE_HZ // 2)])
    whole += rng.normal(0, 32768 * 10 ** (noise_dbfs / 20), len(whole))
    line = DECODE[np.frombuffer(ulaw(np.clip(whole, -32000, 32000).astype("<i2")), np.uint8)].astype("<i2").tobytes()
    return Listener(kind, text, language, line, len(before) * 1000 // RATE_HZ, len(sound) * 1000 // RATE_HZ)
