"""Speech for whoever wants to talk to the local realtime server: a voice, ears, and grammars from sentence patterns.

    pcm, rate_hz = synthesize("hello", voice="en-us+f2", rate_wpm=150)
    ears = Recogniser(jsgf(["what is the status of order {order:digits:3}"]))
    ears.recognise(pcm_at_16_khz)

Both engines block; call them from a thread or a process. They come with the extra `embedded`.
"""

from __future__ import annotations

from worker.local.errors import SpeechUnavailable
from worker.local.patterns import PatternError, jsgf, parse
from worker.local.recogniser import RATE_HZ, Recogniser
from worker.local.voice import DEFAULT_VOICE, synthesize, voice_of

__all__ = [
    "DEFAULT_VOICE",
    "RATE_HZ",
    "EspeakMouth",
    "PatternError",
    "Recogniser",
    "SpeechUnavailable",
    "SphinxEars",
    "jsgf",
    "parse",
    "synthesize",
]

WPM = 160


class EspeakMouth:
    """The server's mouth: espeak-ng voices under the service's names."""

    def speak(self, text: str, voice: str, speed: float) -> tuple[bytes, int]:
        """Return 16-bit mono PCM and its rate (Hz)."""
        return synthesize(text, voice_of(voice), int(WPM * speed))


class SphinxEars:
    """The server's ears: pocketsphinx with the grammar of a dialogue."""

    def __init__(self, grammar: str) -> None:
        self._recogniser = Recogniser(grammar)

    def transcribe(self, pcm: bytes, rate_hz: int) -> str:
        """Return the words of an utterance, "" when it fits no sentence."""
        return self._recogniser.recognise_at(pcm, rate_hz)
