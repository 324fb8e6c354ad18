"""Why a call was refused, or ended, in the words of the telephone network: the Reason header (RFC 3326). Pure."""

from __future__ import annotations

import re

from telephony.sip.message import header

_Q850 = re.compile(r"(?:^|,)\s*Q\.850\s*;[^,]*?\bcause\s*=\s*(\d{1,3})\b", re.I)


def q850_cause(message: str) -> int | None:
    """Return the cause of ITU-T Q.850 that a message tells (17: busy), 1 to 127; None where it tells none."""
    found = _Q850.search(header(message, "Reason"))
    cause = int(found[1]) if found else 0
    return cause if 1 <= cause <= 127 else None
