"""Numbers in words and back, so that a recogniser on the telephone can hear them. Pure."""

from __future__ import annotations

import re

__all__ = ["DIGITS", "clock_words", "digits_of", "digits_words"]

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEENS = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS = ("", "", "twenty", "thirty", "forty", "fifty")


def digits_words(text: str) -> str:
    """Every digit of a text as a word: "427" is "four two seven"; what is no digit stays."""
    spaced = re.sub(r"\d", lambda found: f" {DIGITS[int(found.group())]} ", text)
    return re.sub(r" +([,.])", r"\1", " ".join(spaced.split()))


def digits_of(words: str) -> str:
    """Digits from words: "four two seven" is "427". Raises ValueError for another word."""
    return "".join(str(DIGITS.index(word)) for word in words.split())


def number_words(number: int) -> str:
    """A number from 0 to 59 in words."""
    if number < 10:
        return DIGITS[number]
    if number < 20:
        return TEENS[number - 10]
    rest = number % 10
    return TENS[number // 10] + (f" {DIGITS[rest]}" if rest else "")


def clock_words(time: str) -> str:
    """A time of day (HH:MM) in words: "14:05" is "fourteen oh five". Another text stays as it is."""
    found = re.fullmatch(r"(\d\d?):(\d\d)(?::\d\d)?", time)
    if not found or int(found[1]) > 23 or int(found[2]) > 59:
        return time
    hour, minute = int(found[1]), int(found[2])
    if minute == 0:
        return f"{number_words(hour)} hundred"
    return f"{number_words(hour)} {'oh ' if minute < 10 else ''}{number_words(minute)}"
