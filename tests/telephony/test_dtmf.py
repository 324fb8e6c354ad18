from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telephony.dtmf import DIGITS, Keypad, info_key


@pytest.mark.parametrize(
    "kind, content, key",
    [
        ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", "5"),
        ("application/dtmf-relay", "Duration=160\r\nsignal = #\r\n", "#"),
        ("application/dtmf-relay", "Signal=10\r\nDuration=160\r\n", "*"),
        ("application/dtmf-relay", "Signal=11\r\n", "#"),
        ("application/dtmf-relay", "Signal=12\r\n", "A"),
        ("application/dtmf-relay", "Signal=15\r\n", "D"),
        ("application/dtmf-relay", "Signal=16\r\n", ""),
        ("application/dtmf-relay", "Signal=hf\r\n", ""),
        ("application/dtmf-relay", "Signal=17\r\n", None),
        ("application/dtmf-relay", "Signal=\r\nDuration=1", None),
        ("application/dtmf-relay", "nothing", None),
        ("application/dtmf", "7\r\n", "7"),
        ("application/dtmf", "Signal=a", "A"),
        ("application/dtmf", "10", "*"),
        ("application/dtmf", "", None),
        ("application/dtmf", "seven", None),
        ("application/dtmf", "٣", None),
    ],
)
def test_keys_in_info(kind: str, content: str, key: str | None) -> None:
    assert info_key(kind, content) == key


def test_the_same_key_by_both_ways_is_one() -> None:
    keypad = Keypad()
    told = [
        ("1", "rtp", 0.0),
        ("1", "info", 0.1),
        ("1", "rtp", 0.3),
        ("2", "rtp", 0.5),
        ("1", "info", 0.6),
        ("2", "info", 0.7),
    ]
    assert [digit for digit, via, now in told if keypad.pressed(digit, via, now)] == ["1", "1", "2"]  # type: ignore[arg-type]


def test_one_way_alone_counts_each_press() -> None:
    keypad = Keypad()
    assert all(keypad.pressed("5", "rtp", n * 0.2) for n in range(100))
    assert not keypad.pressed("R", "rtp", 30.0), "a hook flash is no key"


def test_a_press_long_ago_is_no_pair() -> None:
    keypad = Keypad()
    assert keypad.pressed("5", "rtp", 0.0) and keypad.pressed("5", "info", Keypad.PAIR_S + 0.1)


def test_an_info_that_is_sent_again() -> None:
    keypad = Keypad()
    assert keypad.new_info(2) and not keypad.new_info(2) and not keypad.new_info(1) and keypad.new_info(3)
    assert keypad.new_info(-1), "without a number nothing is known"


@settings(deadline=None)
@given(st.lists(st.sampled_from(DIGITS), max_size=20), st.randoms())
def test_two_ways_in_any_interleaving_tell_each_key_once(keys: list[str], chance: object) -> None:
    keypad, found, left = Keypad(), [], {"rtp": list(keys), "info": list(keys)}
    now = 0.0
    while left["rtp"] or left["info"]:
        via = chance.choice([way for way, rest in left.items() if rest])  # type: ignore[attr-defined]
        now += 0.05
        digit = left[via].pop(0)
        if keypad.pressed(digit, via, now):
            found.append(digit)
    assert sorted(found) == sorted(keys)


@settings(deadline=None)
@given(st.text(), st.text())
def test_any_content(kind: str, content: str) -> None:
    for one in (kind, "application/dtmf", "application/dtmf-relay"):
        key = info_key(one, content)
        assert key is None or key == "" or key in DIGITS
