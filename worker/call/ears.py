"""Our own ears on the caller's line: loud or quiet, by energy alone. Pure; time is a parameter (s).

No turn detection: a provider has that. It bounds what a provider says of the caller's speech, for one that has missed
its end would keep the agent silent for good.
"""

from __future__ import annotations

from telephony.pcm import rms

__all__ = ["LOUD_DBFS", "QUIET_S", "Ears"]

LOUD_DBFS = -48.0
"""Speech on the telephone is 20 to 30 dB over this, a line's noise 5 to 15 under it."""
LOUD_RMS = 32768 * 10 ** (LOUD_DBFS / 20)
QUIET_S = 0.8
"""Without a loud piece for so long the line is quiet: longer than a pause for breath."""


class Ears:
    """One caller's line."""

    def __init__(self) -> None:
        self._loud: bool | None = None
        self._last: float | None = None
        self.rms = 0
        """The level of the last piece, 0 to 32768."""

    def hear(self, pcm: bytes, now: float) -> bool | None:
        """Take the next piece (16-bit PCM, any rate and length, also none); return the edge: loud, quiet, or None."""
        self.rms = rms(pcm)
        if self._last is None or self.rms > LOUD_RMS:
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
