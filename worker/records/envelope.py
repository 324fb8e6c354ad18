"""How loud both voices were, a byte for each tenth of a second: what a call's timeline draws without a recording.

An envelope has the rhythm of speech and none of its sound: no word and no voice can be had from it, and the tone of a
key that came as sound is a bar like any other, whichever key it was.

The caller's level is one that the call's own ears have measured anyhow; the agent's is measured as its audio is queued,
and put where it was heard once the playout says so. On the event loop; pure, time is a parameter (s).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from telephony.pcm import rms

__all__ = ["COLUMN_MS", "LOUDEST", "MOST", "Envelope", "Levels"]

COLUMN_MS = 100
MOST = 6000
"""Columns of a voice: ten minutes. Of a longer call they are twice as wide, and so on: 12 kB in all, however long."""
SHIFT = 5
"""From an RMS of 16-bit samples to a byte."""
LOUDEST = 255
"""An RMS of -12 dB of full scale and more: shouting. Speech has some 50 to 150."""
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
    """What was queued of an item: its levels by its own time, and what fills no column yet."""

    levels: bytearray = field(default_factory=bytearray)
    rest: bytearray = field(default_factory=bytearray)

    def measure(self, width: int) -> None:
        """Make levels of what fills columns of so many bytes."""
        whole = len(self.rest) - len(self.rest) % width
        for at in range(0, whole, width):
            if len(self.levels) < MOST:
                self.levels.append(_level(self.rest[at : at + width]))
        del self.rest[:whole]

    def between(self, first: int, last: int) -> bytearray:
        """Return the levels of these columns; the last of all may be still to be filled."""
        levels = self.levels[first:last]
        if first <= len(self.levels) < last and self.rest:
            levels.append(_level(self.rest))
        return levels


def _level(pcm: bytes | bytearray) -> int:
    return min(rms(pcm) >> SHIFT, LOUDEST)


class Envelope:
    """One call's."""

    def __init__(self, now: float) -> None:
        self.column_ms = COLUMN_MS
        self._began = now
        self._caller = bytearray()
        self._agent = bytearray()
        self._column = -1
        self._until = now
        """When the caller's column is full (s): a piece within it costs two comparisons."""
        self._rms = 0
        """The loudest of the caller's in this column."""
        self._items: OrderedDict[str, _Item] = OrderedDict()
        self._saying: tuple[str, float, int] | None = None
        """The item that is heard, since when, and from which of its own ms."""

    # --- what is told -------------------------------------------------------------------------------------------------

    def caller(self, now: float, level: int) -> None:
        """Take the RMS of the caller's next piece."""
        if now < self._until:
            if level > self._rms:
                self._rms = level
            return
        self._put(self._caller, self._column, self._rms >> SHIFT)
        self._column, self._rms = int((now - self._began) * 1000) // self.column_ms, level
        self._until = self._began + (self._column + 1) * self.column_ms / 1000

    def queued(self, item_id: str, pcm: bytes, rate_hz: int) -> None:
        """Take a piece of the agent's audio, in order, before anybody hears it: 16-bit mono PCM."""
        item = self._items.get(item_id)
        if item is None:
            item = self._items[item_id] = _Item()
            if len(self._items) > ITEMS:
                self._items.popitem(last=False)
        item.rest += pcm
        width = rate_hz * COLUMN_MS // 1000 * 2
        if len(item.rest) >= width:  # a column at a time: a piece of 40 ms costs an append
            item.measure(width)

    def moved(self, now: float, item_id: str | None, heard_ms: int) -> None:
        """Another item is heard now, from this ms of its own on; None: nothing is."""
        if self._saying is not None:
            self._lay(self._agent, self._saying, now)
        self._saying = None if item_id is None else (item_id, now, heard_ms)

    # --- what is kept -------------------------------------------------------------------------------------------------

    def taken(self, now: float) -> Levels:
        """Return how it stands."""
        caller, agent = bytearray(self._caller), bytearray(self._agent)
        if self._saying is not None:
            self._lay(agent, self._saying, now, fold=False)
        if self._rms and 0 <= self._column < MOST:
            self._set(caller, self._column, self._rms >> SHIFT)
        return Levels(self._began, self.column_ms, bytes(caller), bytes(agent))

    def _lay(self, side: bytearray, saying: tuple[str, float, int], now: float, *, fold: bool = True) -> None:
        """Put what was heard of an item where it was heard."""
        item_id, since, heard_ms = saying
        item = self._items.get(item_id)
        if item is None:
            return
        first = heard_ms // COLUMN_MS
        last = -(-(heard_ms + int((now - since) * 1000)) // COLUMN_MS)
        at_ms = (since - self._began) * 1000
        if self.column_ms == COLUMN_MS and (column := int(at_ms) // COLUMN_MS) + last - first < MOST:
            levels = item.between(first, last)  # all at once: it is done for every word of the agent's
            side.extend(bytes(max(0, column - len(side))))
            over = len(side) - column
            levels[:over] = map(max, levels[:over], side[column:])
            side[column : column + len(levels)] = levels
            return
        for index, level in enumerate(item.between(first, last), first):
            column = int(at_ms + max(0, index * COLUMN_MS - heard_ms)) // self.column_ms
            if fold:
                self._put(side, column, level)
            elif column < MOST:
                self._set(side, column, level)

    def _put(self, side: bytearray, column: int, level: int) -> None:
        while column >= MOST:
            column //= 2
            self._fold()
        if column >= 0:
            self._set(side, column, level)

    @staticmethod
    def _set(side: bytearray, column: int, level: int) -> None:
        if column >= len(side):
            side.extend(bytes(column + 1 - len(side)))
        side[column] = max(side[column], min(level, LOUDEST))

    def _fold(self) -> None:
        """Make the columns twice as wide."""
        for side in (self._caller, self._agent):
            side += bytes(len(side) % 2)
            side[:] = bytes(map(max, side[::2], side[1::2]))
        self.column_ms *= 2
        self._column //= 2
