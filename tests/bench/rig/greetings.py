"""What people and machines say when they are called, as audio of a telephone: 8 kHz, mu-law, with a line's noise."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rig.audio import DECODE, ulaw

from worker.local.voice import synthesize

RATE_HZ = 8000
TEXTS = tomllib.loads(Path(__file__).with_name("greetings.toml").read_text("utf-8"))
VOICES = (("en-us", 150, 50), ("en-us+f2", 170, 60), ("en", 135, 40), ("en-us+m3", 185, 45))
BEEPS = ((1000, 400), (1400, 300), (440, 700), (850, 250), (0, 0))
"""Hz and ms; the last machine records without one."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """What is heard from the answer on."""

    machine: bool
    text: str
    pcm: bytes
    spoken_ms: int
    """When its speech is over."""
    beep_ms: int | None
    """When its beep is over."""


def greetings(noise_dbfs: float = -55.0) -> Iterator[Greeting]:
    """All of them: each of the English ones with two voices, the others with one."""
    rng = np.random.default_rng(11)
    for machine, texts in ((False, TEXTS["people"]), (True, TEXTS["machines"])):
        number = 0
        spoken = [(text, VOICES[(n + turn) % len(VOICES)]) for n, text in enumerate(texts["en"]) for turn in (0, 1)]
        spoken += [(text, (language, 155, 50)) for language in ("de", "fr", "es") for text in texts[language]]
        for text, (voice, wpm, pitch) in spoken:
            beep = BEEPS[number % len(BEEPS)] if machine else (0, 0)
            number += 1
            yield _greeting(machine, text, speech(text, voice, wpm, pitch), beep, noise_dbfs, rng)


def speech(text: str, voice: str, wpm: int, pitch: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A sentence at 8 kHz, at the level of a telephone's."""
    pcm, rate_hz = synthesize(text, voice, wpm, pitch)
    samples = np.frombuffer(pcm, "<i2").astype(float)
    at = np.arange(int(len(samples) * RATE_HZ / rate_hz)) * rate_hz / RATE_HZ
    found = np.interp(at, np.arange(len(samples)), samples)
    return found * (3000 / max(1.0, float(np.sqrt(np.mean(found * found)))))


def _greeting(
    machine: bool,
    text: str,
    said: np.ndarray[tuple[int], np.dtype[np.float64]],
    beep: tuple[int, int],
    noise_dbfs: float,
    rng: np.random.Generator,
) -> Greeting:
    before = np.zeros(int(rng.uniform(0.2, 0.9) * RATE_HZ))
    hz, ms = beep
    tone = 5000 * np.sin(2 * np.pi * hz * np.arange(ms * RATE_HZ // 1000) / RATE_HZ)
    pause = np.zeros(int(rng.uniform(0.3, 1.0) * RATE_HZ)) if hz else np.zeros(0)
    whole = np.concatenate([before, said, pause, tone, np.zeros(4 * RATE_HZ)])
    whole += rng.normal(0, 32768 * 10 ** (noise_dbfs / 20), len(whole))
    line = DECODE[np.frombuffer(ulaw(np.clip(whole, -32000, 32000).astype("<i2")), np.uint8)].astype("<i2").tobytes()
    spoken_ms = (len(before) + len(said)) * 1000 // RATE_HZ
    beep_ms = spoken_ms + (len(pause) + len(tone)) * 1000 // RATE_HZ if hz else None
    return Greeting(machine, text, line, spoken_ms, beep_ms)
