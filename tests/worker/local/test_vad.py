from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.local.config import VadSettings
from worker.local.vad import Edge, Vad

RATE = 8000


def sound(ms: int, dbfs: float, seed: int = 0) -> bytes:
    noise = np.random.default_rng(seed).normal(0, 32768 * 10 ** (dbfs / 20), RATE * ms // 1000)
    return np.clip(noise, -32768, 32767).astype("<i2").tobytes()


SPEECH, NOISE = -20.0, -65.0


def heard(*parts: tuple[int, float], vad: VadSettings | None = None) -> list[Edge]:
    return Vad(RATE, vad or VadSettings()).feed(b"".join(sound(ms, level) for ms, level in parts))


def test_speech_starts_with_its_padding_and_stops_after_the_silence() -> None:
    assert heard((1000, NOISE), (800, SPEECH), (1000, NOISE)) == [Edge(True, 700), Edge(False, 2300)]


def test_silence_duration_and_padding_are_the_sessions() -> None:
    own = VadSettings(prefix_padding_ms=100, silence_duration_ms=200)
    assert heard((1000, NOISE), (800, SPEECH), (1000, NOISE), vad=own) == [Edge(True, 900), Edge(False, 2000)]


def test_a_pause_shorter_than_the_silence_is_part_of_the_turn() -> None:
    edges = heard((500, NOISE), (500, SPEECH), (400, NOISE), (500, SPEECH), (600, NOISE))
    assert [edge.started for edge in edges] == [True, False]
    assert edges[1].at_ms == 2400


def test_a_click_is_not_speech() -> None:
    assert heard((500, NOISE), (20, SPEECH), (500, NOISE), (20, SPEECH), (500, NOISE)) == []


def test_the_threshold_decides_how_loud_speech_is() -> None:
    soft = ((500, NOISE), (500, -45.0), (600, NOISE))
    assert heard(*soft) == []
    assert [edge.started for edge in heard(*soft, vad=VadSettings(threshold=0.2))] == [True, False]


def test_steady_loud_noise_stops_being_speech_for_nobody_but_a_new_voice_over_it_is() -> None:
    vad = Vad(RATE, VadSettings(threshold=0.5))
    vad.feed(sound(20_000, -42.0))  # under the threshold: it lifts the floor to itself
    assert vad.feed(sound(400, -35.0)) == []  # over the threshold, but only 7 dB over the floor
    assert [edge.started for edge in vad.feed(sound(400, -20.0))] == [True]


def test_a_second_turn_does_not_reach_back_into_the_first() -> None:
    edges = heard((300, SPEECH), (500, NOISE), (300, SPEECH), vad=VadSettings(prefix_padding_ms=1000))
    assert edges[0] == Edge(True, 0)
    assert edges[2].at_ms == edges[1].at_ms == 800


@given(cuts=st.lists(st.integers(1, 3000), max_size=20))
@settings(max_examples=30, deadline=None)
def test_how_the_audio_is_cut_does_not_matter(cuts: list[int]) -> None:
    data = sound(400, NOISE) + sound(500, SPEECH) + sound(700, NOISE)
    vad, edges, at = Vad(RATE, VadSettings()), [], 0
    for cut in cuts:
        edges += vad.feed(data[at : at + 2 * cut])
        at += 2 * cut
    edges += vad.feed(data[at:])
    assert edges == Vad(RATE, VadSettings()).feed(data)


@pytest.mark.parametrize("rate", [8000, 24000])
def test_it_works_at_both_rates(rate: int) -> None:
    loud = np.full(rate // 2, 8000, "<i2").tobytes()
    silent = bytes(rate)
    assert [edge.at_ms for edge in Vad(rate, VadSettings()).feed(silent + loud + silent * 2)] == [200, 1500]
