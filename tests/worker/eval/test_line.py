"""The bad line: as much noise and as many lost frames as were asked for, and the same ones for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from worker.eval.line import Line, speech_level

FRAME = np.full(160, 3000, dtype="<i2").tobytes()
SILENCE = bytes(320)
SPEECH = 3000 / 32768


def carried(seed: int, *, frame: bytes = SILENCE, **options: float) -> list[bytes]:
    line = Line(seed, speech=SPEECH, **options)  # type: ignore[arg-type]
    return [line.carry(frame) for _ in range(2000)]


def test_a_good_line_changes_nothing() -> None:
    assert set(carried(1, frame=FRAME)) == {FRAME}


@pytest.mark.parametrize("decibels", [20, 6, 0])
def test_the_noise_stands_so_many_db_under_the_speech(decibels: int) -> None:
    samples = np.frombuffer(b"".join(carried(1, noise_db=decibels)), "<i2").astype(float) / 32768
    ratio = 20 * np.log10(SPEECH / np.sqrt((samples**2).mean()))
    assert abs(ratio - decibels) < 0.2


def test_so_many_per_cent_are_lost() -> None:
    lost = carried(1, frame=FRAME, loss_percent=5).count(SILENCE)
    assert 70 < lost < 130
    assert carried(1, frame=FRAME, loss_percent=100).count(SILENCE) == 2000


def test_the_seed_makes_the_noise_and_chooses_the_frames() -> None:
    options = {"noise_db": 10.0, "loss_percent": 10.0}
    assert carried(3, **options) == carried(3, **options)
    assert carried(3, **options) != carried(4, **options)


def test_the_level_of_speech_is_that_of_its_loud_frames() -> None:
    assert abs(speech_level(FRAME * 10 + SILENCE * 50, 320) - SPEECH) < 1e-3
    assert speech_level(SILENCE * 10, 320) == speech_level(b"", 320) == 0.0
