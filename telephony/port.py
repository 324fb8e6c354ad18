"""The media ports between pjmedia's conference and the calls' bridges.

Their callbacks run on pjmedia's clock thread, twice per 20 ms and port: they copy bytes and return. Our own build has a
port and a queue in C++ (native/), where they do so without Python; with any other they are `BridgePort`'s.
"""

from __future__ import annotations

import ctypes
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Protocol

from telephony import frames
from telephony.binding import pj
from telephony.bridge import Bridge
from telephony.frame_queue import FrameQueue, Queue

__all__ = ["NATIVE", "BridgePort", "Port", "PortPool", "lacks", "new_bridge"]

RATE_HZ = 8000
"""Of the conference, and of a port unless said otherwise: to have the conference resample costs more than all the rest
of a call."""
PTIME_MS = 20
FRAME_BYTES = RATE_HZ * PTIME_MS // 1000 * 2
SILENCE = bytes(FRAME_BYTES)

NATIVE = hasattr(pj, "FrameQueue") and hasattr(pj, "FramePort")
"""Whether this build moves frames without Python."""

_thread = threading.local()


def lacks(queue: type) -> list[str]:
    """Return what a build's queue in C++ has not of `Queue`: it was made for an offhook of before."""
    return [name for name in vars(Queue) if not name.startswith("_") and not hasattr(queue, name)]


def new_bridge(rate_hz: int = RATE_HZ) -> Bridge:
    """A call's bridge, with the best queue that this build has."""
    make: Callable[[int, float, int, int], Queue] = pj.FrameQueue if NATIVE else FrameQueue
    return Bridge(rate_hz, ptime_ms=PTIME_MS, make_queue=make)


def _keep_thread_state() -> None:
    """On a thread of pjmedia's: let Python keep its state of this thread between callbacks.

    SWIG gives it back after each, so that Python makes and frees one per callback: half of the clock thread's time with
    50 calls (10.4 against 5.6 % of a core, 0.62 against 0.50 % per call in all). One state is left behind per endpoint.
    """
    if not hasattr(_thread, "kept"):
        _thread.kept = True
        ctypes.pythonapi.PyGILState_Ensure()


class Port(Protocol):
    """What belongs to one call at a time. Made, given and taken back on the pj thread."""

    rate_hz: int
    """Of its frames."""
    faults: int
    """Callbacks that raised; there is nobody to raise to, and no logging on the clock thread."""

    def attach(self, bridge: Bridge | None) -> None:
        """Move this bridge's frames from now on; None: nobody's, and no callback is under way any more with native."""

    def set_live(self, live: bool) -> None:
        """Media has been up: from then on the absence of frames (hold) is silence, so that whoever listens for
        the end of the caller's turn hears one.
        """

    def startTransmit(self, sink: pj.AudioMedia) -> None:
        """pjsua2's: send what is requested of this port to another."""

    def stopTransmit(self, sink: pj.AudioMedia) -> None:
        """pjsua2's: send no more."""


def _create(port: pj.AudioMediaPort, name: str, rate_hz: int) -> None:
    form = pj.MediaFormatAudio()
    form.init(pj.PJMEDIA_FORMAT_PCM, rate_hz, 1, PTIME_MS * 1000, 16)
    port.createPort(name, form)


class BridgePort(pj.AudioMediaPort):  # type: ignore[misc]
    """A `Port` in Python."""

    def __init__(self, name: str, rate_hz: int = RATE_HZ) -> None:
        super().__init__()
        self.rate_hz = rate_hz
        self._silence = bytes(rate_hz * PTIME_MS // 1000 * 2)
        self._queue: Queue | None = None
        self._live = False
        self.faults = 0
        _create(self, name, rate_hz)

    def attach(self, bridge: Bridge | None) -> None:
        """Move this bridge's frames from now on; None: nobody's."""
        self._queue = None if bridge is None else bridge.queue

    def set_live(self, live: bool) -> None:
        """Whether the absence of frames is silence."""
        self._live = live

    def onFrameReceived(self, frame: pj.MediaFrame) -> None:
        """The caller's frame; an empty one is the conference's heartbeat while nothing is connected."""
        _keep_thread_state()
        queue = self._queue
        if queue is None:
            return
        try:
            if frame.size:
                queue.push(frames.read(frame))
            elif self._live:
                queue.push(self._silence)
        except Exception:
            self.faults += 1

    def onFrameRequested(self, frame: pj.MediaFrame) -> None:
        """The agent's frame, or silence."""
        _keep_thread_state()
        queue, pcm = self._queue, self._silence
        if queue is not None:
            try:
                pcm = queue.pull()
            except Exception:
                self.faults += 1
        frames.write(frame, pcm)


if NATIVE:

    class NativePort(pj.FramePort):  # type: ignore[misc]
        """A `Port` in C++. It moves the frames of a native queue only, so a bridge of `new_bridge`."""

        def __init__(self, name: str, rate_hz: int = RATE_HZ) -> None:
            super().__init__(rate_hz * PTIME_MS // 1000 * 2)
            self.rate_hz = rate_hz
            self.faults = 0
            self._bridge: Bridge | None = None
            _create(self, name, rate_hz)

        def attach(self, bridge: Bridge | None) -> None:
            """Move this bridge's frames from now on; None: nobody's, and no callback is under way any more."""
            if bridge is None:
                super().detach()
            else:
                super().attach(bridge.queue)
            self._bridge = bridge  # kept alive until nothing on the clock thread has its queue


class PortPool:
    """Ports are never destroyed while the clock runs: pjmedia may be inside one of their callbacks.

    Used again in the order they came back, so that a port rests until the conference has let go of its last call. Those
    of another rate are others.
    """

    def __init__(self) -> None:
        self._free: defaultdict[int, deque[Port]] = defaultdict(deque)
        self._made = 0

    def take(self, bridge: Bridge) -> Port:
        """A port for this bridge."""
        free = self._free[bridge.rate_hz]
        if free:
            port = free.popleft()
        else:
            port = (NativePort if NATIVE else BridgePort)(f"offhook-{self._made}", bridge.rate_hz)
            self._made += 1
        port.set_live(False)
        port.faults = 0
        port.attach(bridge)
        return port

    def give_back(self, port: Port) -> None:
        """The call is over."""
        port.attach(None)
        self._free[port.rate_hz].append(port)

    def clear(self) -> None:
        """Destroy every port; the conference's clock must stand still."""
        self._free.clear()
