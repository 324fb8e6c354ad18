"""The audio of one call between pjmedia's clock thread and the event loop, with the playout clock.

The clock thread pushes the caller's frames and pulls the agent's, once per ptime; the loop takes and plays. Both sides
hold one lock for a handful of operations on memory: no I/O, no logging, no waiting for anything else within it.

Both queues are bounded. In: the oldest frame is dropped, since late audio is of no use. Out: the newest audio is
refused, since what was queued first has to be heard first.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["Bridge", "Flushed", "Tap"]

REMEMBERED = 64
"""Items whose playout is over and whose heard ms can still be asked for."""
COMPACT_BYTES = 64 * 1024


class Tap(Protocol):
    """Listens in on the clock thread: must copy or keep the bytes and return."""

    def received(self, frame: bytes) -> None:
        """One frame came from the caller."""

    def sent(self, frame: bytes) -> None:
        """One frame goes to the caller."""


@dataclass(frozen=True, slots=True)
class Flushed:
    """An item that was cut off."""

    item_id: str
    """The item."""
    heard_ms: int
    """How much of it was sent to the caller."""
    received_ms: int
    """How much of it had been queued in all."""
    complete: bool
    """Whether it had been sent to its end."""


@dataclass(slots=True)
class _Item:
    item_id: str
    data: bytearray = field(default_factory=bytearray)
    at: int = 0
    """Where in `data` the next frame begins."""
    heard: int = 0
    """Bytes sent in all."""
    received: int = 0
    """Bytes queued in all."""
    ended: bool = False
    dry: bool = False

    def take(self, nbytes: int) -> bytes:
        piece = bytes(self.data[self.at : self.at + nbytes])
        self.at += len(piece)
        self.heard += len(piece)
        if self.at > COMPACT_BYTES:
            del self.data[: self.at]
            self.at = 0
        return piece

    @property
    def left(self) -> int:
        return len(self.data) - self.at


class Bridge:
    """One call's audio: 16-bit little-endian mono PCM at `rate_hz`, in frames of `ptime_ms`."""

    def __init__(
        self, rate_hz: int = 8000, *, ptime_ms: int = 20, in_limit_ms: int = 1000, out_limit_ms: int = 120_000
    ) -> None:
        self.rate_hz = rate_hz
        self.ptime_ms = ptime_ms
        self.frame_bytes = rate_hz * ptime_ms // 1000 * 2
        self.tap: Tap | None = None
        self.underruns = 0
        """How often playout ran dry within an item."""
        self.dropped_in_frames = 0
        """The caller's frames that were dropped because nobody took them in time."""
        self.refused_out_ms = 0.0
        """The agent's audio that was refused because the queue was full."""
        self.pushed_frames = 0
        self.pulled_frames = 0
        self._silence = bytes(self.frame_bytes)
        self._bytes_per_ms = rate_hz * 2 / 1000
        self._in: deque[bytes] = deque(maxlen=max(1, in_limit_ms // ptime_ms))
        self._out_limit = int(out_limit_ms * self._bytes_per_ms)
        self._lock = threading.Lock()
        self._queue: deque[_Item] = deque()
        self._items: dict[str, _Item] = {}
        self._queued = 0
        self._last_pull = 0.0
        self._worst_late_s = 0.0

    # --- the clock thread ---------------------------------------------------------------------------------------------

    def push(self, frame: bytes) -> None:
        """Take a frame of the caller's."""
        self.pushed_frames += 1
        if len(self._in) == self._in.maxlen:
            self.dropped_in_frames += 1
        self._in.append(frame)  # a full deque lets go of its oldest
        if self.tap is not None:
            self.tap.received(frame)

    def pull(self) -> bytes:
        """Return the next frame for the caller, silence where there is none. The playout clock moves by one ptime."""
        now = time.monotonic()
        if self._last_pull:
            self._worst_late_s = max(self._worst_late_s, now - self._last_pull - self.ptime_ms / 1000)
        self._last_pull = now
        with self._lock:
            frame = self._next_frame()
            self.pulled_frames += 1
        if self.tap is not None:
            self.tap.sent(frame)
        return frame

    def _next_frame(self) -> bytes:
        queue, want = self._queue, self.frame_bytes
        frame = b""
        while queue:
            item = queue[0]
            if item.left >= want - len(frame):
                item.dry = False
                frame += item.take(want - len(frame))
                break
            if not item.ended and len(queue) == 1:
                # The rest of a frame waits for more: a gap in mid item is heard, half a frame and a gap is heard twice.
                if not frame and item.heard and not item.dry:
                    item.dry = True
                    self.underruns += 1
                break
            frame += item.take(item.left)
            queue.popleft()
        self._queued -= len(frame)
        if not frame:
            return self._silence
        return frame if len(frame) == want else frame + bytes(want - len(frame))

    # --- the loop -----------------------------------------------------------------------------------------------------

    def take(self) -> bytes:
        """Return all that the caller has said since the last time."""
        frames = []
        while True:
            try:
                frames.append(self._in.popleft())
            except IndexError:
                return b"".join(frames)

    def play(self, item_id: str, pcm: bytes) -> bool:
        """Queue audio of an item, behind everything queued before. False if it was refused."""
        with self._lock:
            if self._queued + len(pcm) > self._out_limit:
                self.refused_out_ms += len(pcm) / self._bytes_per_ms
                return False
            item = self._items.get(item_id)
            if item is None:
                item = self._items[item_id] = _Item(item_id)
                self._forget()
            if not any(queued is item for queued in self._queue):
                self._queue.append(item)
            item.data += pcm
            item.received += len(pcm)
            item.ended = False
            self._queued += len(pcm)
        return True

    def end_item(self, item_id: str) -> None:
        """No more audio comes for this item: its last, partial frame is padded and sent. Unknown ones are ignored."""
        with self._lock:
            item = self._items.get(item_id)
            if item is None:
                return
            item.ended = True
            while self._queue and self._queue[0].ended and not self._queue[0].left:
                self._queue.popleft()

    def flush(self) -> list[Flushed]:
        """Drop everything that was not pulled yet; the next pull is silence. Returns what was cut, in order."""
        with self._lock:
            cut = [self._cut(item) for item in self._queue]
            self._queue.clear()
            self._queued = 0
        return cut

    def _cut(self, item: _Item) -> Flushed:
        complete = item.ended and not item.left
        item.data.clear()
        item.at, item.ended = 0, True
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
        """Audio that was not pulled yet."""
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

    def _forget(self) -> None:
        """Let go of the oldest items that are not queued, beyond what is remembered."""
        if len(self._items) <= REMEMBERED:
            return
        queued = {item.item_id for item in self._queue}
        for item_id in list(self._items):
            if len(self._items) <= REMEMBERED:
                return
            if item_id not in queued:
                del self._items[item_id]
