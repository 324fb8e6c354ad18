from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator

import pytest

from worker.local.engines import Engines
from worker.local.patterns import jsgf
from worker.local.protocol import Speak, Transcribe
from worker.local.speech import synthesize


def speak(text: str = "hello", format_type: str = "audio/pcmu") -> Speak:
    return Speak("resp", 0, text, "alloy", 1.0, format_type)


class Mouth:
    """Counts; its voice is 100 ms of silence."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.threads: set[int] = set()

    def speak(self, text: str, voice: str, speed: float) -> tuple[bytes, int]:
        self.texts.append(text)
        self.threads.add(threading.get_ident())
        if text == "break":
            raise OSError("no voice")
        return bytes(1600), 8000


@pytest.fixture
async def engines() -> AsyncIterator[Engines]:
    made = Engines("", processes=0, hear=lambda job: job.item_id, mouth=Mouth())
    await made.start()
    yield made
    await made.stop()


async def test_a_sentence_is_spoken_once_and_in_each_format(engines: Engines) -> None:
    assert isinstance(engines.mouth, Mouth)
    assert await engines.speak(speak()) == await engines.speak(speak()) == b"\xff" * 800
    assert await engines.speak(speak(format_type="audio/pcm")) == bytes(4800)
    assert engines.mouth.texts == ["ready", "hello", "hello"]
    assert threading.get_ident() not in engines.mouth.threads


async def test_what_breaks_is_none_and_the_next_one_is_fine(engines: Engines) -> None:
    assert await engines.speak(speak("break")) is None
    assert await engines.speak(speak("fine")) is not None
    assert await engines.hear(Transcribe("words", b"", 8000)) == "words"


async def test_real_ears_work_in_a_process_of_their_own() -> None:
    engines = Engines(jsgf(["hello [again]"]), processes=1)
    await engines.start()
    try:
        pcm, rate_hz = synthesize("hello again")
        assert await engines.hear(Transcribe("item", pcm, rate_hz)) == "hello again"
        assert engines._ears is not None
        assert os.getpid() not in getattr(engines._ears, "_processes", {})
    finally:
        await engines.stop()


async def test_a_word_that_the_ears_do_not_know_stops_the_start() -> None:
    engines = Engines(jsgf(["gizmotron"]), processes=1)
    try:
        with pytest.raises(ValueError, match="'gizmotron'"):
            await engines.start()
    finally:
        await engines.stop()
