"""Audio that nobody listens to is taken; a sound card is used as PortAudio would have it."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType
from typing import Any

import pytest

from telephony.bridge import Bridge
from worker.console.line import take_all
from worker.console.microphone import sound_card
from worker.errors import HostError


async def test_what_the_agent_says_is_heard_whole_and_soon() -> None:
    bridge = Bridge(8000)
    bridge.play("i1", bytes(8000 * 2 * 5))
    bridge.end_item("i1")
    taking = asyncio.create_task(take_all(bridge))
    async with asyncio.timeout(4):  # five seconds of it
        while bridge.playing() is not None:
            await asyncio.sleep(0.01)
    assert bridge.heard_ms("i1") in (0, 5000)  # 0: it is forgotten by then
    taking.cancel()


def test_without_sounddevice_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(HostError, match="pip install sounddevice"), sound_card(Bridge(8000)):
        pass


class PortAudioError(Exception):
    pass


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What sounddevice offers of a machine whose only device answers when it is told to."""
    module: Any = ModuleType("sounddevice")
    module.PortAudioError = PortAudioError
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return module


def test_a_machine_without_a_sound_card_is_told(devices: Any) -> None:
    def none(**options: Any) -> None:
        raise PortAudioError("Error querying device -1")

    devices.RawStream = none
    with pytest.raises(HostError, match="querying device -1; choose a device"), sound_card(Bridge(8000)):
        pass


def test_frames_go_both_ways(devices: Any) -> None:
    opened: dict[str, Any] = {}

    class Stream:
        def __init__(self, **options: Any) -> None:
            opened.update(options)

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None:
            opened["closed"] = True

    devices.RawStream = Stream
    bridge = Bridge(8000)
    bridge.play("i1", b"\x01\x02" * 160)
    with sound_card(bridge):
        assert (opened["samplerate"], opened["blocksize"], opened["dtype"]) == (8000, 160, "int16")
        said = bytearray(320)
        opened["callback"](b"\x05\x06" * 160, said, 160, None, None)
        assert bytes(said) == b"\x01\x02" * 160 and bridge.take() == b"\x05\x06" * 160
    assert opened["closed"]
