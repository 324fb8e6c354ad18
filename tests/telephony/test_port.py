"""The port's callbacks as the clock thread makes them, without a clock."""

from __future__ import annotations

from typing import Any

import pytest

CODE = """
import pjsua2 as pj
from telephony import frames
from telephony.bridge import Bridge
from telephony.library import Library
from telephony.port import FRAME_BYTES, SILENCE, PortPool
from telephony.settings import SipSettings

library = Library(SipSettings(port=0, rtp_ports=(0, 0)))
library.start()
library.stop_clock()
pool = PortPool()
{body}
pool.give_back(port)
del port
pool.clear()
library.stop()
print("good")
"""

BODIES = {
    "frames go through": """
bridge = Bridge(8000)
port = pool.take(bridge)
frame = pj.MediaFrame()
frames.write(frame, b"ab" * 160)
port.onFrameReceived(frame)
assert bridge.take() == b"ab" * 160
bridge.play("item", b"cd" * 160)
port.onFrameRequested(frame)
assert (frames.read(frame), frame.size, frame.type) == (b"cd" * 160, FRAME_BYTES, frames.AUDIO)
port.onFrameRequested(frame)
assert frames.read(frame) == SILENCE
assert port.faults == 0
""",
    "a heartbeat is silence once media was up": """
bridge = Bridge(8000)
port = pool.take(bridge)
empty = pj.MediaFrame()
port.onFrameReceived(empty)
assert bridge.take() == b""
port.live = True
port.onFrameReceived(empty)
assert bridge.take() == SILENCE
""",
    "without a call nothing is kept": """
port = pool.take(Bridge(8000))
pool.give_back(port)
frame = pj.MediaFrame()
frames.write(frame, b"ab" * 160)
port.onFrameReceived(frame)
port.onFrameRequested(frame)
assert frames.read(frame) == SILENCE
port = pool.take(Bridge(8000))
""",
    "a fault is counted and is silence": """
class Broken:
    def push(self, frame): raise RuntimeError
    def pull(self): raise RuntimeError
port = pool.take(Broken())
frame = pj.MediaFrame()
frames.write(frame, b"ab" * 160)
port.onFrameReceived(frame)
port.onFrameRequested(frame)
assert port.faults == 2 and frames.read(frame) == SILENCE
""",
    "the one that rested longest is next": """
one, two = pool.take(Bridge(8000)), pool.take(Bridge(8000))
one.live, one.faults = True, 3
pool.give_back(one)
pool.give_back(two)
port = pool.take(Bridge(8000))
assert port is one and (port.live, port.faults) == (False, 0)
del one, two
""",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_port(run_python: Any, body: str) -> None:
    run_python(CODE.format(body=body))
