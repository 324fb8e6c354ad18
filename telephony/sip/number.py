"""One normal form for telephone numbers, so that those who are called and the routes to them compare. Pure.

RFC 3966 section 5.1.1: visual separators mean nothing. A name that is no number stays as it is: user parts tell case
apart (RFC 3261 section 19.1.4).
"""

from __future__ import annotations

import fnmatch
import re

_SEPARATORS = str.maketrans("", "", "-.() \u00a0")
_NUMBER = re.compile(r"\+?[0-9*#\-.() \u00a0]*")
_BRACKETS = re.compile(r"(\[!?\]?[^\]]*\])")
_PATTERN = re.compile(r"[0-9*?#+\-.() \u00a0]*")


def is_number(text: str) -> bool:
    """Whether this is a telephone number: digits and what separates them, a plus before them, keys of a phone."""
    return bool(_NUMBER.fullmatch(text)) and any(char in "0123456789*#" for char in text)


def normal(text: str) -> str:
    """A number without its separators; anything else unchanged."""
    return text.translate(_SEPARATORS) if is_number(text) else text


def normal_pattern(pattern: str) -> str:
    """A pattern (`*`, `?` and `[...]` as in file names) of numbers without separators; any other unchanged."""
    parts = _BRACKETS.split(pattern)
    plain = "".join(parts[::2])
    if not _PATTERN.fullmatch(plain) or not any(char in "0123456789" for char in pattern):
        return pattern
    return "".join(part if i % 2 else part.translate(_SEPARATORS) for i, part in enumerate(parts))


def matches(dialled: str, pattern: str) -> bool:
    """Whether a number or name is one that the pattern stands for, both in their normal form."""
    return fnmatch.fnmatchcase(normal(dialled), normal_pattern(pattern))
