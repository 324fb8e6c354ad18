"""Our own ears: where speech begins and ends, what is sent of it, and what is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.realtime.ears import END_MS, Ears, Edge

RATE = 16_000


def noise(ms: int, dbfs: float, seed: int = 0) -> bytes:
    """Noise at a level, which stands for speech: its energy is what counts."""
    sound = np.random.default_rng(seed).normal(0, 32768 * 10 ** (dbfs / 20), RATE * ms // 1000)
    return np.clip(sound, -32768, 32767).astype("<i2").tobytes()


def hear(ears: Ears, pcm: bytes, piece_ms: int = 40) -> list[Edge | bytes]:
    size = RATE * piece_ms // 1000 * 2
    return [one for at in range(0, len(pcm), size) for one in ears.hear(pcm[at : at + size])]


def edges(found: list[Edge | bytes]) -> list[Edge]:
    return [one for one in found if isinstance(one, Edge)]


def sent(found: list[Edge | bytes]) -> bytes:
    return b"".join(one for one in found if isinstance(one, bytes))


def test_speech_on_a_line_with_noise_begins_and_ends_where_it_does() -> None:
    pcm = noise(2000, -60) + noise(800, -22) + noise(1500, -60)
    began, ended = edges(hear(Ears(RATE), pcm))
    assert began.started and abs(began.at_ms - 2000) <= 20
    assert not ended.started and abs(ended.at_ms - 2800) <= 40


def test_of_the_line_the_speech_is_sent_with_what_was_before_it() -> None:
    pcm = noise(2000, -60) + noise(800, -22) + noise(1500, -60)
    found = hear(Ears(RATE), pcm)
    assert isinstance(found[0], Edge) and isinstance(found[-1], Edge), "nothing before the one or after the other"
    audio = sent(found)
    assert audio in pcm, "without a gap"
    ms = len(audio) / 2 / RATE * 1000
    assert 800 + 300 <= ms <= 800 + 300 + END_MS + 60


def test_silence_sends_nothing() -> None:
    assert hear(Ears(RATE), bytes(RATE * 2 * 3)) == [] and hear(Ears(RATE), noise(5000, -55)) == []


def test_a_click_is_no_speech() -> None:
    pcm = bytes(RATE * 2) + noise(40, -15) + bytes(RATE * 2)
    assert hear(Ears(RATE), pcm) == []


def test_a_pause_for_breath_does_not_end_it() -> None:
    pcm = bytes(RATE) + noise(500, -22) + noise(400, -60) + noise(500, -22) + noise(1000, -60)
    assert [edge.started for edge in edges(hear(Ears(RATE), pcm))] == [True, False]


def test_noise_that_does_not_end_is_what_the_line_is_like() -> None:
    ears = Ears(RATE)
    found = edges(hear(ears, noise(75_000, -30)))
    assert [edge.started for edge in found] == [True, False]
    assert edges(hear(ears, noise(500, -12)))[0].started, "and a voice over it is heard"


def test_a_line_that_stops_is_ended_from_outside() -> None:
    ears = Ears(RATE)
    assert ears.stop() is None
    hear(ears, bytes(RATE) + noise(500, -22))
    edge = ears.stop()
    assert edge is not None and not edge.started and not ears.speaking


@settings(max_examples=30)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=60))
def test_how_it_is_cut_into_pieces_changes_nothing(samples: list[int]) -> None:
    pcm = noise(700, -60) + noise(500, -22) + noise(900, -60)
    ears, at, found = Ears(RATE), 0, []
    for count in samples:
        found += ears.hear(pcm[at : at + count * 2])
        at += count * 2
    found += ears.hear(pcm[at:])
    whole = Ears(RATE).hear(pcm)
    assert edges(found) == edges(whole) and sent(found) == sent(whole)


@pytest.mark.parametrize("rate", [8000, 16_000, 24_000])
def test_any_rate(rate: int) -> None:
    loud = np.random.default_rng(1).normal(0, 3000, rate // 2).astype("<i2").tobytes()
    assert [edge.started for edge in edges(Ears(rate).hear(bytes(rate) + loud + bytes(rate * 2)))] == [True, False]
