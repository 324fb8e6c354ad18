from __future__ import annotations

import numpy as np
import pytest

from worker.local.sound import bytes_per_ms, decode, encode, level_dbfs, rate_of, resample

RATES = [(22050, 24000), (22050, 8000), (24000, 16000), (8000, 16000), (24000, 8000), (22050, 16000)]


def sine(hz: float, rate: int, seconds: float = 1.0) -> bytes:
    return (np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate) * 10000).astype("<i2").tobytes()


def error_db(got: bytes, wanted: bytes) -> float:
    """Noise against signal in the middle of two tones, in dB."""
    have, want = (np.frombuffer(pcm, "<i2").astype(float)[500:-500] for pcm in (got, wanted))
    return float(10 * np.log10((((have - want) ** 2).mean() + 1e-3) / (want**2).mean()))


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
@pytest.mark.parametrize("hz", [200, 1000, 3000])
def test_a_tone_keeps_its_pitch_level_and_place(from_hz: int, to_hz: int, hz: int) -> None:
    made = resample(sine(hz, from_hz), from_hz, to_hz)
    assert len(made) == to_hz * 2
    assert error_db(made, sine(hz, to_hz)) < -55


@pytest.mark.parametrize(("from_hz", "to_hz"), [(24000, 8000), (22050, 8000), (24000, 16000)])
def test_what_the_lower_rate_does_not_hold_is_filtered_out(from_hz: int, to_hz: int) -> None:
    made = resample(sine(to_hz * 0.65, from_hz), from_hz, to_hz)
    assert level_dbfs(made[1000:-1000]) < level_dbfs(sine(1000, 8000)) - 50


@pytest.mark.parametrize("pcm", [b"", b"\1\0", b"\1\0" * 3])
def test_next_to_nothing_is_resampled_too(pcm: bytes) -> None:
    assert len(resample(pcm, 8000, 16000)) == 2 * len(pcm)


@pytest.mark.parametrize("kind", ["audio/pcm", "audio/pcmu", "audio/pcma"])
def test_the_wire_and_back(kind: str) -> None:
    wire = encode(sine(1000, 24000), 24000, kind)
    assert len(wire) == 1000 * bytes_per_ms(kind)
    back = decode(wire, kind)
    assert error_db(back, sine(1000, rate_of(kind))) < (-55 if kind == "audio/pcm" else -35)


def test_levels() -> None:
    assert level_dbfs(bytes(100)) == -100
    assert level_dbfs(np.full(100, 32767, "<i2").tobytes()) == pytest.approx(0, abs=0.01)
    assert level_dbfs(b"") == -100
