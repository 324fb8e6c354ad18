"""Our own ears on the caller's line."""

from __future__ import annotations

import numpy as np
import pytest

from worker.call.ears import LOUD_DBFS, QUIET_S, Ears


def piece(dbfs: float, ms: int = 40) -> bytes:
    """Noise of this level at 8 kHz."""
    noise = np.random.default_rng(1).normal(0.0, 32768 * 10 ** (dbfs / 20), ms * 8)
    return np.asarray(np.clip(noise, -32767, 32767), dtype="<i2").tobytes()


def about(seconds: float) -> float:
    """Within a piece."""
    return pytest.approx(seconds, abs=0.041)  # type: ignore[return-value]


def edges(ears: Ears, levels: list[float | None], began: float = 100.0) -> list[tuple[float, bool]]:
    """What is heard of 40 ms pieces of these levels; None: nothing comes."""
    found = []
    for number, level in enumerate(levels):
        now = began + number * 0.04
        edge = ears.hear(b"" if level is None else piece(level), now)
        if edge is not None:
            found.append((round(now - began, 2), edge))
    return found


def test_speech_is_loud_and_what_follows_quiet_once_it_has_lasted() -> None:
    assert edges(Ears(), [-90.0] * 5 + [-25.0] * 10 + [-90.0] * 40) == [(0.2, True), (about(0.56 + QUIET_S), False)]


def test_a_pause_for_breath_is_no_quiet() -> None:
    pause = [-90.0] * int(QUIET_S / 0.04 - 2)
    assert edges(Ears(), [-90.0, *([-25.0] * 5 + pause) * 4]) == [(0.04, True)]


def test_a_lines_noise_is_quiet_and_soft_speech_is_not() -> None:
    assert edges(Ears(), [LOUD_DBFS - 6] * 50) == [(about(QUIET_S), False)]
    assert edges(Ears(), [LOUD_DBFS + 6] * 50)[0][1] is True


def test_a_line_without_any_audio_becomes_quiet_too() -> None:
    assert edges(Ears(), [-90.0, *[-25.0] * 5, *[None] * 50]) == [(0.04, True), (about(0.2 + QUIET_S), False)]
