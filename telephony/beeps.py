"""Beeps on the line that tell of a recording: 1400 Hz for 200 ms, each so many seconds. On the pj thread only.

That is the tone of 47 CFR 64.501 (1400 Hz, each 12 to 15 s) and of carriers elsewhere. pjmedia makes it, once for all
calls with the same interval, and its conference mixes it into what they hear: without Python, and in no queue.
"""

from __future__ import annotations

from telephony.binding import pj
from telephony.call import SipCall
from telephony.recording import BEEP_HZ, BEEP_MS, BEEP_PEAK

__all__ = ["Beeps"]


class Beeps:
    """Which calls hear beeps. It keeps ids, and no reference to a call."""

    def __init__(self) -> None:
        self._tones: dict[int, pj.ToneGenerator] = {}
        self._interval_ms: dict[str, int] = {}

    def set(self, call: SipCall, seconds: float) -> None:
        """Let a call hear them at this interval (s, 1 to 30) from now on; 0: no more. Raises pj.Error."""
        before = self._interval_ms.pop(call.call_id, None)
        audio = call.audio()
        if before is not None and audio is not None:
            self._tones[before].stopTransmit(audio)
        call.beeps = self
        if seconds:
            self._interval_ms[call.call_id] = round(seconds * 1000)
            call.mix()
            self.media_changed(call)

    def media_changed(self, call: SipCall) -> None:
        """A call's audio is new: connect it again. Raises pj.Error."""
        interval_ms, audio = self._interval_ms.get(call.call_id), call.audio()
        if interval_ms is not None and audio is not None:
            self._tone(interval_ms).startTransmit(audio)

    def ended(self, call_id: str) -> None:
        """A call is over."""
        self._interval_ms.pop(call_id, None)

    def clear(self) -> None:
        """Destroy the tones; no call is up any more."""
        self._interval_ms.clear()
        self._tones.clear()

    def _tone(self, interval_ms: int) -> pj.ToneGenerator:
        tone = self._tones.get(interval_ms)
        if tone is None:
            tone = pj.ToneGenerator()
            tone.createToneGenerator()
            beep = pj.ToneDesc()
            beep.freq1, beep.freq2, beep.volume = BEEP_HZ, 0, BEEP_PEAK
            beep.on_msec, beep.off_msec = BEEP_MS, interval_ms - BEEP_MS
            tones = pj.ToneDescVector()
            tones.append(beep)
            tone.play(tones, True)
            self._tones[interval_ms] = tone
        return tone
