"""The audio of one call between pjmedia's clock thread and the event loop, with the playout clock.

One thread, the clock's, pushes the caller's frames and pulls the agent's, once per ptime each; one other, the loop's,
takes and plays. They share one lock, held for a handful of operations on memory: no copy of audio but a frame's, no
I/O, no logging, no waiting for anything else within it. So a flush is a point in time: what was pulled before it counts
as heard, and nothing that was queued before it is ever pulled after it.

Both queues are bounded. In: the oldest frame is dropped, since late audio is of no use. Out: the newest is refused,
since what was queued first has to be heard first; and what follows in the same item is refused too, so that what is
heard of an item is always its beginning and the heard ms mean a place in it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["Bridge", "Flushed", "Tap"]

REMEMBERED = 64
"""Items whose heard ms can still be asked for. More are kept only while they have audio queued."""
PAUSE_S = 1.0
"""Pulls further apart than this were stopped (a call on hold), not late."""


class Tap(Protocol):
    """Listens in on the clock thread: must keep the bytes and return."""

    def received(self, frame: bytes) -> None:
        """One frame came from the caller."""

    def sent(self, frame: bytes) -> None:
        """One frame goes to the caller."""


@dataclass(frozen=True, slots=True)
class Flushed:
    """An item that stood in the queue at a flush. All in whole ms of the item's own audio."""

    item_id: str
    """The item."""
    heard_ms: int
    """How much of it was sent to the caller."""
    received_ms: int
    """How much of it had been queued in all."""
    complete: bool
    """It had ended and the last pull sent the end of it: nothing was cut."""


@dataclass(slots=True)
class _Item:
    """One item's audio. Lengths are in bytes."""

    item_id: str
    pieces: deque[bytes] = field(default_factory=deque)
    """As they were played; gone as soon as they are sent, so that a long answer holds no memory twice."""
    at: int = 0
    """Where in the first piece the next frame begins."""
    left: int = 0
    """Queued and not sent yet."""
    heard: int = 0
    """Sent in all."""
    received: int = 0
    """Queued in all."""
    queued: bool = False
    """It stands in the bridge's queue."""
    ended: bool = False
    dry: bool = False
    """The last pull found too little of it: counted once a gap."""
    refused: bool = False
    """Some of it did not fit; none of what follows would continue what is heard."""

    def add(self, pcm: bytes) -> None:
        self.pieces.append(pcm)
        self.left += len(pcm)
        self.received += len(pcm)
        self.ended = False

    def take(self, nbytes: int) -> bytes:
        """Send so many bytes, of those that are left."""
        self.left -= nbytes
        self.heard += nbytes
        taken = []
        while nbytes:
            piece = self.pieces[0]
            part = piece[self.at : self.at + nbytes]
            self.at += len(part)
            nbytes -= len(part)
            if self.at == len(piece):
                self.pieces.popleft()
                self.at = 0
            taken.append(part)
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def cut(self) -> deque[bytes]:
        """Drop what is left, and hand it out so that it is freed outside the lock."""
        pieces, self.pieces = self.pieces, deque()
        self.at = self.left = 0
        self.ended, self.queued, self.dry = True, False, False
        return pieces


class Bridge:
    """One call's audio: 16-bit little-endian mono PCM at `rate_hz`, in frames of `ptime_ms`.

    `in_limit_ms` bounds the caller's audio that nobody took, `out_limit_ms` the agent's that was not sent.
    """

    def __init__(
        self, rate_hz: int = 8000, *, ptime_ms: int = 20, in_limit_ms: int = 1000, out_limit_ms: int = 120_000
    ) -> None:
        self.rate_hz = rate_hz
        self.ptime_ms = ptime_ms
        self.frame_bytes = rate_hz * ptime_ms // 1000 * 2
        self.codec = ""
        """The call's codec as SDP names it: by the offer at first, then as negotiated; "" while that is not known."""
        self.tap: Tap | None = None
        """Gets a copy of both directions, on the clock thread."""
        self.underruns = 0
        """How often playout ran dry within an item that had begun and not ended."""
        self.dropped_in_frames = 0
        """The caller's frames that were dropped because nobody took them in time."""
        self.refused_out_ms = 0.0
        """The agent's audio that was refused because the queue was full."""
        self.edges = 0
        """Grows whenever `playing` may tell something else than before: who looks often looks at this first."""
        self.pushed_frames = 0
        self.pulled_frames = 0
        self._silence = bytes(self.frame_bytes)
        self._bytes_per_ms = rate_hz * 2 / 1000
        self._in: deque[bytes] = deque()
        self._in_limit = max(1, in_limit_ms // ptime_ms)
        self._out_limit = int(out_limit_ms * self._bytes_per_ms)
        self._lock = threading.Lock()
        self._queue: deque[_Item] = deque()
        self._items: dict[str, _Item] = {}
        self._queued = 0
        self._last_pull = 0.0
        self._worst_late_s = 0.0

    # --- the clock thread ---------------------------------------------------------------------------------------------

    def push(self, frame: bytes) -> None:
        """Take a frame of the caller's. When the queue is full its oldest frame goes."""
        with self._lock:
            self.pushed_frames += 1
            if len(self._in) >= self._in_limit:
                self._in.popleft()
                self.dropped_in_frames += 1
            self._in.append(frame)
        tap = self.tap
        if tap is not None:
            tap.received(frame)

    def pull(self) -> bytes:
        """Return the next frame for the caller, silence where there is none. The playout clock moves by one ptime."""
        now = time.monotonic()
        late = now - self._last_pull - self.ptime_ms / 1000
        if self._worst_late_s < late < PAUSE_S:
            self._worst_late_s = late
        self._last_pull = now
        with self._lock:
            self.pulled_frames += 1
            frame = self._next_frame() if self._queue else self._silence
        tap = self.tap
        if tap is not None:
            tap.sent(frame)
        return frame

    def _next_frame(self) -> bytes:
        """Fill one frame from the front of the queue. An item with another behind it has ended, said or not."""
        queue, want, frame = self._queue, self.frame_bytes, b""
        while queue:
            item = queue[0]
            last = len(queue) == 1
            if item.left >= want:
                item.dry = False
                self._queued -= want
                frame = frame + item.take(want) if frame else item.take(want)
                if item.left < self.frame_bytes:
                    self.edges += 1
                    if not item.left and not last:
                        self._leave()
                return frame
            if last and not item.ended:
                # Less than a frame waits for more: a gap in mid item is heard, half a frame and a gap is heard twice.
                if item.heard and not item.dry and not frame:
                    item.dry = True
                    self.underruns += 1
                break
            part = item.left
            if part:
                want -= part
                self._queued -= part
                frame += item.take(part)
                self.edges += 1
                if last:
                    break  # the next pull lets it go: until then a flush says that it was complete
            self._leave()
        return frame + bytes(want) if frame else self._silence

    def _leave(self) -> None:
        self._queue.popleft().queued = False
        self.edges += 1

    # --- the loop -----------------------------------------------------------------------------------------------------

    def take(self) -> bytes:
        """Return all of the caller's audio that waits, in order; b"" if none does."""
        with self._lock:
            if not self._in:
                return b""
            frames, self._in = self._in, deque()
        return b"".join(frames)

    def play(self, item_id: str, pcm: bytes) -> bool:
        """Queue audio of an item: behind its own while it is queued, else behind everything. False if it was refused.

        Raises ValueError for half a sample, which would make noise of all that follows.
        """
        if len(pcm) & 1:
            raise ValueError(f"{len(pcm)} bytes are no whole number of 16-bit samples: cut the audio at even offsets")
        self.edges += 1
        if not pcm:
            return True
        with self._lock:
            item = self._items.get(item_id) or self._remember(item_id)
            if item.refused or self._queued + len(pcm) > self._out_limit:
                item.refused = True
                self.refused_out_ms += len(pcm) / self._bytes_per_ms
                return False
            if item.queued and item.ended and not item.left:
                self._leave()  # sent to its end, so it is the first; this is a new beginning
            if not item.queued:
                item.queued, item.dry = True, False
                self._queue.append(item)
            item.add(pcm)
            self._queued += len(pcm)
        return True

    def end_item(self, item_id: str) -> None:
        """No more audio comes for this item: its last, partial frame is padded and sent. Unknown ones are ignored.

        From here on running dry is no underrun, until more of the item is played all the same.
        """
        with self._lock:
            item = self._items.get(item_id)
            if item is not None:
                item.ended = True
                self.edges += 1

    def flush(self) -> list[Flushed]:
        """Drop everything that was not pulled yet: from now on pulls return silence, until more is played.

        Returns the items that stood in the queue, in order: those with audio left, one that was sent as far as it came
        but has not ended, and one that the last pull sent to its end (complete).
        """
        with self._lock:
            queue, self._queue = self._queue, deque()
            flushed = [self._flushed(item) for item in queue]
            dropped = [item.cut() for item in queue]
            self._queued = 0
            self.edges += 1
            for item in self._items.values():
                item.refused = False
        del dropped  # minutes of audio may be freed: not within the lock
        return flushed

    def _flushed(self, item: _Item) -> Flushed:
        complete = item.ended and not item.left
        return Flushed(item.item_id, self._ms(item.heard), self._ms(item.received), complete)

    def heard_ms(self, item_id: str) -> int:
        """How much of an item was sent to the caller; 0 for one that is not known (any more)."""
        item = self._items.get(item_id)
        return 0 if item is None else self._ms(item.heard)

    def received_ms(self, item_id: str) -> int:
        """How much of an item was queued in all; 0 for one that is not known (any more)."""
        item = self._items.get(item_id)
        return 0 if item is None else self._ms(item.received)

    def playing(self) -> str | None:
        """The item whose audio the next pull will return; None when that will be silence."""
        with self._lock:
            last = len(self._queue) - 1
            for number, item in enumerate(self._queue):
                if item.left >= self.frame_bytes or (item.left and (item.ended or number < last)):
                    return item.item_id
            return None

    @property
    def queued_ms(self) -> int:
        """The agent's audio that was not pulled yet."""
        return self._ms(self._queued)

    @property
    def clock_ms(self) -> int:
        """The playout clock: ms pulled since the beginning."""
        return self.pulled_frames * self.ptime_ms

    def worst_lateness_s(self) -> float:
        """Return how late a pull was at the worst since the last time this was asked."""
        worst, self._worst_late_s = self._worst_late_s, 0.0
        return worst

    def _ms(self, nbytes: int) -> int:
        return int(nbytes / self._bytes_per_ms)

    def _remember(self, item_id: str) -> _Item:
        """Make a new item, and let go of the oldest that are not queued, beyond what is remembered."""
        surplus = len(self._items) + 1 - REMEMBERED
        if surplus > 0:
            for old in [item for item in self._items.values() if not item.queued][:surplus]:
                del self._items[old.item_id]
        item = self._items[item_id] = _Item(item_id)
        return item
