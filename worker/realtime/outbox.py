"""The bounded queue of frames on their way to the provider. Pure; used from the loop only.

Overflow rules: of live audio the oldest frame is dropped and counted, since late speech is worth less than
new; a control frame is never dropped, and when they pile up the connection counts as dead.
"""

from __future__ import annotations

from collections import deque

from worker.realtime.base import Frame

AUDIO_FRAMES = 50  # 2 s of 40 ms appends: a longer stall is heard as a gap, not as a late answer
CONTROL_FRAMES = 512  # more than a call ever has waiting


class Outbox:
    """Frames in order. `dropped_audio` counts the audio frames that were given up."""

    def __init__(self, audio_frames: int = AUDIO_FRAMES, control_frames: int = CONTROL_FRAMES) -> None:
        """Begin empty, with these limits."""
        self._frames: deque[tuple[bool, Frame]] = deque()
        self._audio_frames = audio_frames
        self._control_frames = control_frames
        self._audio = 0
        self.dropped_audio = 0

    def __len__(self) -> int:
        """Return how many frames wait."""
        return len(self._frames)

    def put_audio(self, frame: Frame) -> None:
        """Queue an audio frame; over the limit the oldest one waiting is dropped."""
        if self._audio >= self._audio_frames:
            self._drop_oldest_audio()
        self._frames.append((True, frame))
        self._audio += 1

    def put(self, frame: Frame) -> bool:
        """Queue a control frame; False when so many wait that the peer must be dead."""
        if len(self._frames) - self._audio >= self._control_frames:
            return False
        self._frames.append((False, frame))
        return True

    def peek(self) -> Frame | None:
        """Return the next frame and leave it where it is, None when there is none."""
        return self._frames[0][1] if self._frames else None

    def pop(self) -> Frame | None:
        """Return the next frame, None when there is none."""
        if not self._frames:
            return None
        is_audio, frame = self._frames.popleft()
        self._audio -= is_audio
        return frame

    def clear(self) -> None:
        """Forget what waits; the counter stays."""
        self._frames.clear()
        self._audio = 0

    def _drop_oldest_audio(self) -> None:
        for index, (is_audio, _) in enumerate(self._frames):
            if is_audio:
                del self._frames[index]
                self._audio -= 1
                self.dropped_audio += 1
                return
