"""The E-model's values, against points that its recommendations and tables name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.quality import mos, rating


def test_a_path_without_loss_and_delay_has_the_default_rating() -> None:
    assert rating(0, 0) == pytest.approx(93.2)
    assert mos(0, 0) == pytest.approx(4.41, abs=0.01)


@pytest.mark.parametrize(
    ("loss", "delay_ms", "expected"),
    [(0.0, 150, 89.6), (0.0, 400, 59.1), (0.251, 0, 45.7), (0.05, 20, 76.9)],
)
def test_ratings(loss: float, delay_ms: float, expected: float) -> None:
    assert rating(loss, delay_ms) == pytest.approx(expected, abs=0.1)


@given(st.floats(0, 1), st.floats(0, 10_000))
def test_mos_is_between_1_and_4_5_and_falls_with_loss_and_delay(loss: float, delay_ms: float) -> None:
    found = mos(loss, delay_ms)
    assert 1 <= found <= 4.5
    assert mos(min(1.0, loss + 0.05), delay_ms) <= found + 1e-9
    assert mos(loss, delay_ms + 50) <= found + 1e-9
