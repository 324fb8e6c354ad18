"""The ears: pocketsphinx with a JSGF grammar, made to hear sentences that came over the telephone.

What was measured on espeak voices after 8 kHz G.711 (facts in README.md):
- Digital silence, as between espeak's words, ruins the features: noise is added to every utterance.
- Over the telephone an /s/ loses its energy, which lies above 3.4 kHz, and "six" is heard as "three": every word with
  such a sound gets further pronunciations with the sounds that are left of it.
- A grammar fits anything: the utterance is also decoded as free phones, and what fits so much worse with the grammar
  than without was another sentence.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from worker.installed import remedy
from worker.local.errors import SpeechUnavailable
from worker.local.patterns import plain
from worker.local.sound import resample

__all__ = ["RATE_HZ", "Recogniser"]

RATE_HZ = 16000
LEVEL_DBFS = -20.0
NOISE_RMS = 150.0
"""-47 dBFS, under speech at -20 dBFS."""
LEAD_S, TRAIL_S = 0.3, 0.5
SHORTEST_FRAMES = 12
QUIETEST_RMS = 30.0
TELEPHONE: tuple[Mapping[str, str], ...] = ({"S": "F", "Z": "V"}, {"S": "TH", "Z": "V"})
"""What becomes of sounds on a line that ends at 3.4 kHz."""
REJECT, REJECT_PER_FRAME = 0.2, 0.0018
"""How much worse (log of the decoder's score) the grammar may fit than free phones: at all, and for each 10 ms.
Measured on 8 voices: of 290 sentences that fit, 1 is refused; of 77 that fit no sentence, 62 are."""
LOUD = 0.1
"""A frame is speech when its level is over this part of the loudest one's (-20 dB)."""
LEAST_SCORE = 1e-300
SCORELESS = math.log(LEAST_SCORE)
AROUND_S = 0.2
"""Kept before the first and after the last loud frame: soft consonants."""


class Recogniser:
    """Understands the sentences of a JSGF grammar.

    Not for more than one thread at a time. An utterance takes some 0.1 s; a process with two of these 80 MB.
    """

    def __init__(self, grammar: str, *, strict: bool = True) -> None:
        """strict: "" for what fits the grammar badly; otherwise the nearest sentence.

        Raises SpeechUnavailable when pocketsphinx is missing, ValueError for a grammar or word it can't use.
        """
        try:
            import pocketsphinx
        except ImportError:
            message = f"the package pocketsphinx is missing: install it with `{remedy('embedded')}`"
            raise SpeechUnavailable(message) from None
        self.strict = strict
        # remove_noise would carry what it has learned from one utterance into the next
        quiet: dict[str, Any] = {"lm": None, "loglevel": "FATAL", "cmn": "batch", "remove_noise": False}
        self._decoder = pocketsphinx.Decoder(**quiet)
        for word in sorted(_words(grammar)):
            self._pronounce(word)
        try:
            self._decoder.add_jsgf_string("grammar", grammar)
            self._decoder.activate_search("grammar")
        except RuntimeError as error:
            raise ValueError(f"pocketsphinx can't use this grammar: {error}") from None
        self._phones = pocketsphinx.Decoder(allphone_ci=True, beam=1e-20, pbeam=1e-20, lw=1.0, **quiet)
        self._phones.add_allphone_file("phones", None)
        self._phones.activate_search("phones")
        self._noise = np.random.default_rng(1).normal(0.0, NOISE_RMS, RATE_HZ * 10)

    def _pronounce(self, word: str) -> None:
        known: str | None = self._decoder.lookup_word(word)
        if not known:
            raise ValueError(f"the recogniser does not know {word!r}: say it in other words")
        seen, number = {known}, 2
        for change in TELEPHONE:
            heard = " ".join(change.get(phone, phone) for phone in known.split())
            if heard in seen:
                continue
            seen.add(heard)
            while self._decoder.lookup_word(f"{word}({number})"):
                number += 1
            self._decoder.add_word(f"{word}({number})", heard, True)

    def recognise(self, pcm16k: bytes) -> str:
        """The words of an utterance (16-bit mono PCM at 16 kHz), lower case; "" when it fits no sentence."""
        return self.judge(pcm16k)[0]

    def recognise_at(self, pcm: bytes, rate_hz: int) -> str:
        """As `recognise`, from another rate (Hz)."""
        return self.recognise(resample(pcm, rate_hz, RATE_HZ))

    def judge(self, pcm16k: bytes) -> tuple[str, float]:
        """The words of an utterance, and how well they fit: below 0 it was another sentence."""
        speech = _speech(np.frombuffer(pcm16k[: len(pcm16k) // 2 * 2], "<i2").astype(np.float64))
        if speech is None:
            return "", 0.0
        pcm = self._prepared(*speech)
        words, score = self._decode(self._decoder, pcm)
        _, free = self._decode(self._phones, pcm)
        fit = score - free + REJECT + REJECT_PER_FRAME * speech[1]
        words = re.sub(r"\(\d+\)", "", words)
        return (words if fit >= 0 or not self.strict else ""), fit

    def _prepared(self, samples: np.ndarray[Any, np.dtype[np.float64]], frames: int, rms: float) -> bytes:
        """Level the utterance, put silence around it and noise over it all."""
        lead, trail = np.zeros(int(LEAD_S * RATE_HZ)), np.zeros(int(TRAIL_S * RATE_HZ))
        gain = 10 ** (LEVEL_DBFS / 20) * 32768 / rms
        whole = np.concatenate((lead, samples * gain, trail))
        whole += np.resize(self._noise, whole.size)
        return np.clip(whole, -32768, 32767).astype("<i2").tobytes()

    @staticmethod
    def _decode(decoder: Any, pcm: bytes) -> tuple[str, float]:
        decoder.start_utt()
        decoder.process_raw(pcm, no_search=False, full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        return ("", SCORELESS) if found is None else (found.hypstr, math.log(max(found.best_score, LEAST_SCORE)))


def _speech(
    samples: np.ndarray[Any, np.dtype[np.float64]],
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], int, float] | None:
    """The part with speech in it, its frames of 10 ms, and the RMS of the loud ones; None: there is no speech."""
    step = RATE_HZ // 100
    rms = np.sqrt((samples[: samples.size // step * step].reshape(-1, step) ** 2).mean(axis=1))
    if rms.size == 0 or rms.max() < QUIETEST_RMS:
        return None
    loud = np.flatnonzero(rms > rms.max() * LOUD)
    if loud[-1] - loud[0] < SHORTEST_FRAMES:
        return None
    around = int(AROUND_S * RATE_HZ)
    part = samples[max(0, int(loud[0]) * step - around) : int(loud[-1] + 1) * step + around]
    return part, int(loud[-1] - loud[0] + 1), float(np.sqrt((rms[loud] ** 2).mean()))


def _words(grammar: str) -> Iterator[str]:
    """The words of a grammar's rules."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/|#JSGF[^;]*;|grammar\s+[\w.]+;|<[^>]*>|\bpublic\b|/[\d.e+-]+/", " ", grammar)
    yield from dict.fromkeys(plain(text.replace("|", " ")).split())
