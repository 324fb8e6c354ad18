"""What stands between pjmedia's clock thread and the event loop for one call: both directions' audio, in bytes.

The clock's thread pushes the caller's frames and pulls the agent's, once per ptime each; one other, the loop's, does
the rest. They share one lock, held for a handful of operations on memory: no copy of audio but a frame's, no I/O, no
logging, no waiting for anything else within it.

This is the queue in Python, for any build of pjsua2. native/frame_queue.hpp is the same in C++, for our own build; both
pass the same tests, and `Bridge` gives either its units.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from telephony.pcm import level_of
from telephony.track import Track, stereo

__all__ = ["FrameQueue", "Queue", "Tap"]

REMEMBERED = 64
"""Items whose heard bytes can still be asked for. More are kept only while they have audio queued."""
LEVELS = 500
"""Frames whose loudness is kept until it is taken: ten seconds."""
PAUSE_S = 1.0
"""Pulls further apart than this were stopped (a call on hold), not late."""


class Tap(Protocol):
    """Listens in on the clock thread: must keep the bytes and return."""

    def received(self, frame: bytes) -> None:
        """One frame came from the caller."""

    def sent(self, frame: bytes) -> None:
        """One frame goes to the caller."""


class Queue(Protocol):
    """What a FrameQueue does, in whichever language. All counts are of bytes or frames, since the beginning."""

    def push(self, frame: bytes) -> None:
        """Take a frame of the caller's; when the queue is full its oldest frame goes. On the clock thread."""

    def pull(self) -> bytes:
        """Return the next frame for the caller, silence where there is none. On the clock thread."""

    def take(self) -> bytes:
        """Return all of the caller's audio that waits, in order; b"" if none does."""

    def play(self, item_id: str, pcm: bytes) -> bool:
        """Queue audio of an item: behind its own while it is queued, else behind everything. False if refused."""

    def end_item(self, item_id: str) -> None:
        """No more audio comes for this item."""

    def pause(self, paused: bool) -> None:
        """Pull silence, whatever is queued, until told otherwise or flushed. Nothing is dropped, or counts as heard."""

    def flush(self) -> list[tuple[str, int, int, bool]]:
        """Drop what was not pulled; returns of each item id, bytes heard, bytes received, and if it was complete."""

    def playing(self) -> str | None:
        """The item whose audio the next pull will return."""

    def heard(self, item_id: str) -> int:
        """Bytes of an item that were pulled; 0 for one that is not known (any more)."""

    def received(self, item_id: str) -> int:
        """Bytes of an item that were queued in all; 0 for one that is not known (any more)."""

    def set_tap(self, tap: Tap | None) -> None:
        """Who gets a copy of both directions, on the clock thread."""

    def record(self, limit_ticks: int) -> None:
        """Keep both directions from now on (`Track`), at most so many ticks of the clock until they are taken."""

    def mute_record(self, muted: bool) -> None:
        """Keep silence of the same length in place of both directions, until told otherwise."""

    def take_record(self, last: bool) -> tuple[bytes, int]:
        """Return what was kept since the last time, as stereo samples, and how many ticks were lost in all.

        last: the caller's half of the newest tick won't come any more.
        """

    def take_levels(self) -> tuple[bytes, bytes]:
        """Return how loud the caller's and the agent's frames were since the last time, a byte each (`pcm.level_of`).

        They are kept from the first time on, the latest 500.
        """

    def worst_lateness_s(self) -> float:
        """Return how late a pull was at the worst since the last time this was asked."""

    def edges(self) -> int:
        """Grows whenever `playing` may tell something else than before."""

    def underruns(self) -> int:
        """How often playout ran dry within an item that had begun and not ended."""

    def pushed_frames(self) -> int:
        """Frames of the caller's."""

    def pulled_frames(self) -> int:
        """Frames that went to the caller, silence too."""

    def dropped_in_frames(self) -> int:
        """Frames of the caller's that nobody took in time."""

    def queued_bytes(self) -> int:
        """The agent's audio that was not pulled yet."""

    def refused_out_bytes(self) -> int:
        """The agent's audio that was refused because the queue was full."""


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


class FrameQueue:
    """A `Queue` in Python. The limits are in frames (in) and bytes (out)."""

    def __init__(self, frame_bytes: int, frame_s: float, in_limit_frames: int, out_limit_bytes: int) -> None:
        self._frame_bytes = frame_bytes
        self._frame_s = frame_s
        self._silence = bytes(frame_bytes)
        self._in: deque[bytes] = deque()
        self._in_limit = in_limit_frames
        self._out_limit = out_limit_bytes
        self._lock = threading.Lock()
        self._queue: deque[_Item] = deque()
        self._items: dict[str, _Item] = {}
        self._tap: Tap | None = None
        self._track: Track | None = None
        self._levels: tuple[deque[int], deque[int]] | None = None
        self._queued = 0
        self._paused = False
        self._refused_out = 0
        self._edges = 0
        self._underruns = 0
        self._pushed = 0
        self._pulled = 0
        self._dropped_in = 0
        self._last_pull = 0.0
        self._worst_late_s = 0.0

    # --- the clock thread ---------------------------------------------------------------------------------------------

    def push(self, frame: bytes) -> None:
        """Take a frame of the caller's. When the queue is full its oldest frame goes."""
        with self._lock:
            self._pushed += 1
            if len(self._in) >= self._in_limit:
                self._in.popleft()
                self._dropped_in += 1
            self._in.append(frame)
            if self._track is not None:
                self._track.received(frame)
            if self._levels is not None:
                self._levels[0].append(level_of(frame))
        tap = self._tap
        if tap is not None:
            tap.received(frame)

    def pull(self) -> bytes:
        """Return the next frame for the caller, silence where there is none. The playout clock moves by one ptime."""
        now = time.monotonic()
        late = now - self._last_pull - self._frame_s
        if self._worst_late_s < late < PAUSE_S:
            self._worst_late_s = late
        self._last_pull = now
        with self._lock:
            self._pulled += 1
            frame = self._next_frame() if self._queue and not self._paused else self._silence
            if self._track is not None:
                self._track.sent(frame)
            if self._levels is not None:
                self._levels[1].append(0 if frame is self._silence else level_of(frame))
        tap = self._tap
        if tap is not None:
            tap.sent(frame)
        return frame

    def _next_frame(self) -> bytes:
        """Fill one frame from the front of the queue. An item with another behind it has ended, said or not."""
        queue, want, frame = self._queue, self._frame_bytes, b""
        while queue:
            item = queue[0]
            last = len(queue) == 1
            if item.left >= want:
                item.dry = False
                self._queued -= want
                frame = frame + item.take(want) if frame else item.take(want)
                if item.left < self._frame_bytes:
                    self._edges += 1
                    if not item.left and not last:
                        self._leave()
                return frame
            if last and not item.ended:
                # Less than a frame waits for more: a gap in mid item is heard, half a frame and a gap is heard twice.
                if item.heard and not item.dry and not frame:
                    item.dry = True
                    self._underruns += 1
                break
            part = item.left
            if part:
                want -= part
                self._queued -= part
                frame += item.take(part)
                self._edges += 1
                if last:
                    break  # the next pull lets it go: until then a flush says that it was complete
            self._leave()
        return frame + bytes(want) if frame else self._silence

    def _leave(self) -> None:
        self._queue.popleft().queued = False
        self._edges += 1

    # --- the loop -----------------------------------------------------------------------------------------------------

    def take(self) -> bytes:
        """Return all of the caller's audio that waits, in order; b"" if none does."""
        with self._lock:
            if not self._in:
                return b""
            frames, self._in = self._in, deque()
        return b"".join(frames)

    def play(self, item_id: str, pcm: bytes) -> bool:
        """Queue audio of an item, of whole samples."""
        self._edges += 1
        if not pcm:
            return True
        with self._lock:
            item = self._items.get(item_id) or self._remember(item_id)
            if item.refused or self._queued + len(pcm) > self._out_limit:
                item.refused = True
                self._refused_out += len(pcm)
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
        """No more audio comes for this item."""
        with self._lock:
            item = self._items.get(item_id)
            if item is not None:
                item.ended = True
                self._edges += 1

    def pause(self, paused: bool) -> None:
        """Pull silence, whatever is queued, until told otherwise or flushed."""
        with self._lock:
            self._paused = paused
            self._edges += 1

    def flush(self) -> list[tuple[str, int, int, bool]]:
        """Drop what was not pulled."""
        with self._lock:
            queue, self._queue = self._queue, deque()
            flushed = [(item.item_id, item.heard, item.received, item.ended and not item.left) for item in queue]
            dropped = [item.cut() for item in queue]
            self._queued = 0
            self._paused = False
            self._edges += 1
            for item in self._items.values():
                item.refused = False
        del dropped  # minutes of audio may be freed: not within the lock
        return flushed

    def heard(self, item_id: str) -> int:
        """Bytes of an item that were pulled."""
        item = self._items.get(item_id)
        return 0 if item is None else item.heard

    def received(self, item_id: str) -> int:
        """Bytes of an item that were queued in all."""
        item = self._items.get(item_id)
        return 0 if item is None else item.received

    def playing(self) -> str | None:
        """The item whose audio the next pull will return; None when that will be silence."""
        with self._lock:
            last = len(self._queue) - 1
            for number, item in enumerate(self._queue):
                if item.left >= self._frame_bytes or (item.left and (item.ended or number < last)):
                    return item.item_id
            return None

    def set_tap(self, tap: Tap | None) -> None:
        """Who gets a copy of both directions."""
        self._tap = tap

    def record(self, limit_ticks: int) -> None:
        """Keep both directions from now on."""
        self._track = Track(self._frame_bytes, limit_ticks)

    def mute_record(self, muted: bool) -> None:
        """Keep silence of the same length."""
        with self._lock:
            if self._track is not None:
                self._track.mute(muted)

    def take_record(self, last: bool) -> tuple[bytes, int]:
        """Return what was kept since the last time, and how many ticks were lost in all."""
        if self._track is None:
            return b"", 0
        with self._lock:
            ticks, lost = self._track.take(last)
        return stereo(ticks, self._frame_bytes), lost

    def take_levels(self) -> tuple[bytes, bytes]:
        """Return how loud the frames of both directions were since the last time."""
        with self._lock:
            taken, self._levels = self._levels, (deque(maxlen=LEVELS), deque(maxlen=LEVELS))
        return (bytes(taken[0]), bytes(taken[1])) if taken is not None else (b"", b"")

    def edges(self) -> int:
        """Grows whenever `playing` may tell something else than before."""
        return self._edges

    def underruns(self) -> int:
        """How often playout ran dry in mid item."""
        return self._underruns

    def pushed_frames(self) -> int:
        """Frames of the caller's."""
        return self._pushed

    def pulled_frames(self) -> int:
        """Frames that went to the caller."""
        return self._pulled

    def dropped_in_frames(self) -> int:
        """Frames of the caller's that nobody took in time."""
        return self._dropped_in

    def queued_bytes(self) -> int:
        """The agent's audio that was not pulled yet."""
        return self._queued

    def refused_out_bytes(self) -> int:
        """The agent's audio that was refused."""
        return self._refused_out

    def worst_lateness_s(self) -> float:
        """Return how late a pull was at the worst since the last time this was asked."""
        worst, self._worst_late_s = self._worst_late_s, 0.0
        return worst

    def _remember(self, item_id: str) -> _Item:
        """Make a new item, and let go of the oldest that are not queued, beyond what is remembered."""
        surplus = len(self._items) + 1 - REMEMBERED
        if surplus > 0:
            for old in [item for item in self._items.values() if not item.queued][:surplus]:
                del self._items[old.item_id]
        item = self._items[item_id] = _Item(item_id)
        return item
