"""A call's audio between the telephone's rate and the realtime session's format. Pure; stateful by direction."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from telephony import g711
from telephony.resample import Resampler, process_all
from worker.realtime.formats import RATE_HZ, AudioFormat

__all__ = ["CALL_RATES_HZ", "Downlink", "Uplink", "convert_all", "prepare", "session_format"]

CALL_RATES_HZ = (8000, 16000)
"""The rates of calls: G.711's, and G.722's."""
STREAMS = 4
"""Items that may come at once: an answer while a filler is still on its way, and to spare."""


OWN_FORMAT: Mapping[str, AudioFormat] = {"PCMU": "pcmu", "PCMA": "pcma", "": "pcmu"}
"""By a call's codec. Where it is not known yet the offer is ours, and begins with PCMU."""


def session_format(possible: Sequence[AudioFormat], audio: Literal["pcm", "g711"], codec: str) -> AudioFormat:
    """Return what to ask a session for of what is possible, in a call with this codec ("" while it is not known).

    G.711 goes through in the call's own law; a law is not changed for another, nor G.722 for G.711: that is for the
    format that the provider would rather have.
    """
    own = OWN_FORMAT.get(codec) if audio == "g711" else None
    return own if own in possible and own is not None else possible[0]


def prepare(phone_rates: Collection[int]) -> None:
    """Have every filter at hand before a call wants it. Blocks for a second, most of it to load what designs them."""
    for phone_hz, session_hz in itertools.product(phone_rates, {*RATE_HZ.values()}):
        Resampler(phone_hz, session_hz)
        Resampler(session_hz, phone_hz)


class Uplink:
    """The caller's audio on its way to the session: 16-bit mono PCM at `phone_hz` in, the session's format out."""

    def __init__(self, phone_hz: int, session: AudioFormat) -> None:
        self._phone_hz = phone_hz
        self._session: AudioFormat | None = None
        self.use(session)

    def use(self, session: AudioFormat) -> None:
        """Convert into this format from now on; nothing changes where that is so already."""
        if session == self._session:
            return
        self._session = session
        rate_hz = RATE_HZ[session]
        self.resampler = Resampler(self._phone_hz, rate_hz) if rate_hz != self._phone_hz else None
        self.encode = {"pcmu": g711.ulaw_encode, "pcma": g711.alaw_encode}.get(session)

    def convert(self, pcm: bytes) -> bytes:
        """Convert the next piece, of any length in whole samples."""
        return convert_all([(self, pcm)])[0]


def convert_all(pieces: Sequence[tuple[Uplink, bytes]]) -> list[bytes]:
    """Convert the next pieces of several calls: a third of what they cost one by one."""
    work = [(number, uplink.resampler) for number, (uplink, _) in enumerate(pieces) if uplink.resampler is not None]
    done = [pcm for _, pcm in pieces]
    resampled = process_all([(resampler, done[number]) for number, resampler in work])
    for (number, _), pcm in zip(work, resampled, strict=True):
        done[number] = pcm
    return [
        audio if uplink.encode is None else uplink.encode(audio)
        for (uplink, _), audio in zip(pieces, done, strict=True)
    ]


class Downlink:
    """The agent's audio on its way to the caller: the session's format in, 16-bit mono PCM at `phone_hz` out.

    Each item has a filter of its own, which begins at rest: the pieces of two items may come in turns.
    """

    def __init__(self, phone_hz: int, session: AudioFormat) -> None:
        self._phone_hz = phone_hz
        self._session: AudioFormat | None = None
        self.use(session)

    def use(self, session: AudioFormat) -> None:
        """Convert from this format from now on; nothing changes where that is so already."""
        if session == self._session:
            return
        self._session = session
        self._rates = (RATE_HZ[session], self._phone_hz)
        self._decode = {"pcmu": g711.ulaw_decode, "pcma": g711.alaw_decode}.get(session)
        self._streams: OrderedDict[str, Resampler] = OrderedDict()

    def convert(self, item_id: str, audio: bytes) -> bytes:
        """Convert the next piece of an item."""
        if self._decode is not None:
            audio = self._decode(audio)
        if self._rates[0] == self._rates[1]:
            return audio
        stream = self._streams.get(item_id)
        if stream is None:
            stream = self._streams[item_id] = Resampler(*self._rates)
            if len(self._streams) > STREAMS:
                self._streams.popitem(last=False)
        else:
            self._streams.move_to_end(item_id)
        return stream.process(audio)
