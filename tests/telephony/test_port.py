"""The port's callbacks as the clock thread makes them, without a clock."""

from __future__ import annotations

from typing import Any

import pytest

CODE = """
import pjsua2 as pj
from telephony import frames
from telephony.library import Library
from telephony.port import FRAME_BYTES, NATIVE, SILENCE, BridgePort, PortPool, new_bridge
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
bridge = new_bridge()
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
bridge = new_bridge()
port = pool.take(bridge)
empty = pj.MediaFrame()
port.onFrameReceived(empty)
assert bridge.take() == b""
port.set_live(True)
port.onFrameReceived(empty)
assert bridge.take() == SILENCE
""",
    "without a call nothing is kept": """
port = pool.take(new_bridge())
pool.give_back(port)
frame = pj.MediaFrame()
frames.write(frame, b"ab" * 160)
port.onFrameReceived(frame)
port.onFrameRequested(frame)
assert frames.read(frame) == SILENCE
port = pool.take(new_bridge())
""",
    "a fault is counted and is silence": """
class Broken:
    def push(self, frame): raise RuntimeError
    def pull(self): raise RuntimeError
    queue = property(lambda self: self)
port = BridgePort("broken")
port.attach(Broken())
frame = pj.MediaFrame()
frames.write(frame, b"ab" * 160)
port.onFrameReceived(frame)
port.onFrameRequested(frame)
assert port.faults == 2 and frames.read(frame) == SILENCE
""",
    "the one that rested longest is next": """
one, two = pool.take(new_bridge()), pool.take(new_bridge())
one.set_live(True)
one.faults = 3
pool.give_back(one)
pool.give_back(two)
port = pool.take(new_bridge())
assert port is one and port.faults == 0
bridge, empty = new_bridge(), pj.MediaFrame()
port.attach(bridge)
port.onFrameReceived(empty)
assert bridge.take() == b"", "it was live in its last call"
del one, two
""",
}


def test_our_own_build_moves_frames_without_python(run_python: Any) -> None:
    body = """
port = pool.take(new_bridge())
assert NATIVE == (type(port).__name__ == "NativePort") == hasattr(pj, "FramePort")
"""
    run_python(CODE.format(body=body))


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_port(run_python: Any, body: str) -> None:
    run_python(CODE.format(body=body))
