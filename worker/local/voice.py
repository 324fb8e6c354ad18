"""The mouth: espeak-ng through `espeakng-loader`, by ctypes.

espeak is one global of the process: every call stands under one lock, and whoever must not block calls from a thread.
Header: speak_lib.h of espeak-ng 1.52.
"""

from __future__ import annotations

import ctypes
import threading
from functools import lru_cache
from typing import Any

from worker.installed import remedy
from worker.local.errors import SpeechUnavailable

__all__ = ["DEFAULT_VOICE", "synthesize", "voice_of"]

DEFAULT_VOICE = "en-us"
AUDIO_OUTPUT_SYNCHRONOUS = 2
RATE, PITCH, RANGE = 1, 3, 4
CHARS_UTF8 = 1
SLOWEST_WPM, FASTEST_WPM = 80, 450
CACHED = 32
"""Sentences kept; one of 3 s is 130 kB."""

# The service's voices as espeak's; those whose sentences the recogniser understands best after G.711 come first.
_VOICES = {
    "alloy": "en-us",
    "ash": "en-us+m3",
    "ballad": "en-us+m1",
    "cedar": "en-us+m5",
    "coral": "en-us+f2",
    "echo": "en-us+edward",
    "marin": "en-us+f2",
    "sage": "en-us+adam",
    "shimmer": "en-us+f5",
    "verse": "en-us+klatt4",
}
_LOCK = threading.Lock()
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def voice_of(name: str) -> str:
    """The espeak voice for one of the service's voice names."""
    return _VOICES.get(name, DEFAULT_VOICE)


class _Espeak:
    """The library, loaded once."""

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError:
            raise SpeechUnavailable(
                f"the package espeakng-loader is missing: install it with `{remedy('embedded')}`"
            ) from None
        try:
            self._library: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        except OSError as error:
            raise SpeechUnavailable(f"espeak-ng can't be loaded on this machine: {error}") from None
        data = espeakng_loader.get_data_path().encode()
        self.rate_hz: int = self._library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, data, 0)
        if self.rate_hz <= 0:
            raise SpeechUnavailable(f"espeak-ng does not start: reinstall it with `{remedy('embedded')}`")
        self._pieces: list[bytes] = []
        self._callback = _CALLBACK(self._take)  # kept: espeak holds only its address
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_Synth.argtypes = (
            ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint,
            ctypes.c_void_p, ctypes.c_void_p,
        )  # fmt: skip

    def _take(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self._pieces.append(ctypes.string_at(samples, count * 2))
        return 0

    def say(self, text: str, voice: str, rate_wpm: int, pitch: int) -> bytes:
        self._pieces.clear()
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise SpeechUnavailable(f"espeak-ng has no voice {voice!r}: try en-us, en, or a variant such as en-us+f2")
        for parameter, value in ((RATE, rate_wpm), (PITCH, pitch), (RANGE, 50)):
            self._library.espeak_SetParameter(parameter, value, 0)
        spoken = text.encode("utf-8", "replace").replace(b"\0", b" ")
        self._library.espeak_Synth(spoken, len(spoken) + 1, 0, 0, 0, CHARS_UTF8, None, None)
        self._library.espeak_Synchronize()
        pcm = b"".join(self._pieces)
        self._pieces.clear()
        return pcm


_espeak: _Espeak | None = None


@lru_cache(maxsize=CACHED)
def synthesize(text: str, voice: str = DEFAULT_VOICE, rate_wpm: int = 150, pitch: int = 50) -> tuple[bytes, int]:
    """Speak a text: (16-bit mono PCM, its rate in Hz, which is 22050).

    voice: an espeak voice, such as `en-us` or `en-us+f2`. rate_wpm: words a minute, 80 to 450. pitch: 0 to 99.
    Raises SpeechUnavailable when the package is missing or there is no such voice. Blocks for some ms.
    """
    global _espeak
    rate_wpm = min(max(rate_wpm, SLOWEST_WPM), FASTEST_WPM)
    with _LOCK:
        if _espeak is None:
            _espeak = _Espeak()
        return _espeak.say(text, voice, rate_wpm, pitch), _espeak.rate_hz
