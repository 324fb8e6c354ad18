"""The sound card as the caller's telephone: what the microphone hears goes in, the agent comes out."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

from telephony.bridge import Bridge
from worker.errors import HostError

__all__ = ["sound_card"]


@contextlib.contextmanager
def sound_card(bridge: Bridge) -> Iterator[None]:
    """Let a call be heard and spoken into for as long as the block lasts. Raises HostError where that can't be had.

    PortAudio calls back on a thread of its own, which only copies: the bridge is made for that.
    """
    try:
        devices: Any = importlib.import_module("sounddevice")
    except ImportError:
        raise HostError("--microphone needs sounddevice: pip install sounddevice (or type instead)") from None
    except OSError as error:  # the library that it loads
        raise HostError(f"--microphone: {error}; install PortAudio (Debian: libportaudio2), or type instead") from None

    def callback(heard: Any, said: Any, frames: int, time: Any, status: Any) -> None:
        bridge.push(bytes(heard))
        said[:] = bridge.pull()

    samples = bridge.frame_bytes // 2
    try:
        stream = devices.RawStream(
            samplerate=bridge.rate_hz, blocksize=samples, channels=1, dtype="int16", callback=callback
        )
        with stream:
            yield
    except devices.PortAudioError as error:
        raise HostError(f"--microphone: {error}; choose a device in the system's settings, or type instead") from None
