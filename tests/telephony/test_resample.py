from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from telephony.resample import Resampler, process_all

RATIOS = [(8000, 24000), (24000, 8000), (16000, 24000), (24000, 16000), (8000, 16000), (16000, 8000)]
each_ratio = pytest.mark.parametrize(("from_hz", "to_hz"), RATIOS)
Samples = NDArray[np.int16]


def tone(hz: float, rate_hz: int, *, peak: float = 0.9, seconds: float = 1.0) -> bytes:
    time = np.arange(int(rate_hz * seconds)) / rate_hz
    return np.rint(peak * 32767 * np.sin(2 * np.pi * hz * time)).astype("<i2").tobytes()


def samples(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, dtype="<i2")


def measure(hz: float, from_hz: int, to_hz: int) -> tuple[float, float, float]:
    """Send a tone through: SNR in dB, gain in dB, delay in ms (to a period of the tone)."""
    out = samples(Resampler(from_hz, to_hz).process(tone(hz, from_hz))).astype(float)
    settled = slice(to_hz // 10, None)  # the tone begins abruptly
    angle = 2 * np.pi * hz * np.arange(len(out)) / to_hz
    basis = np.stack([np.sin(angle), np.cos(angle)], axis=1)[settled]
    (sine, cosine), *_ = np.linalg.lstsq(basis, out[settled], rcond=None)
    fitted = basis @ (sine, cosine)
    noise = out[settled] - fitted
    gain_db = 20 * np.log10(np.hypot(sine, cosine) / (0.9 * 32767))
    delay_ms = (np.arctan2(-cosine, sine) % (2 * np.pi)) / (2 * np.pi * hz) * 1000
    return 10 * np.log10(np.mean(fitted**2) / np.mean(noise**2)), gain_db, delay_ms


@each_ratio
@pytest.mark.parametrize("hz", [397, 1009, 2003, 2999, 3401])
def test_speech_passes_with_80_db_and_unchanged_level(from_hz: int, to_hz: int, hz: int) -> None:
    snr_db, gain_db, _ = measure(hz, from_hz, to_hz)
    assert snr_db >= 80
    assert abs(gain_db) < 0.5


@pytest.mark.parametrize(("from_hz", "to_hz"), [(16000, 24000), (24000, 16000)])
@pytest.mark.parametrize("hz", [3999, 5003, 6007, 6803])
def test_between_16_and_24_khz_all_that_g722_carries_passes(from_hz: int, to_hz: int, hz: int) -> None:
    snr_db, gain_db, _ = measure(hz, from_hz, to_hz)
    assert snr_db >= 75
    assert abs(gain_db) < 0.5


@each_ratio
def test_the_delay_is_what_it_says_and_under_2_ms(from_hz: int, to_hz: int) -> None:
    _, _, delay_ms = measure(211, from_hz, to_hz)
    assert delay_ms == pytest.approx(Resampler(from_hz, to_hz).delay_ms, abs=0.01)
    assert 0 < delay_ms <= 2


@pytest.mark.parametrize(("from_hz", "to_hz", "hz"), [(24000, 8000, 5003), (24000, 16000, 9511), (16000, 8000, 4999)])
def test_what_the_lower_rate_cannot_carry_is_silenced(from_hz: int, to_hz: int, hz: int) -> None:
    out = samples(Resampler(from_hz, to_hz).process(tone(hz, from_hz)))[to_hz // 10 :]
    assert np.abs(out).max() <= 32767 / 10 ** (75 / 20)


@each_ratio
@pytest.mark.parametrize("count", [1, 2, 3, 7, 47, 48, 160, 321, 2400])
def test_nothing_that_can_be_computed_is_held_back(from_hz: int, to_hz: int, count: int) -> None:
    common = np.gcd(from_hz, to_hz)
    down, up = from_hz // common, to_hz // common
    assert len(Resampler(from_hz, to_hz).process(bytes(2 * count))) == 2 * (count // down * up)


SOUNDS = {
    "speech band": tone(300, 8000, peak=0.4) + tone(2900, 8000, peak=0.4),
    "noise": np.random.default_rng(7).integers(-32768, 32767, 8000, dtype="<i2", endpoint=True).tobytes(),
    "full-scale square": (b"\xff\x7f" * 20 + b"\x00\x80" * 20) * 200,
    "silence": bytes(8000),
}


@settings(max_examples=150, deadline=None)
@given(
    ratio=st.sampled_from(RATIOS),
    sound=st.sampled_from(sorted(SOUNDS)),
    sizes=st.lists(st.one_of(st.just(1), st.integers(0, 50), st.sampled_from([160, 320, 800, 2400])), max_size=40),
    start=st.integers(0, 400),
)
def test_any_cutting_gives_the_same_within_one_step(
    ratio: tuple[int, int], sound: str, sizes: list[int], start: int
) -> None:
    pcm = SOUNDS[sound][2 * start :]
    whole = samples(Resampler(*ratio).process(pcm))
    resampler, at, pieces = Resampler(*ratio), 0, []
    for size in sizes:
        pieces.append(resampler.process(pcm[at : at + 2 * size]))
        at += 2 * size
    pieces.append(resampler.process(pcm[at:]))
    cut = samples(b"".join(pieces))
    assert len(cut) == len(whole)
    assert np.abs(cut.astype(int) - whole).max(initial=0) <= 1


@each_ratio
def test_single_samples_give_the_same_within_one_step(from_hz: int, to_hz: int) -> None:
    pcm = SOUNDS["noise"][:2000]
    resampler = Resampler(from_hz, to_hz)
    cut = samples(b"".join(resampler.process(pcm[at : at + 2]) for at in range(0, len(pcm), 2)))
    whole = samples(Resampler(from_hz, to_hz).process(pcm))
    assert np.abs(cut.astype(int) - whole).max() <= 1


@each_ratio
def test_full_scale_is_clipped_and_never_wraps(from_hz: int, to_hz: int) -> None:
    half = from_hz // 100  # a square of 50 Hz: the filter overshoots at each of its edges
    pcm = np.repeat(np.tile(np.array([32767, -32768], dtype="<i2"), 10), half).tobytes()
    out = samples(Resampler(from_hz, to_hz).process(pcm))
    assert (out.max(), out.min()) == (32767, -32768)
    flat = to_hz // 200  # the middle of each half, away from the edges
    middles = out[flat + to_hz // 500 :: to_hz // 100].astype(int)
    assert np.abs(middles).min() > 32000
    assert (np.sign(middles) == np.tile([1, -1], 10)[: len(middles)]).all()


@each_ratio
def test_silence_stays_silence(from_hz: int, to_hz: int) -> None:
    assert not any(Resampler(from_hz, to_hz).process(bytes(4800)))


@each_ratio
def test_a_reset_forgets_what_was_before(from_hz: int, to_hz: int) -> None:
    resampler, pcm = Resampler(from_hz, to_hz), tone(440, from_hz, seconds=0.1)
    first = resampler.process(pcm)
    resampler.process(pcm[:34])
    resampler.reset()
    assert resampler.process(pcm) == first


def test_streams_of_one_ratio_share_no_state() -> None:
    one, other = Resampler(8000, 24000), Resampler(8000, 24000)
    one.process(tone(440, 8000))
    assert not any(other.process(bytes(320)))


def test_equal_rates_pass_through() -> None:
    resampler, pcm = Resampler(8000, 8000), tone(440, 8000)
    assert resampler.process(pcm) == pcm
    assert resampler.delay_ms == 0


def test_a_voice_at_22_05_khz_is_resampled_too() -> None:
    snr_db, _, _ = measure(1009, 22050, 8000)
    assert snr_db >= 80


@pytest.mark.parametrize("rates", [(8000, 24000), (8000, 8000)])
def test_half_a_sample_is_an_error(rates: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="5 bytes are no whole number of 16-bit samples"):
        Resampler(*rates).process(b"abcde")


@pytest.mark.parametrize("rates", [(0, 8000), (8000, -1)])
def test_rates_are_positive(rates: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="rates are positive"):
        Resampler(*rates)


@given(
    st.lists(
        st.tuples(st.sampled_from(RATIOS), st.lists(st.sampled_from([0, 33, 160, 320, 480, 640]), max_size=6)),
        max_size=6,
    ),
    st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_streams_together_give_what_each_gives_alone(
    streams: list[tuple[tuple[int, int], list[int]]], rng: Random
) -> None:
    alone, together = ([Resampler(*ratio) for ratio, _ in streams] for _ in range(2))
    for turn in range(max((len(lengths) for _, lengths in streams), default=0)):
        here = [number for number, (_, lengths) in enumerate(streams) if turn < len(lengths)]
        pieces = [rng.randbytes(2 * streams[number][1][turn]) for number in here]
        wanted = [alone[number].process(pcm) for number, pcm in zip(here, pieces, strict=True)]
        found = process_all([(together[number], pcm) for number, pcm in zip(here, pieces, strict=True)])
        assert [len(pcm) for pcm in found] == [len(pcm) for pcm in wanted]
        for one, other in zip(found, wanted, strict=True):
            assert not len(one) or np.abs(samples(one).astype(int) - samples(other)).max() <= 1


def test_half_a_sample_among_many_is_refused() -> None:
    with pytest.raises(ValueError, match="161 bytes"):
        process_all([(Resampler(8000, 24000), bytes(160)), (Resampler(8000, 24000), bytes(161))])
