"""Our own ears on the caller's line: loud or quiet, by energy alone. Pure; time is a parameter (s).

No turn detection: a provider has that. It bounds what a provider says of the caller's speech, for one that has missed
its end would keep the agent silent for good.
"""

from __future__ import annotations

from telephony.pcm import rms
from worker.call.voicing import Voicing
from worker.realtime import ears as speech
from worker.turns.events import CallerHeard

__all__ = ["GAP_MS", "LOUD_DBFS", "QUIET_S", "CloseEars", "Ears"]

LOUD_DBFS = -48.0
"""Speech on the telephone is 20 to 30 dB over this, a line's noise 5 to 15 under it."""
LOUD_RMS = 32768 * 10 ** (LOUD_DBFS / 20)
QUIET_S = 0.8
"""Without a loud piece for so long the line is quiet: longer than a pause for breath."""


GAP_MS = 140
"""Quiet that ends a sound: longer than within a word (a stop consonant: 0.1 s). It makes every verdict later."""


class CloseEars:
    """One caller's line, listened to closely: each sound and its length, with the ears of a provider without any."""

    def __init__(self, rate_hz: int) -> None:
        self._ears = speech.Ears(rate_hz, end_ms=GAP_MS)
        self._rate_hz = rate_hz
        self._heard_ms = 0.0
        self._began_ms = 0
        self._voicing = Voicing(rate_hz)
        self._voiced_ms = 0

    def hear(self, pcm: bytes) -> list[CallerHeard]:
        """Take the next piece (16-bit PCM of whole samples); return the sounds that begin and end in it."""
        self._heard_ms += len(pcm) / (2 * self._rate_hz) * 1000
        found = []
        self._voiced_ms += self._voicing.hear(pcm)
        for edge in self._ears.hear(pcm):
            if not isinstance(edge, speech.Edge):
                continue
            if edge.started:
                self._began_ms = edge.at_ms
                found.append(CallerHeard(True, max(0, round(self._heard_ms) - edge.at_ms)))
            else:
                found.append(CallerHeard(False, max(0, edge.at_ms - self._began_ms), self._voiced_ms))
        if not self._ears.speaking and pcm:
            self._voiced_ms = 0
        return found


class Ears:
    """One caller's line."""

    def __init__(self) -> None:
        self._loud: bool | None = None
        self._last: float | None = None

    def hear(self, pcm: bytes, now: float) -> bool | None:
        """Take the next piece (16-bit PCM, any rate and length, also none); return the edge: loud, quiet, or None."""
        if self._last is None or rms(pcm) > LOUD_RMS:
            before, self._last = self._last, now
            if before is None:
                return None
            return self._edge(True)
        return self._edge(False) if now - self._last >= QUIET_S else None

    def _edge(self, loud: bool) -> bool | None:
        if loud == self._loud:
            return None
        self._loud = loud
        return loud
