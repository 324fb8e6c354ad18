"""Models whose end their provider has announced: a small table, with the date of each. Pure; today is a parameter.

As of November 2026, from the providers' lists of deprecations.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Final

__all__ = ["ENDS", "ending"]

ENDS: Final[Mapping[str, tuple[datetime.date, str]]] = {
    "gpt-realtime": (datetime.date(2027, 1, 20), "gpt-realtime-2.1"),
    "gpt-realtime-mini": (datetime.date(2027, 1, 20), "gpt-realtime-2.1"),
    "gpt-4o-mini-transcribe": (datetime.date(2027, 2, 26), "gpt-transcribe"),
}
"""Name -> the day from which it is no more, and what to take in its place."""
SNAPSHOT: Final = re.compile(r"-\d{4}-\d{2}-\d{2}$")


def ending(model: str, today: datetime.date) -> tuple[str, str] | None:
    """Return what is to be said of a model's end, and what to do; None where none is announced.

    A dated snapshot (`gpt-realtime-2025-08-28`) ends with its model.
    """
    found = ENDS.get(SNAPSHOT.sub("", model))
    if found is None:
        return None
    day, successor = found
    words = f"{model} is switched off on {day}" if today < day else f"{model} was switched off on {day}"
    return words, successor
