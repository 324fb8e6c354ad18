"""Whether a sound has a voice."""

from __future__ import annotations

import numpy as np
import pytest

from worker.call.voicing import Voicing
from worker.local.voice import synthesize


def cough(seed: int, ms: int = 300, rate_hz: int = 8000) -> bytes:
    """A burst of air that dies away."""
    at = np.arange(ms * rate_hz // 1000)
    noise = np.random.default_rng(seed).normal(0, 8000, at.size)
    return (noise * np.exp(-at / (ms * rate_hz / 3000))).clip(-32000, 32000).astype("<i2").tobytes()


def heard(pcm: bytes, rate_hz: int = 8000, piece: int = 640) -> int:
    voicing = Voicing(rate_hz)
    return sum(voicing.hear(pcm[at : at + piece]) for at in range(0, len(pcm), piece))


@pytest.mark.parametrize("rate_hz", [8000, 16000])
@pytest.mark.parametrize("seed", range(5))
def test_a_burst_of_air_has_none(seed: int, rate_hz: int) -> None:
    assert heard(cough(seed, rate_hz=rate_hz), rate_hz) <= 20


@pytest.mark.parametrize("word", ["stop", "no", "wait", "yes", "what", "hey"])
@pytest.mark.parametrize("voice", ["en-us", "en-us+f2", "en-us+m3"])
def test_a_word_has_one(word: str, voice: str) -> None:
    pcm, rate_hz = synthesize(word, voice, 170)
    assert heard(pcm, rate_hz) >= 60


def test_it_does_not_hang_on_the_pieces() -> None:
    pcm, rate_hz = synthesize("wait a moment", "en-us", 170)
    assert heard(pcm, rate_hz, 322) == heard(pcm, rate_hz, 6400)


def test_silence_and_a_quiet_hum_have_none() -> None:
    hum = (60 * np.sin(2 * np.pi * 120 * np.arange(8000) / 8000)).astype("<i2").tobytes()
    assert heard(bytes(16000)) == heard(hum) == 0
