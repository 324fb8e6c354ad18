"""The way of one call's audio: between stream, bridge and conference. Everything here runs on the pj thread.

A `MediaPath` knows its call from being asked only: of a call there is one strong reference, the endpoint's.
"""

from __future__ import annotations

import time

from telephony.binding import pj
from telephony.bridge import Bridge
from telephony.port import Port
from telephony.wideband import new_line

Codec = tuple[str, int]
"""Its name in SDP, and its RTP clock in Hz."""


class MediaPath:
    """Wires one dialog's audio, and knows what of it flows."""

    def __init__(self, bridge: Bridge, port: Port) -> None:
        self.bridge = bridge
        self.port = port
        self.codec: Codec | None = None
        """What was negotiated; None before."""
        self.held = False
        self.index = 0
        """Which of the dialog's m-lines is the audio that is live."""
        self._wide = new_line(bridge.rate_hz)
        self._spliced = False
        """The stream is one at 16 kHz, and can be led past the conference."""
        self._mixed = False
        """It is not, since others' sound is to be heard in it."""
        self._packets = 0
        self._heard_at = time.monotonic()

    @property
    def flows(self) -> bool:
        """Whether there is audio both ways."""
        return self.codec is not None and not self.held

    def splice(self, prm: pj.OnStreamCreatedParam) -> None:
        """A stream was made, and is not in the conference yet."""
        self._spliced = self._wide is not None and self._wide.splice(prm)

    def note(self, call: pj.Call, index: int) -> None:
        """Remember the codec of a dialog that is to say and hear nothing yet."""
        stream = call.getStreamInfo(index)
        self.index, self.codec = index, (stream.codecName, stream.codecClockRate)

    def connect(self, call: pj.Call, index: int) -> tuple[bool, bool]:
        """Let the audio flow, at an answer or a new offer. Returns: a hold is over; the codec is new."""
        self.port.set_live(True)
        self._wire(call.getAudioMedia(index))
        before, resumed = self.codec, self.held
        self.note(call, index)
        assert self.codec is not None
        self.bridge.codec = self.codec[0]
        if resumed:
            self.held = False
            self._heard_at = time.monotonic()
        return resumed, self.codec != before

    def _wire(self, audio: pj.AudioMedia) -> None:
        """Let the bridge's frames go straight to a stream at 16 kHz and from it, else through the conference."""
        if self._wide is not None and self._spliced and not self._mixed:
            self.port.attach(None)
            self._wide.attach(self.bridge.queue)
            audio.startTransmit(_nobody())  # it has its ticks from being heard by somebody
            return
        self._unwire()
        audio.startTransmit(self.port)
        self.port.startTransmit(audio)

    def _unwire(self) -> None:
        """Take the bridge's frames back from the stream."""
        if self._wide is not None:
            self._wide.detach()
            self.port.attach(self.bridge)

    def _silence(self, audio: pj.AudioMedia) -> None:
        audio.stopTransmit(self.port)
        if self._spliced:
            audio.stopTransmit(_nobody())
        self.port.stopTransmit(audio)

    def mix(self, audio: pj.AudioMedia | None) -> None:
        """Let others' sound be heard from now on (another call, beeps), which only the conference does: at 8 kHz."""
        if self._mixed:
            return
        self._mixed = True
        if self._spliced and audio is not None:
            audio.stopTransmit(_nobody())
            self._wire(audio)

    def hold(self, call: pj.Call) -> bool:
        """Stop the audio both ways. Returns whether it was flowing."""
        info = call.getInfo()  # held: SWIG's members point into it, and do not keep it alive
        media = info.media
        self._unwire()
        for index in range(len(media)):
            if media[index].type == pj.PJMEDIA_TYPE_AUDIO and media[index].audioConfSlot >= 0:
                self._silence(call.getAudioMedia(index))
        was, self.held = self.held, True
        return not was

    def retire(self, audio: pj.AudioMedia | None) -> None:
        """Say and hear nothing more: another dialog has the bridge."""
        if audio is not None:
            self._silence(audio)
        self._unwire()

    def succeed(self, old: MediaPath) -> None:
        """Take the bridge over from another dialog's path."""
        self._mixed = old._mixed

    def end(self) -> None:
        """Let go of the bridge."""
        self.port.attach(None)
        if self._wide is not None:
            self._wide.detach()

    def silent_s(self, packets: int, now: float) -> float:
        """Seconds since the count of packets from the other side last changed."""
        if packets != self._packets:
            self._packets, self._heard_at = packets, now
        return now - self._heard_at

    def nothing_due(self, now: float) -> None:
        """Nothing is to be received now."""
        self._heard_at = now


def _nobody() -> pj.AudioMedia:
    """The sound device, which is none: what it is sent goes nowhere."""
    return pj.Endpoint.instance().audDevManager().getPlaybackDevMedia()
