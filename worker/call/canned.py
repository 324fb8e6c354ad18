"""Fillers that need no provider: from WAV files, or spoken by the local voice.

To the turn machine one is a response like any other, which begins, is heard and ends: so it gives way to the caller,
holds the floor and stands in the record as those do that the provider speaks.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.call.playout import Playout
from worker.call.sounds import load_prompt
from worker.errors import HostError
from worker.realtime import base
from worker.turns.events import AudioStarted, SpeakFiller
from worker.turns.machine import TurnMachine

__all__ = ["CannedFillers", "CannedVoice", "is_canned"]

RESPONSE = "canned:"
"""Response and item ids of canned fillers begin so: the provider knows nothing of them."""
CACHED = 256
WPM = 160


def is_canned(response_id: str) -> bool:
    """Whether a response is one of ours."""
    return response_id.startswith(RESPONSE)


@dataclass(frozen=True, slots=True)
class CannedVoice:
    """How an agent's canned fillers are spoken. voice: an espeak voice, such as `en-us+f2`; wav: files by text."""

    voice: str
    wav: Mapping[str, Path] = field(default_factory=dict)

    def speech(self, text: str, rate_hz: int) -> bytes:
        """Return a text as 16-bit mono PCM. Blocks for some ms the first time; raises `HostError` with the remedy."""
        file = self.wav.get(text)
        return load_prompt(file, rate_hz) if file is not None else _spoken(text, self.voice, rate_hz)

    def prepare(self, texts: Iterable[str], rate_hz: int) -> None:
        """Have these texts, and every file, at hand before a call wants them. Raises `HostError`."""
        for file in self.wav.values():
            load_prompt(file, rate_hz)
        for text in texts:
            self.speech(text, rate_hz)


@functools.lru_cache(maxsize=CACHED)
def _spoken(text: str, voice: str, rate_hz: int) -> bytes:
    from worker.local.errors import SpeechUnavailable
    from worker.local.sound import resample
    from worker.local.voice import synthesize

    try:
        pcm, source_hz = synthesize(text, voice, WPM)
    except SpeechUnavailable as error:
        raise HostError(f"fillers.mode = canned: {error}; or give every text a file in [fillers.wav]") from None
    return resample(pcm, source_hz, rate_hz)


class CannedFillers:
    """The canned fillers of one call."""

    def __init__(
        self,
        voice: CannedVoice,
        machine: TurnMachine,
        playout: Playout,
        rate_hz: int,
        feed: Callable[[object], None],
        note: Callable[[base.RealtimeEvent], None],
        log: Any,
    ) -> None:
        """Take the parts: `feed` gives an event to the machine, `note` writes one into the record."""
        self._voice = voice
        self._machine = machine
        self._playout = playout
        self._rate_hz = rate_hz
        self._feed = feed
        self._note = note
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()

    def speak(self, command: SpeakFiller) -> None:
        """Speak a filler as soon as its audio is at hand; returns at once."""
        task = asyncio.get_running_loop().create_task(self._speak(command))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def end(self) -> None:
        """The call is over."""
        for task in tuple(self._tasks):
            task.cancel()

    async def _speak(self, command: SpeakFiller) -> None:
        try:
            pcm = await asyncio.to_thread(self._voice.speech, command.text, self._rate_hz)
        except Exception as error:  # without words the caller still has the tone
            self._log.error("filler_not_spoken", reason=str(error))
            self._feed(base.ProviderError("filler_not_spoken", str(error), metadata=command.metadata))
            return
        self._play(command, pcm)

    def _play(self, command: SpeakFiller, pcm: bytes) -> None:
        key = RESPONSE + command.metadata["number"]
        self._feed(base.ResponseStarted(key, command.metadata))
        if self._machine.wants_audio(key):
            self._playout.play(key, pcm, "filler")
            self._playout.end_item(key)
            self._note(base.AgentTranscript(key, key, command.text))
            self._feed(AudioStarted(key, key))
        self._feed(base.ResponseDone(key, "completed", metadata=command.metadata))
