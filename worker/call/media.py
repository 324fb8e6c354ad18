"""One call's audio: the bridge to the telephone, what the caller hears of it, and the conversion each way."""

from __future__ import annotations

from telephony.bridge import Bridge
from worker.call.audio import Downlink, Uplink
from worker.call.playout import Playout
from worker.realtime.formats import AudioFormat
from worker.records.recorder import Recorder

__all__ = ["CallMedia"]


class CallMedia:
    """What always travels together where a call's audio passes."""

    def __init__(self, bridge: Bridge, sent: AudioFormat, received: AudioFormat, recorder: Recorder) -> None:
        """Begin silent. sent, received: the session's formats, as far as they are known."""
        self.bridge = bridge
        self.playout = Playout(bridge, recorder)
        self.uplink = Uplink(bridge.rate_hz, sent)
        self.downlink = Downlink(bridge.rate_hz, received)

    def use(self, sent: AudioFormat, received: AudioFormat) -> None:
        """Convert for these formats of the session from now on."""
        self.uplink.use(sent)
        self.downlink.use(received)
