from __future__ import annotations

import math
import struct

import pytest

from telephony import pcm


def tone(peak: float, samples: int = 8000) -> bytes:
    return struct.pack(f"<{samples}h", *(round(peak * math.sin(2 * math.pi * 437 * n / 8000)) for n in range(samples)))


@pytest.mark.parametrize(("ms", "rate_hz", "nbytes"), [(20, 8000, 320), (100, 24000, 4800), (0, 8000, 0)])
def test_ms_and_bytes(ms: int, rate_hz: int, nbytes: int) -> None:
    assert pcm.bytes_of(ms, rate_hz) == nbytes
    assert pcm.silence(ms, rate_hz) == bytes(nbytes)


def test_parts_of_a_sample_are_left_out() -> None:
    assert pcm.bytes_of(0.2, 8000) == 2
    assert pcm.bytes_of(0.1, 8000) == 0


def test_a_full_scale_sine_is_3_db_under_full_scale() -> None:
    assert pcm.level_dbfs(tone(32767)) == pytest.approx(-3.01, abs=0.02)
    assert pcm.level_dbfs(tone(3276.7)) == pytest.approx(-23.01, abs=0.02)


def test_the_loudest_square_is_0_db() -> None:
    assert pcm.level_dbfs(struct.pack("<h", -32768) * 100) == 0.0


@pytest.mark.parametrize("quiet", [b"", bytes(320)])
def test_silence_has_the_level_of_the_floor(quiet: bytes) -> None:
    assert pcm.level_dbfs(quiet) == pcm.FLOOR_DBFS
