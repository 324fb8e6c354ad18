"""What simulated callers have in common: a voice, ears for audio in pieces, and how they tell of a call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from telephony.resample import Resampler
from worker.demo.ears import FRAME_MS, Listener, Started, Stopped
from worker.demo.recognising import PHONE_HZ
from worker.local.speech import synthesize

__all__ = ["FRAME_BYTES", "POLL_S", "Hearing", "spoken", "tell"]

VOICE = "en-us"
RATE_WPM = 150
FRAME_BYTES = PHONE_HZ * FRAME_MS // 1000 * 2
POLL_S = 0.01


def tell(event: str, **values: object) -> None:
    """Write an event of the call as a line of JSON, for the process that has started this one."""
    print(json.dumps({"event": event, **values}), flush=True)


def spoken(text: str) -> bytes:
    """Return these words as 16-bit PCM at `PHONE_HZ`. Blocks."""
    pcm, rate_hz = synthesize(text, voice=VOICE, rate_wpm=RATE_WPM)
    return Resampler(rate_hz, PHONE_HZ).process(pcm)


@dataclass(slots=True)
class Hearing:
    """Listens to a call: 16-bit PCM at `PHONE_HZ`."""

    _listener: Listener = field(default_factory=Listener)
    _rest: bytes = b""

    def hear(self, pcm: bytes) -> Iterator[Started | Stopped]:
        """Take the next piece; yield the edges in it."""
        heard = self._rest + pcm
        whole = len(heard) - len(heard) % FRAME_BYTES
        self._rest = heard[whole:]
        for at in range(0, whole, FRAME_BYTES):
            if (edge := self._listener.hear(heard[at : at + FRAME_BYTES])) is not None:
                yield edge
