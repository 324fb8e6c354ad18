"""Who answered a call of ours: a person, a machine, or nobody that speaks. Pure; its clock is the audio.

Somebody says a word or a sentence and waits; a machine talks on, in words that machines have, and ends in a beep. What
was judged a person may turn out to be a machine later: by its words, or by the beep. The times are those of greetings
spoken at 120 to 180 words a minute (tests/bench/screening.py prints how often each is right).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from worker.realtime.ears import Ears, Edge

__all__ = ["Answerer", "BeepHeard", "GreetingEnded", "Judged", "Screening", "is_machine_talk"]

Answerer = Literal["person", "machine", "silence"]

PAUSE_MS: Final = 300
"""Shorter silences are within a sentence."""
WAITS_MS: Final = 800
"""Who has said no more for so long waits for us."""
SHORT_MS: Final = 2400
"""Speech of at most so long, and then silence, is a person's."""
LONG_MS: Final = 6200
"""Speech of so long is a machine's: a person who answers with a name and a question takes up to 6 s (a slow one)."""
BETWEEN_MS: Final = 1200
"""What lies between the two is a person's where so much silence follows it."""
NOBODY_MS: Final = 4000
"""Nobody has spoken by then."""
ENDED_MS: Final = 2500
"""A machine that is silent for so long listens, beep or not."""

FRAME_MS: Final = 20
TALKED_MS: Final = 2500
"""A person is taken for a machine by a beep only where so much was said at first, or since: other things beep, too."""
BEEP_HZ: Final = (350.0, 2300.0)
BEEP_MS: Final = (160, 3000)
BEEP_DBFS: Final = -38.0
PURE: Final = 0.9
"""The share of a frame's power in three neighbouring bins of 50 Hz. Speech has it for 100 ms at most."""

_TALK: Final = re.compile(
    "|".join(
        (
            r"leave (?:me |us )?(?:a|your) (?:\w+ )?message|after the (?:tone|beep|signal)|at the tone",
            r"voice ?mail|mail ?box|record your message|answering (?:machine|service)",
            r"(?:can(?:no|')?t|unable to|not able to) (?:come to|take|answer) (?:the phone|your call|the call)",
            r"(?:is|are) not available|you(?:'ve| have) reached",
            r"nachricht (?:nach|hinterlassen)|nach dem (?:signal|piep|ton)\w*",
            r"anrufbeantworter|sprachbox|nicht erreichbar",
            r"laiss\w+ (?:un|votre|nous un) message|après le (?:bip|signal)\w*",
            r"messagerie|répondeur|pas (?:disponible|joignable)",
            r"dej\w+ (?:un|su) mensaje|después (?:de la señal|del tono)",
            r"buzón|contestador|no est(?:á|oy) disponible",
        )
    ),
    re.I,
)


@dataclass(frozen=True, slots=True)
class Judged:
    """Who answered. at_ms: in ms of the audio. why: for the log and the record, without words that were said."""

    answerer: Answerer
    at_ms: int
    why: str


@dataclass(frozen=True, slots=True)
class BeepHeard:
    """The machine's tone is over: it records."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class GreetingEnded:
    """The machine has been silent for long enough: it records, as far as can be heard."""

    at_ms: int


def is_machine_talk(text: str) -> bool:
    """Whether these words are an answering machine's (en, de, fr, es)."""
    return bool(_TALK.search(text))


class _Beeps:
    """Finds the end of a pure tone."""

    def __init__(self, rate_hz: int) -> None:
        self._samples = rate_hz * FRAME_MS // 1000
        self._window = np.hanning(self._samples).astype(np.float32)
        self._hz = np.fft.rfftfreq(self._samples, 1 / rate_hz)
        self._tone_hz = 0.0
        self._ms = 0

    def ended(self, frame: bytes) -> bool:
        """Whether a tone that was long enough has just ended."""
        hz = self._tone(np.frombuffer(frame, "<i2").astype(np.float32))
        if hz and (not self._ms or abs(hz - self._tone_hz) <= 60):
            self._tone_hz, self._ms = hz, self._ms + FRAME_MS
            return False
        long_enough = BEEP_MS[0] <= self._ms <= BEEP_MS[1]
        self._tone_hz, self._ms = hz, FRAME_MS if hz else 0
        return long_enough

    def _tone(self, samples: np.ndarray[tuple[int], np.dtype[np.float32]]) -> float:
        """The frequency of a frame that is one tone; 0 for any other."""
        level = 10 * np.log10(max(float(np.mean(samples * samples)), 1e-3)) - 90.31
        if level < BEEP_DBFS:
            return 0.0
        power = np.abs(np.fft.rfft(samples * self._window)) ** 2
        top = int(np.argmax(power))
        near = float(power[max(0, top - 1) : top + 2].sum())
        hz = float(self._hz[top])
        return hz if near > PURE * float(power.sum()) and BEEP_HZ[0] <= hz <= BEEP_HZ[1] else 0.0


class Screening:
    """Listens from the answer on: 16-bit PCM at `rate_hz`, in pieces of any length in whole samples."""

    def __init__(self, rate_hz: int = 8000) -> None:
        self.answerer: Answerer | None = None
        """As judged last."""
        self._ears = Ears(rate_hz, end_ms=PAUSE_MS)
        self._beeps = _Beeps(rate_hz)
        self._frame_bytes = rate_hz * FRAME_MS // 1000 * 2
        self._rest = b""
        self._ms = 0
        self._began_ms: int | None = None
        """Of the speech that goes on;"""
        self._ended_ms: int | None = None
        """the end of that before."""
        self._greeted_from_ms: int | None = None
        self._recording = False
        self._talked_ms = 0
        """Of what was said before it was judged a person, and since."""

    def hear(self, pcm: bytes) -> list[Judged | BeepHeard | GreetingEnded]:
        """Take the next piece; return what is known by it."""
        data = self._rest + pcm
        whole = len(data) - len(data) % self._frame_bytes
        self._rest = data[whole:]
        found: list[Judged | BeepHeard | GreetingEnded] = []
        for at in range(0, whole, self._frame_bytes):
            found += self._frame(data[at : at + self._frame_bytes])
        return found

    def read(self, text: str) -> list[Judged | BeepHeard | GreetingEnded]:
        """Take what the answerer said, by the provider's transcript."""
        if self.answerer == "machine" or not is_machine_talk(text):
            return []
        return [self._judge("machine", "words of a machine")]

    def _frame(self, frame: bytes) -> list[Judged | BeepHeard | GreetingEnded]:
        self._ms += FRAME_MS
        for edge in self._ears.hear(frame):
            if isinstance(edge, Edge):
                self._edge(edge)
        if self._beeps.ended(frame):
            return self._beep()
        if self.answerer == "machine":
            return self._after_a_machine()
        if self.answerer == "person":
            self._talked_ms += FRAME_MS if self._began_ms is not None else 0
        judged = self._by_time() if self.answerer is None or self.answerer == "silence" else None
        return [judged] if judged is not None else []

    def _edge(self, edge: Edge) -> None:
        if edge.started:
            if self._ended_ms is None or edge.at_ms - self._ended_ms >= WAITS_MS:
                self._greeted_from_ms = edge.at_ms
            self._began_ms = edge.at_ms
        else:
            self._began_ms, self._ended_ms = None, edge.at_ms

    def _by_time(self) -> Judged | None:
        start = self._greeted_from_ms
        if start is None:
            late = self._ms >= NOBODY_MS and self.answerer is None
            return self._judge("silence", f"no word in {NOBODY_MS} ms") if late else None
        if self._began_ms is not None:
            spoken = self._ms - start
            return self._judge("machine", f"{spoken} ms without a pause") if spoken >= LONG_MS else None
        assert self._ended_ms is not None
        spoken, quiet = self._ended_ms - start, self._ms - self._ended_ms
        if quiet >= (WAITS_MS if spoken <= SHORT_MS else BETWEEN_MS):
            self._talked_ms = spoken if spoken > SHORT_MS else 0
            return self._judge("person", f"{spoken} ms, then silence")
        return None

    def _beep(self) -> list[Judged | BeepHeard | GreetingEnded]:
        if self.answerer == "person" and self._talked_ms < TALKED_MS:
            return []
        self._recording = True
        judged = [self._judge("machine", "a beep")] if self.answerer != "machine" else []
        return [*judged, BeepHeard(self._ms)]

    def _after_a_machine(self) -> list[Judged | BeepHeard | GreetingEnded]:
        quiet = self._began_ms is None and self._ended_ms is not None and self._ms - self._ended_ms >= ENDED_MS
        if self._recording or not quiet:
            return []
        self._recording = True
        return [GreetingEnded(self._ms)]

    def _judge(self, answerer: Answerer, why: str) -> Judged:
        self.answerer = answerer
        return Judged(answerer, self._ms, why)
