"""What a caller types for a tool, key by key, by the clock."""

from __future__ import annotations

from math import inf

from tools.define.digits import Digits
from worker.call_tools.entry_words import FRAMES, entry_question
from worker.call_tools.key_entry import TRIES, Again, Entered, GivenUp, KeyEntry

RULES = Digits(4, 6, seconds=10)


def typed(entry: KeyEntry, keys: str, now: float = 0.0) -> object:
    step: object = None
    for key in keys:
        step = entry.key(key, now)
    return step


def test_the_hash_key_ends_it() -> None:
    assert typed(KeyEntry(RULES), "1234#") == Entered("1234")
    assert typed(KeyEntry(RULES), "123456#") == Entered("123456")


def test_the_star_begins_anew_and_letters_are_no_digits() -> None:
    assert typed(KeyEntry(RULES), "99*12A34#") == Entered("1234")


def test_it_waits_until_the_caller_has_heard_the_question() -> None:
    entry = KeyEntry(RULES)
    assert entry.due == inf and entry.poll(1000.0) is None
    entry.heard(1000.0)
    entry.heard(1005.0)
    assert entry.due == 1010.0 and entry.poll(1009.9) is None
    assert entry.poll(1010.0) == Again("nothing")


def test_silence_ends_what_is_whole() -> None:
    entry = KeyEntry(RULES)
    typed(entry, "1234", 5.0)
    assert entry.poll(14.9) is None and entry.poll(15.0) == Entered("1234")


def test_a_wrong_length_is_asked_again_so_often_and_then_given_up() -> None:
    entry = KeyEntry(RULES)
    assert typed(entry, "123#") == Again("short")
    assert typed(entry, "1234567#") == Again("long")
    assert typed(entry, "#") == GivenUp("nothing")
    assert TRIES == 3


def test_thirty_digits_in_a_second_are_too_many_and_none_is_kept() -> None:
    entry = KeyEntry(RULES)
    assert typed(entry, "7" * 30) is None and entry._typed == "777777"
    assert typed(entry, "#") == Again("long") and entry._typed == ""
    assert typed(entry, "1234#") == Entered("1234")


def test_nothing_shows_what_was_typed() -> None:
    assert "1234" not in repr(Entered("1234")) + repr(KeyEntry(RULES))


def test_the_question_is_in_the_callers_language_and_says_what_was_wrong() -> None:
    assert entry_question("card_number", RULES, "en-GB").text == (
        "Please type your card number on the keypad. Press the hash key at the end."
    )
    own = Digits(4, ask="Bitte tippen Sie Ihre PIN.")
    again = entry_question("pin", own, "de", "short")
    assert again.text == "Das waren zu wenige Ziffern. Bitte tippen Sie Ihre PIN. Drücken Sie am Ende die Rautetaste."
    assert again.entry and not again.voice
    assert entry_question("pin", RULES, "fi").text == entry_question("pin", RULES, "en").text
    assert all(frame.ask.count("{what}") == 1 for frame in FRAMES.values())
