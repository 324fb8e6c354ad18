"""What was received and what was sent, tick by tick of the clock, for a recording: in Python, for any build of pjsua2.

The conference asks a port for its frame first and hands it the caller's after, so `sent` opens a tick and `received`
completes it. A side that falls silent (a call on hold) is silence, and both sides stay in step however often that
happens. native/frame_queue.hpp has the same in C++; both pass the same tests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

import numpy as np

__all__ = ["Track", "stereo"]


class _Tick:
    """What went to the caller and what came from them in one round of the clock."""

    __slots__ = ("received", "sent")

    def __init__(self, received: bytes, sent: bytes) -> None:
        self.received = received
        self.sent = sent


class Track:
    """Both directions of one call, until they are taken. Whoever has it sees to it that one thread at a time is in it.

    More than `limit_ticks` are not kept: the oldest are lost, and counted.
    """

    def __init__(self, frame_bytes: int, limit_ticks: int) -> None:
        self._silence = bytes(frame_bytes)
        self._limit = limit_ticks
        self._ticks: deque[_Tick] = deque()
        self._open: _Tick | None = None
        self._muted = False
        self._lost = 0

    def sent(self, frame: bytes) -> None:
        """Keep a frame of the agent's."""
        self._open = self._append(b"", frame)

    def received(self, frame: bytes) -> None:
        """Keep a frame of the caller's."""
        if self._open is None:
            self._append(frame, b"")
            return
        self._open.received = self._silence if self._muted else frame
        self._open = None

    def mute(self, muted: bool) -> None:
        """Keep silence in place of what comes, until told otherwise."""
        self._muted = muted

    def take(self, last: bool) -> tuple[Collection[_Tick], int]:
        """Return the ticks that are complete (last: all), and how many were lost since the beginning."""
        ticks, self._ticks = self._ticks, deque()
        if self._open is not None:
            if last:
                self._open = None
            else:
                self._ticks.append(ticks.pop())  # the caller's half of it may come yet
        return ticks, self._lost

    def _append(self, received: bytes, sent: bytes) -> _Tick:
        tick = _Tick(self._silence, self._silence) if self._muted else _Tick(received, sent)
        if len(self._ticks) >= self._limit:
            self._ticks.popleft()
            self._lost += 1
        self._ticks.append(tick)
        return tick


def stereo(ticks: Collection[_Tick], frame_bytes: int) -> bytes:
    """The samples of a stereo file: the caller's left, the agent's right."""
    both = np.zeros((len(ticks) * frame_bytes // 2, 2), dtype="<i2")
    for side, frames in enumerate(([tick.received for tick in ticks], [tick.sent for tick in ticks])):
        cut = b"".join(frame[:frame_bytes].ljust(frame_bytes, b"\0") for frame in frames)
        both[:, side] = np.frombuffer(cut, dtype="<i2")
    return both.tobytes()
