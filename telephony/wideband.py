"""At what rate a call's audio is carried: 8 kHz, or 16 kHz where G.722 is to be expected and the build has the way.

The conference runs at 8 kHz, so that a call of G.711 is resampled nowhere. Our own build leads a stream of 16 kHz past
it (native/wide_line.hpp). A call's rate is settled before its first frame and stays: a codec of the other width that a
new offer brings is converted in the conference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from telephony.binding import pj
from telephony.frame_queue import Queue

__all__ = ["HAS_WIDE", "NARROW_HZ", "WIDE_HZ", "WideLine", "new_line", "rate_of"]

NARROW_HZ = 8000
WIDE_HZ = 16000
HAS_WIDE = hasattr(pj, "WideLine")
"""Whether this build can carry 16 kHz; with any other G.722 comes and goes at 8 kHz."""


class WideLine(Protocol):
    """What leads one call's streams of 16 kHz past the conference. On the pj thread."""

    def splice(self, given: pj.OnStreamCreatedParam) -> bool:
        """Stand in front of a stream that was made, where it is one at 16 kHz; returns whether."""

    def attach(self, queue: Queue) -> None:
        """Move this queue's frames, of 20 ms at 16 kHz, from now on."""

    def detach(self) -> None:
        """Move nobody's; no frame is under way any more. The conference hears the stream, and is heard, at 8 kHz."""


def new_line(rate_hz: int) -> WideLine | None:
    """What a call with this rate needs; None where that is the conference alone."""
    if rate_hz != WIDE_HZ or not HAS_WIDE:
        return None
    made: Any = pj.WideLine()
    line: WideLine = made
    return line


def rate_of(offered: str, codecs: Sequence[str]) -> int:
    """The rate in Hz of a call whose answer will begin with this codec; "": the offer is ours, of these in order."""
    expected = offered or (codecs[0] if codecs else "")
    return WIDE_HZ if HAS_WIDE and expected == "G722" else NARROW_HZ
