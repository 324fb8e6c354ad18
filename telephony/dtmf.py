"""The keys that a caller presses: read out of INFO, and told once though they may come by two ways at once. Pure."""

from __future__ import annotations

import re
from collections import deque
from typing import Literal

DigitVia = Literal["rtp", "info"]

DIGITS = "0123456789*#ABCD"
"""Keys by their event code, RFC 4733 section 3.2."""

DTMF_TYPES = ("application/dtmf", "application/dtmf-relay")
"""Types of INFO bodies with a key in it; no RFC has them."""

FLASH = ("16", "!", "R", "HF", "FLASH")
"""A hook flash, which is no key."""

_SIGNAL = re.compile(r"^\s*Signal\s*=\s*(\S+)", re.I | re.M)
_ALONE = re.compile(r"\s*(?:Signal\s*=\s*)?(\S+)", re.I)


def info_key(kind: str, content: str) -> str | None:
    """The key of an INFO: one of `DIGITS`; "" for a hook flash, None for what has no key in it.

    kind: application/dtmf (the bare key, or its event code) or application/dtmf-relay (a line "Signal=").
    """
    found = (_SIGNAL.search if kind == "application/dtmf-relay" else _ALONE.match)(content)
    said = found.group(1).upper() if found else ""
    if said in FLASH:
        return ""
    if said.isdecimal() and said.isascii() and len(said) <= 2 and int(said) < len(DIGITS):
        return DIGITS[int(said)]
    return said if len(said) == 1 and said in DIGITS else None


class Keypad:
    """Tells which of a call's keys are news. Some gateways send each as RTP events and in an INFO."""

    PAIR_S = 8.0
    """How much later the second way may tell a key: INFO comes when it is let go."""

    def __init__(self) -> None:
        self._open: deque[tuple[float, str, DigitVia]] = deque(maxlen=64)
        """Keys that the other way has not told yet."""
        self._info_cseq = -1

    def new_info(self, cseq: int) -> bool:
        """Whether an INFO with this CSeq is a new one, not one that was sent again."""
        if 0 <= cseq <= self._info_cseq:
            return False
        self._info_cseq = max(self._info_cseq, cseq)
        return True

    def pressed(self, digit: str, via: DigitVia, now: float) -> bool:
        """Count a key that was told by one way; whether it is a new press."""
        if digit not in DIGITS:
            return False
        while self._open and now - self._open[0][0] > self.PAIR_S:
            self._open.popleft()
        for told in self._open:
            if told[1] == digit and told[2] != via:
                self._open.remove(told)
                return False
        self._open.append((now, digit, via))
        return True
