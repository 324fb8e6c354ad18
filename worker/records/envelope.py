"""How loud both voices were, a byte a column: what a call's timeline draws without a recording.

An envelope has the rhythm of speech and none of its sound: no word and no voice can be had from it, and the tone of a
key that came as sound is a bar like any other, whichever key it was.

The audio's clock measures each frame (`telephony.bridge`); what came together since the last look is put where it was
heard. Whatever is done for each piece of audio instead costs several times as much: with hundreds of calls each object
that is touched is cold. On the event loop; pure, time is a parameter (s).
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["COLUMN_MS", "FRAME_MS", "LOUDEST", "MOST", "Envelope", "Levels"]

FRAME_MS = 20
"""One level of the telephone's."""
LOUDEST = 255
"""An RMS of -12 dB of full scale and more: shouting. Speech has some 50 to 150."""
COLUMN_MS = 40
"""Of an envelope that is still short."""
MOST = 6000
"""Columns of a voice: four minutes. Of a longer call they are twice as wide, and so on: 12 kB in all, however long."""
SLACK = 4
"""Frames: by so much a look may come early or late, and what it finds still follows what was there without a gap."""


@dataclass(frozen=True, slots=True)
class Levels:
    """An envelope as it stood at a moment: began_s by the call's clock, and a byte a column of both voices."""

    began_s: float
    column_ms: int
    caller: bytes
    agent: bytes


@dataclass(slots=True)
class _Voice:
    """One voice: its columns, and the frame after the last that is in them."""

    columns: bytearray = field(default_factory=bytearray)
    upto: int = 0

    def place(self, levels: bytes, end: int) -> tuple[int, bytes]:
        """Return where these frames begin and which of them count; `end` is the frame after the last of them.

        They follow the last ones where that is about right. Of more than there was time for the latest count.
        """
        begin = end - len(levels)
        if begin <= self.upto + SLACK:
            begin = self.upto
        levels = levels[max(0, begin + len(levels) - end - SLACK) :]
        self.upto = begin + len(levels)
        return begin, levels


class Envelope:
    """One call's."""

    def __init__(self, now: float) -> None:
        self.column_ms = COLUMN_MS
        self._began = now
        self._caller, self._agent = _Voice(), _Voice()

    def look(self, now: float, caller: bytes, agent: bytes) -> None:
        """Take how loud both were in each frame since the last look, up to now. To be called once in a second."""
        end = round((now - self._began) * 1000 / FRAME_MS)
        for voice, levels in ((self._caller, caller), (self._agent, agent)):
            if levels:
                self._merge(voice.columns, *voice.place(levels, end))

    def taken(self) -> Levels:
        """Return how it stood at the last look."""
        return Levels(self._began, self.column_ms, bytes(self._caller.columns), bytes(self._agent.columns))

    def _merge(self, columns: bytearray, begin: int, levels: bytes) -> None:
        """Put the levels of frames from this one on, behind the others. Of a column's halves the louder counts."""
        while (begin + len(levels)) * FRAME_MS > MOST * self.column_ms:
            self._widen()
        first, inside = divmod(begin * FRAME_MS, self.column_ms)
        levels = bytes(inside // FRAME_MS) + levels
        for _ in range((self.column_ms // FRAME_MS).bit_length() - 1):
            levels = _halved(levels)
        columns += bytes(max(0, first - len(columns)))
        if first < len(columns):
            levels = bytes((max(columns[first], levels[0]),)) + levels[1:]
        columns[first:] = levels

    def _widen(self) -> None:
        """Make the columns twice as wide."""
        for voice in (self._caller, self._agent):
            voice.columns[:] = _halved(voice.columns)
        self.column_ms *= 2


def _halved(levels: bytes | bytearray) -> bytes:
    """Return the louder of each two."""
    even = levels + bytes(len(levels) % 2)
    return bytes(map(max, even[::2], even[1::2]))
