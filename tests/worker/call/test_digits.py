"""Digits: one text per entry, ended by # or a pause, bounded, and never shown by repr."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.call.digits import LONGEST, PAUSE_S, DigitBuffer


def test_hash_ends_the_entry_and_is_no_part_of_it() -> None:
    digits = DigitBuffer()
    assert [digits.add(d, 1.0) for d in "427#"] == [None, None, None, "427"]
    assert digits.poll(100.0) is None


def test_a_pause_ends_the_entry_once() -> None:
    digits = DigitBuffer()
    digits.add("4", 1.0)
    digits.add("2", 2.5)
    assert digits.poll(1.0 + PAUSE_S) is None, "counted from the last digit"
    assert digits.poll(2.5 + PAUSE_S) == "42"
    assert digits.poll(99.0) is None


def test_hash_alone_and_a_pause_alone_say_nothing() -> None:
    digits = DigitBuffer()
    assert digits.add("#", 1.0) is None and digits.poll(50.0) is None


def test_after_an_entry_the_next_begins_anew() -> None:
    digits = DigitBuffer()
    for digit in "1#":
        digits.add(digit, 1.0)
    digits.add("2", 1.1)
    assert digits.add("#", 1.2) == "2"


def test_a_stuck_key_is_bounded_and_still_ends() -> None:
    digits = DigitBuffer()
    for number in range(LONGEST * 3):
        digits.add("9", number * 0.1)
    last = (LONGEST * 3 - 1) * 0.1
    assert digits.poll(last + PAUSE_S - 0.01) is None, "the key is still down"
    assert digits.poll(last + PAUSE_S) == "9" * LONGEST


@given(st.text("0123456789*ABCD", min_size=1, max_size=LONGEST))
def test_what_was_typed_comes_out_and_never_in_a_repr(typed: str) -> None:
    digits = DigitBuffer()
    for digit in typed:
        assert digits.add(digit, 1.0) is None
    assert repr(digits) == object.__repr__(digits)
    assert digits.poll(1.0 + PAUSE_S) == typed
