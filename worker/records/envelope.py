"""How loud both voices were, a byte for each 40 ms: what a call's timeline draws without a recording.

An envelope has the rhythm of speech and none of its sound: no word and no voice can be had from it, and the tone of a
key that came as sound is a bar like any other, whichever key it was.

The caller's levels are those that the call's own ears have measured anyhow, a byte a piece: a column is as long as a
piece, so that they are put where they belong once a second, all at once. The agent's are measured as its audio is
queued, and put where it was heard once the playout says so. With hundreds of calls each object that a piece touches is
cold, which costs more than what is done with it. On the event loop; pure, time is a parameter (s).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from telephony.pcm import rms

__all__ = ["COLUMN_MS", "LOUDEST", "MOST", "Envelope", "Levels", "level_of"]

COLUMN_MS = 40
"""The caller's audio is taken once in so many ms (`service.pacer`), and most providers' pieces are no shorter."""
MOST = 6000
"""Columns of a voice: four minutes. Of a longer call they are twice as wide, and so on: 12 kB in all, however long."""
SHIFT = 5
"""From an RMS of 16-bit samples to a byte."""
LOUDEST = 255
"""An RMS of -12 dB of full scale and more: shouting. Speech has some 50 to 150."""
SLACK = 2
"""Columns: by so much pieces may come early or late and still follow each other without a gap."""
LONGEST = 15_000
"""Columns of an item: ten minutes without a pause."""
AT_ONCE = 2
"""Columns of the agent's that are measured together, by the piece that fills them: half the work."""
ITEMS = 16
"""Items whose levels wait for their playout: fillers and answers that are queued behind each other."""


@dataclass(frozen=True, slots=True)
class Levels:
    """An envelope as it stood at a moment: began_s by the call's clock, and a byte a column of both voices."""

    began_s: float
    column_ms: int
    caller: bytes
    agent: bytes


@dataclass(slots=True)
class _Item:
    """What was queued of an item: its levels by its own time, and the last piece."""

    width: int
    """Bytes of a column."""
    nbytes: int = 0
    levels: bytearray = field(default_factory=bytearray)
    last: bytes = b""

    def add(self, pcm: bytes) -> None:
        """Take the next piece. Once `AT_ONCE` columns are full they get the level of this one."""
        self.nbytes += len(pcm)
        self.last = pcm
        full = self.nbytes // self.width - len(self.levels)
        if full >= AT_ONCE and len(self.levels) < LONGEST:
            self.levels.extend((level_of(rms(pcm)),) * full)

    def between(self, first: int, last: int) -> bytearray:
        """Return the levels of these columns; the latest may have none yet."""
        levels = self.levels[first:last]
        end = min(last, -(-self.nbytes // self.width), LONGEST)
        if (more := end - max(first, len(self.levels))) > 0:
            levels.extend((level_of(rms(self.last)),) * more)
        return levels


def level_of(loudness: int) -> int:
    """Return the byte of an RMS of 16-bit samples."""
    return min(loudness >> SHIFT, LOUDEST)


class Envelope:
    """One call's."""

    def __init__(self, now: float) -> None:
        self.column_ms = COLUMN_MS
        self._began = now
        self._caller = bytearray()
        self._agent = bytearray()
        self.pieces = bytearray()
        """The caller's latest, a byte for each `COLUMN_MS` as it is taken; whoever hears them appends."""
        self._upto = 0
        """Where the caller's last piece ends, in columns of `COLUMN_MS`."""
        self._items: OrderedDict[str, _Item] = OrderedDict()
        self._saying: tuple[str, float, int] | None = None
        """The item that is heard, since when, and from which of its own ms."""

    # --- what is told -------------------------------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """Put the caller's pieces where they were said: one after the other up to now. To be called once in a second.

        A piece that was taken late lies later, by as much. Of more pieces than there was time for the latest count.
        """
        if not (count := len(self.pieces)):
            return
        end = round((now - self._began) * 1000 / COLUMN_MS)
        begin = end - count if end - count > self._upto + SLACK else self._upto
        latest = self.pieces[max(0, begin + count - end - SLACK) :]
        self.pieces.clear()
        self._merge(self._caller, begin, latest)
        self._upto = begin + len(latest)

    def queued(self, item_id: str, pcm: bytes, rate_hz: int) -> None:
        """Take a piece of the agent's audio, in order, before anybody hears it: 16-bit mono PCM."""
        item = self._items.get(item_id)
        if item is None:
            item = self._items[item_id] = _Item(rate_hz * COLUMN_MS // 1000 * 2)
            if len(self._items) > ITEMS:
                self._items.popitem(last=False)
        if len(pcm) <= AT_ONCE * item.width:
            item.add(pcm)
        else:
            for at in range(0, len(pcm), item.width):
                item.add(pcm[at : at + item.width])

    def moved(self, now: float, item_id: str | None, heard_ms: int) -> None:
        """Another item is heard now, from this ms of its own on; None: nothing is."""
        if self._saying is not None:
            self._lay(self._saying, now)
        self._saying = None if item_id is None else (item_id, now, heard_ms)

    # --- what is kept -------------------------------------------------------------------------------------------------

    def taken(self, now: float) -> Levels:
        """Return how it stands."""
        self.look(now)
        if self._saying is not None:
            self._lay(self._saying, now)
        return Levels(self._began, self.column_ms, bytes(self._caller), bytes(self._agent))

    def _lay(self, saying: tuple[str, float, int], now: float) -> None:
        """Put what was heard of an item where it was heard. Once more, and further, changes nothing of it."""
        item_id, since, heard_ms = saying
        item = self._items.get(item_id)
        if item is not None:
            last = -(-(heard_ms + int((now - since) * 1000)) // COLUMN_MS)
            begin = int((since - self._began) * 1000) // COLUMN_MS
            self._merge(self._agent, begin, item.between(heard_ms // COLUMN_MS, last))

    def _merge(self, side: bytearray, begin: int, levels: bytearray) -> None:
        """Put levels from this column on, both of `COLUMN_MS`. Where there are some the louder are kept."""
        while (begin + len(levels)) * COLUMN_MS > MOST * self.column_ms:
            self._widen()
        first, inside = divmod(begin * COLUMN_MS, self.column_ms)
        levels[:0] = bytes(inside // COLUMN_MS)
        for _ in range((self.column_ms // COLUMN_MS).bit_length() - 1):
            levels = _halved(levels)
        side += bytes(max(0, first - len(side)))
        over = len(side) - first
        levels[:over] = map(max, levels[:over], side[first:])
        side[first : first + len(levels)] = levels

    def _widen(self) -> None:
        """Make the columns twice as wide."""
        for side in (self._caller, self._agent):
            side[:] = _halved(side)
        self.column_ms *= 2


def _halved(levels: bytearray) -> bytearray:
    """Return the louder of each two."""
    even = levels + bytes(len(levels) % 2)
    return bytearray(map(max, even[::2], even[1::2]))
