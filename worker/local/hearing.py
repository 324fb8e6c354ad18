"""The input audio buffer: what came in and was not committed, with turn detection over it. Pure.

Its clock (ms) is the audio appended since the session began, as in the service's audio_start_ms and audio_end_ms.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from worker.local.config import VadSettings
from worker.local.errors import RequestError
from worker.local.sound import bytes_per_ms, decode, rate_of
from worker.local.vad import Edge, Vad

__all__ = ["InputBuffer", "Turn"]

LONGEST_APPEND = 15 * 1024 * 1024
LONGEST_MS = 10 * 60 * 1000
"""What a client may append without a commit, turn detection being off; more is refused."""
LONGEST_TURN_MS = 60_000
"""Speech that goes on for longer is cut here into turns, so that the buffer stays bounded."""
SHORTEST_COMMIT_MS = 100
BEFORE_START_MS = 200
"""Kept besides the prefix padding while nobody speaks: a start is noticed only some frames later."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Audio that was committed: PCM at rate_hz."""

    pcm: bytes
    rate_hz: int

    @property
    def ms(self) -> int:
        """Its length."""
        return len(self.pcm) // 2 * 1000 // self.rate_hz


class InputBuffer:
    """One session's input."""

    def __init__(self, format_type: str, vad: VadSettings | None) -> None:
        self.clock_ms = 0.0
        self._pcm = bytearray()
        self._begin_ms = 0.0
        self._started_ms = 0.0
        self.configure(format_type, vad)

    def configure(self, format_type: str, vad: VadSettings | None) -> None:
        """Take over a changed format or turn detection; in another format what was not committed is dropped."""
        self.format = format_type
        self.rate_hz = rate_of(format_type)
        self.settings = vad
        self._drop()
        self._vad = None if vad is None else Vad(self.rate_hz, vad, start_ms=int(self.clock_ms))

    def _drop(self) -> None:
        self._pcm.clear()
        self._begin_ms = self.clock_ms

    @property
    def speaking(self) -> bool:
        """Whether speech has started and not stopped."""
        return self._vad is not None and self._vad.speaking

    def append(self, audio: str) -> list[Edge]:
        """Take base64 audio in the session's format; returns the edges of speech in it.

        Raises RequestError for what is no base64, half a sample, or too much.
        """
        if len(audio) > LONGEST_APPEND:
            message = f"Invalid 'audio': more than {LONGEST_APPEND} bytes in one event."
            raise RequestError(message, code="string_above_max_length", param="audio")
        try:
            wire = base64.b64decode(audio, validate=True)
        except (binascii.Error, ValueError):
            wire = b"?"
            if self.format != "audio/pcm":
                raise self._no_audio() from None
        if self.format == "audio/pcm" and len(wire) % 2:
            raise self._no_audio()
        if self._vad is None and len(self._pcm) // 2 // self.rate_hz * 1000 > LONGEST_MS:
            message = f"Error appending audio: the input audio buffer holds {LONGEST_MS // 60000} minutes already."
            raise RequestError(message, code="input_audio_buffer_full", param="audio")
        pcm = decode(wire, self.format)
        self._pcm += pcm
        self.clock_ms += len(wire) / bytes_per_ms(self.format)
        return [] if self._vad is None else self._detect(pcm)

    def _no_audio(self) -> RequestError:
        kind = "mono PCM16 at 24kHz" if self.format == "audio/pcm" else self.format
        message = f"Invalid 'audio'. Expected base64-encoded audio bytes ({kind}) but got an invalid value."
        return RequestError(message, code="invalid_value", param="audio")

    def _detect(self, pcm: bytes) -> list[Edge]:
        assert self._vad is not None and self.settings is not None
        edges = self._vad.feed(pcm)
        for edge in edges:
            if edge.started:
                self._started_ms = edge.at_ms
        if self._vad.speaking and self.clock_ms - self._started_ms > LONGEST_TURN_MS:
            edges.append(self._vad.stop())
        if not edges and not self._vad.speaking:
            self._cut(self.clock_ms - self.settings.prefix_padding_ms - BEFORE_START_MS)
        return edges

    def started(self, at_ms: int) -> None:
        """Speech has started: what is older than `at_ms` is not part of it."""
        self._cut(at_ms)

    def _cut(self, from_ms: float) -> None:
        nbytes = self._bytes(from_ms)
        if nbytes > 0:
            del self._pcm[:nbytes]
            self._begin_ms += nbytes / 2 * 1000 / self.rate_hz

    def _bytes(self, until_ms: float) -> int:
        """How many bytes of the buffer lie before a moment on its clock."""
        return max(0, int((until_ms - self._begin_ms) * self.rate_hz / 1000)) * 2

    def commit(self, until_ms: int | None = None) -> Turn:
        """Take out what is in the buffer, all or up to a moment; raises RequestError when there is too little."""
        size = len(self._pcm) if until_ms is None else min(len(self._pcm), self._bytes(until_ms))
        turn = Turn(bytes(self._pcm[:size]), self.rate_hz)
        held_ms = len(self._pcm) / 2 * 1000 / self.rate_hz
        if until_ms is None and held_ms < SHORTEST_COMMIT_MS:
            message = (
                "Error committing input audio buffer: buffer too small. Expected at least "
                f"{SHORTEST_COMMIT_MS}ms of audio, but buffer only has {held_ms:.2f}ms of audio."
            )
            raise RequestError(message, code="input_audio_buffer_commit_empty")
        if until_ms is None:
            self.clear()
        else:
            self._cut(until_ms)
        return turn

    def clear(self) -> None:
        """Drop everything, also speech that is going on."""
        self._drop()
        if self.settings is not None:
            self._vad = Vad(self.rate_hz, self.settings, start_ms=int(self.clock_ms))
