"""Fillers that need no provider: from WAV files, or spoken by the local voice.

To the turn machine one is a response like any other, which begins, is heard and ends: so it gives way to the caller,
holds the floor and stands in the record as those do that the provider speaks.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from worker.agent.agent import Agent
from worker.call.media import CallMedia
from worker.call.sounds import load_prompt
from worker.call.transcript import Transcript
from worker.errors import HostError
from worker.local.voice import voice_of
from worker.realtime import events as realtime
from worker.realtime.base import Capabilities
from worker.turns.events import AskOurselves, AudioStarted, QuestionUnsaid, SpeakFiller
from worker.turns.machine import TurnMachine

__all__ = [
    "CannedFillers",
    "CannedVoice",
    "FillerMode",
    "OwnQuestions",
    "canned_voice",
    "filler_mode",
    "is_canned",
    "own_voice",
]

FillerMode = Literal["model", "canned", "tone"]
"""model: the provider speaks them; canned: files or the local voice; tone: no words at all."""


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


def filler_mode(agent: Agent, can: Capabilities | None) -> FillerMode:
    """Return how the agent's fillers are spoken: as its file says, where the provider can do that.

    One that can't speak beside the conversation has them canned, by the local voice; without that there is the tone.
    """
    mode = agent.fillers.mode
    if mode != "model" or can is None or can.out_of_band:
        return mode
    return "canned" if importlib.util.find_spec("espeakng_loader") is not None else "tone"


def canned_voice(agent: Agent, can: Capabilities | None = None) -> CannedVoice | None:
    """Return how the agent's fillers are spoken without the provider; None where the provider speaks them."""
    return _voice(agent) if filler_mode(agent, can) == "canned" else None


def own_voice(agent: Agent) -> CannedVoice | None:
    """Return a voice that needs no provider, for what has to be said word by word; None where there is none."""
    return _voice(agent) if importlib.util.find_spec("espeakng_loader") is not None else None


def _voice(agent: Agent) -> CannedVoice:
    language = agent.language.partition("-")[0].lower()
    own = voice_of(agent.voice or "marin") if language == "en" else f"{language}+f2"
    return CannedVoice(agent.fillers.voice or own, {text: Path(file) for text, file in agent.fillers.wav.items()})


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


class _Aside:
    """What a call says in a voice of ours, beside the loop: made in a thread, then played."""

    def __init__(self, machine: TurnMachine, media: CallMedia, log: Any, feed: Callable[[object], None]) -> None:
        """Take the parts; `feed` gives an event to the machine."""
        self._machine = machine
        self._playout = media.playout
        self._rate_hz = media.bridge.rate_hz
        self._log = log
        self._feed = feed
        self._tasks: set[asyncio.Task[None]] = set()

    def end(self) -> None:
        """The call is over."""
        for task in tuple(self._tasks):
            task.cancel()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _speech(self, voice: CannedVoice, text: str) -> bytes:
        return await asyncio.to_thread(voice.speech, text, self._rate_hz)


class CannedFillers(_Aside):
    """The canned fillers of one call."""

    def __init__(
        self,
        voice: CannedVoice,
        machine: TurnMachine,
        media: CallMedia,
        transcript: Transcript,
        log: Any,
        feed: Callable[[object], None],
    ) -> None:
        super().__init__(machine, media, log, feed)
        self._voice = voice
        self._transcript = transcript

    def speak(self, command: SpeakFiller) -> None:
        """Speak a filler as soon as its audio is at hand; returns at once."""
        self._begin(self._speak(command))

    async def _speak(self, command: SpeakFiller) -> None:
        try:
            pcm = await self._speech(self._voice, command.text)
        except Exception as error:  # without words the caller still has the tone
            self._log.error("filler_not_spoken", reason=str(error))
            self._feed(realtime.ProviderError("filler_not_spoken", str(error), metadata=command.metadata))
            return
        self._play(command, pcm)

    def _play(self, command: SpeakFiller, pcm: bytes) -> None:
        key = RESPONSE + command.metadata["number"]
        self._feed(realtime.ResponseStarted(key, command.metadata))
        if self._machine.wants_audio(key):
            self._playout.play(key, pcm, "filler")
            self._playout.end_item(key)
            self._transcript.note(realtime.AgentTranscript(key, key, command.text))
            self._feed(AudioStarted(key, key))
        self._feed(realtime.ResponseDone(key, "completed", metadata=command.metadata))


class OwnQuestions(_Aside):
    """Asks a caller in a voice of ours, word by word, where the provider did not."""

    def __init__(
        self,
        voice: CannedVoice | None,
        machine: TurnMachine,
        media: CallMedia,
        log: Any,
        feed: Callable[[object], None],
    ) -> None:
        super().__init__(machine, media, log, feed)
        self._voice = voice

    def ask(self, command: AskOurselves) -> None:
        """Ask as soon as the audio is at hand; returns at once."""
        self._begin(self._ask(command))

    async def _ask(self, command: AskOurselves) -> None:
        try:
            if self._voice is None:
                raise HostError("there is no local voice")
            pcm = await self._speech(self._voice, command.text)
        except Exception as error:
            self._log.error("question_not_spoken", reason=str(error))
            self._feed(QuestionUnsaid(command.item_id))
            return
        if self._machine.asks(command.item_id):
            self._playout.play_words(command.item_id, pcm, command.text)
