from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.local.words import clock_words, digits_of, digits_words


@given(st.text("0123456789", min_size=1, max_size=12))
def test_digits_there_and_back(digits: str) -> None:
    assert digits_of(digits_words(digits)) == digits


def test_other_text_stays() -> None:
    assert digits_words("A 42, b.") == "A four two, b."


def test_another_word_is_no_digit() -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        digits_of("four ten")


@pytest.mark.parametrize(
    ("time", "words"),
    [
        ("14:05", "fourteen oh five"),
        ("9:30", "nine thirty"),
        ("00:00", "zero hundred"),
        ("23:59:10", "twenty three fifty nine"),
        ("25:00", "25:00"),
        ("noon", "noon"),
    ],
)
def test_times_of_day(time: str, words: str) -> None:
    assert clock_words(time) == words
