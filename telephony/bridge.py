"""The audio of one call between pjmedia's clock thread and the event loop, with the playout clock.

A flush is a point in time: what was pulled before it counts as heard, and nothing that was queued before it is ever
pulled after it.

Both queues are bounded. In: the oldest frame is dropped, since late audio is of no use. Out: the newest is refused,
since what was queued first has to be heard first; and what follows in the same item is refused too, so that what is
heard of an item is always its beginning and the heard ms mean a place in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from telephony.frame_queue import FrameQueue, Queue, Tap

__all__ = ["Bridge", "Flushed", "Tap"]


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


class Bridge:
    """One call's audio: 16-bit little-endian mono PCM at `rate_hz`, in frames of `ptime_ms`.

    `in_limit_ms` bounds the caller's audio that nobody took, `out_limit_ms` the agent's that was not sent. `make_queue`
    takes bytes of a frame, s of a frame, and both limits in frames and bytes.
    """

    def __init__(
        self,
        rate_hz: int = 8000,
        *,
        ptime_ms: int = 20,
        in_limit_ms: int = 1000,
        out_limit_ms: int = 120_000,
        make_queue: Callable[[int, float, int, int], Queue] = FrameQueue,
    ) -> None:
        self.rate_hz = rate_hz
        self.ptime_ms = ptime_ms
        self.frame_bytes = rate_hz * ptime_ms // 1000 * 2
        self.codec = ""
        """The call's codec as SDP names it: by the offer at first, then as negotiated; "" while that is not known."""
        self._bytes_per_ms = rate_hz * 2 / 1000
        limits = max(1, in_limit_ms // ptime_ms), int(out_limit_ms * self._bytes_per_ms)
        self.queue = make_queue(self.frame_bytes, ptime_ms / 1000, *limits)
        """What the port on the clock thread takes frames from, and gives them to."""
        self.push, self.pull = self.queue.push, self.queue.pull
        self._tap: Tap | None = None

    @property
    def tap(self) -> Tap | None:
        """Gets a copy of both directions, on the clock thread."""
        return self._tap

    @tap.setter
    def tap(self, tap: Tap | None) -> None:
        self._tap = tap
        self.queue.set_tap(tap)

    # --- what was heard on the line -----------------------------------------------------------------------------------

    def record(self, limit_ms: int) -> None:
        """Keep both directions from now on, at most so much until it is taken. The clock thread only copies."""
        self.queue.record(max(1, limit_ms // self.ptime_ms))

    def mute_record(self, muted: bool) -> None:
        """Keep silence in place of both directions, so that what is said or typed meanwhile is nowhere."""
        self.queue.mute_record(muted)

    def take_record(self, *, last: bool = False) -> tuple[bytes, int]:
        """Return what was kept since the last time, and how many ms were lost in all since nobody took them.

        16-bit stereo, the caller on the left. last: the call is over.
        """
        samples, lost = self.queue.take_record(last)
        return samples, lost * self.ptime_ms

    def take_levels(self) -> tuple[bytes, bytes]:
        """Return how loud the caller and the agent were since the last time: a byte a frame (`pcm.level_of`).

        Of the agent what was sent, silence too. Kept from the first time on that this is asked, for ten seconds.
        """
        return self.queue.take_levels()

    # --- audio --------------------------------------------------------------------------------------------------------

    def take(self) -> bytes:
        """Return all of the caller's audio that waits, in order; b"" if none does."""
        return self.queue.take()

    def play(self, item_id: str, pcm: bytes) -> bool:
        """Queue audio of an item: behind its own while it is queued, else behind everything. False if it was refused.

        Raises ValueError for half a sample, which would make noise of all that follows.
        """
        if len(pcm) & 1:
            raise ValueError(f"{len(pcm)} bytes are no whole number of 16-bit samples: cut the audio at even offsets")
        return self.queue.play(item_id, pcm)

    def end_item(self, item_id: str) -> None:
        """No more audio comes for this item: its last, partial frame is padded and sent. Unknown ones are ignored.

        From here on running dry is no underrun, until more of the item is played all the same.
        """
        self.queue.end_item(item_id)

    def pause(self, paused: bool) -> None:
        """Fall silent from the next pull on, or go on where that was. What is played meanwhile waits behind the rest.

        Nothing is dropped and nothing counts as heard; a flush ends it. Setting it again changes nothing.
        """
        self.queue.pause(paused)

    def flush(self) -> list[Flushed]:
        """Drop everything that was not pulled yet: from now on pulls return silence, until more is played.

        Returns the items that stood in the queue, in order: those with audio left, one that was sent as far as it came
        but has not ended, and one that the last pull sent to its end (complete).
        """
        return [
            Flushed(item_id, self._ms(heard), self._ms(received), complete)
            for item_id, heard, received, complete in self.queue.flush()
        ]

    # --- what is known of it ------------------------------------------------------------------------------------------

    def heard_ms(self, item_id: str) -> int:
        """How much of an item was sent to the caller; 0 for one that is not known (any more)."""
        return self._ms(self.queue.heard(item_id))

    def received_ms(self, item_id: str) -> int:
        """How much of an item was queued in all; 0 for one that is not known (any more)."""
        return self._ms(self.queue.received(item_id))

    def playing(self) -> str | None:
        """The item whose audio the next pull will return; None when that will be silence."""
        return self.queue.playing()

    def worst_lateness_s(self) -> float:
        """Return how late a pull was at the worst since the last time this was asked."""
        return self.queue.worst_lateness_s()

    @property
    def edges(self) -> int:
        """Grows whenever `playing` may tell something else than before: who looks often looks at this first."""
        return self.queue.edges()

    @property
    def queued_ms(self) -> int:
        """The agent's audio that was not pulled yet."""
        return self._ms(self.queue.queued_bytes())

    @property
    def clock_ms(self) -> int:
        """The playout clock: ms pulled since the beginning."""
        return self.queue.pulled_frames() * self.ptime_ms

    @property
    def underruns(self) -> int:
        """How often playout ran dry within an item that had begun and not ended."""
        return self.queue.underruns()

    @property
    def dropped_in_frames(self) -> int:
        """The caller's frames that were dropped because nobody took them in time."""
        return self.queue.dropped_in_frames()

    @property
    def refused_out_ms(self) -> float:
        """The agent's audio that was refused because the queue was full."""
        return self.queue.refused_out_bytes() / self._bytes_per_ms

    @property
    def pushed_frames(self) -> int:
        """The caller's frames so far."""
        return self.queue.pushed_frames()

    @property
    def pulled_frames(self) -> int:
        """The frames sent to the caller so far, silence too."""
        return self.queue.pulled_frames()

    def _ms(self, nbytes: int) -> int:
        return int(nbytes / self._bytes_per_ms)
