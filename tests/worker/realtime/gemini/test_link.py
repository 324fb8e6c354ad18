"""A link on the Live API, against the local server over a real WebSocket: ears, turns, sessions one after another."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worker.local.dialogue import load_dialogue
from worker.local.protocol import Transcribe
from worker.local.server import RealtimeServer, ServerSettings
from worker.realtime.base import Entry, Frame, OpenCall, ResponseRequest, SessionConfig
from worker.realtime.dialect import GEMINI
from worker.realtime.events import (
    AudioDelta,
    CallerTranscript,
    ConnectionLost,
    RealtimeEvent,
    ResponseDone,
    SessionReady,
    SpeechStarted,
    SpeechStopped,
    ToolCallRequested,
)
from worker.realtime.link import Link
from worker.realtime.provider import Provider

KEY = "AIza-of-the-test"
DIALOGUE = """
greeting = "Good day."
[[turn]]
hears = ["where is my order"]
say = "Let me see."
[[turn.call]]
tool = "look_up"
arguments = {}
[[turn.call.answer]]
when = { status = "shipped" }
say = "It is on its way."
"""
TOOL = {"type": "function", "name": "look_up", "description": "Looks.", "parameters": {"type": "object"}}
SPEECH = (np.random.default_rng(1).normal(0, 3000, 16_000)).astype("<i2").tobytes()
SILENCE = bytes(2 * 16_000)


class Mouth:
    def speak(self, text: str, voice: str, speed: float) -> tuple[bytes, int]:
        return bytes(2 * 4_800), 24_000


class Owner:
    """Who the link belongs to: keeps what it is told."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.events: list[RealtimeEvent] = []
        self.gone: list[str] = []
        self.said: list[Entry] = []
        self.open: list[OpenCall] = []
        self.replays = 0
        link.attach(self.events.append, self._replay, self.gone.append)

    def _replay(self) -> list[Frame]:
        self.replays += 1
        return self.link.codec.history(self.said, self.open)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, kind: type, count: int = 1) -> Any:
        async with asyncio.timeout(10):
            while len(self.of(kind)) < count:
                await asyncio.sleep(0.005)
        return self.of(kind)[count - 1]

    async def speaks(self) -> None:
        """A second of speech and one of silence, as a call brings it."""
        for pcm in (SILENCE, SPEECH, SILENCE):
            for at in range(0, len(pcm), 1280):
                self.link.append(pcm[at : at + 1280])
                await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def owned(
    folder: Path, heard: list[Transcribe] | None = None, *, model: str = "gemini-3.8-live", key: str = KEY
) -> AsyncIterator[tuple[Owner, RealtimeServer]]:
    (dialogue := folder / "dialogue.toml").write_text(DIALOGUE)

    def hear(job: Transcribe) -> str:
        if heard is not None:
            heard.append(job)
        return "where is my order"

    settings = ServerSettings(port=0, protocol="gemini", api_key=KEY, dialogue=dialogue)
    async with RealtimeServer(settings, load_dialogue(dialogue), hear=hear, mouth=Mouth()) as server:
        provider = Provider(name="gemini", url=server.url, model=model, key=key, dialect=GEMINI)
        link = Link(provider, SessionConfig(instructions="Be brief.", tools=(TOOL,)), "call-1")
        link.use_formats("pcm16k", "pcm24k")
        try:
            yield Owner(link), server
        finally:
            await link.close()


async def test_the_caller_is_heard_by_ears_of_ours_and_answered(tmp_path: Path) -> None:
    heard: list[Transcribe] = []
    async with owned(tmp_path, heard) as (owner, _):
        await owner.link.open()
        await owner.speaks()
        started, stopped = owner.of(SpeechStarted)[0], owner.of(SpeechStopped)[0]
        assert abs(started.audio_ms - 1000) <= 40 and abs(stopped.audio_ms - 2000) <= 60
        call = await owner.until(ToolCallRequested)
        transcript = await owner.until(CallerTranscript)
        assert (transcript.item_id, transcript.text) == (started.item_id, "where is my order")
        (job,) = heard
        assert 1300 <= len(job.pcm) / 32 <= 2000, "the speech and what belongs to it, not the line's silence"
        owner.link.send(owner.link.codec.tool_output(call.tool_call_id, '{"status":"shipped"}'))
        before = len(owner.of(AudioDelta))
        owner.link.send(owner.link.codec.create_response(ResponseRequest(metadata={"purpose": "tool_result"})))
        done = await owner.until(ResponseDone, 2)
        assert done.status == "completed" and len(owner.of(AudioDelta)) > before
        assert done.metadata == {"purpose": "tool_result"}


async def test_of_a_caller_whose_audio_stops_the_turn_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.realtime.link.STALLED_S", 0.0)
    async with owned(tmp_path) as (owner, _):
        await owner.link.open()
        owner.link.append(SPEECH[:16_000])
        assert owner.of(SpeechStarted) and not owner.of(SpeechStopped)
        await asyncio.sleep(0.01)
        owner.link.look()
        assert len(owner.of(SpeechStopped)) == 1
        await owner.until(ToolCallRequested)


async def greeted(owner: Owner) -> None:
    """A turn, and the handle that comes after it."""
    owner.link.send(owner.link.codec.create_response(ResponseRequest(instructions="Say exactly: Hello.")))
    await owner.until(ResponseDone)
    listener = owner.link.codec._listener  # type: ignore[attr-defined]
    async with asyncio.timeout(5):
        while listener.handle is None:
            await asyncio.sleep(0.01)


async def test_a_session_that_is_recycled_goes_on_where_it_was_and_is_told_nothing_again(tmp_path: Path) -> None:
    async with owned(tmp_path) as (owner, server):
        await owner.link.open()
        await greeted(owner)
        owner.said = [Entry("assistant", "Hello.")]
        owner.link.recycle()
        ready = await owner.until(SessionReady, 2)
        assert ready.resumed and owner.replays == 1, "only the first session's"
        assert [type(one) for one in owner.of(ConnectionLost)] == [ConnectionLost] and owner.gone == []


async def test_a_handle_that_is_refused_makes_way_for_a_session_with_the_history(tmp_path: Path) -> None:
    async with owned(tmp_path) as (owner, server):
        await owner.link.open()
        await greeted(owner)
        owner.said = [Entry("assistant", "Hello."), Entry("user", "Hello to you.")]
        owner.open = [OpenCall("f1", "look_up", "{}")]
        server.memories.clear()
        owner.link.recycle()
        ready = await owner.until(SessionReady, 2)
        assert not ready.resumed and owner.replays == 2 and owner.gone == []
        owner.link.send(owner.link.codec.tool_output("f1", '{"status":"shipped"}'))
        owner.link.send(owner.link.codec.create_response(ResponseRequest()))
        assert (await owner.until(ResponseDone, 2)).status == "completed"


@pytest.mark.parametrize(
    ("options", "words"),
    [({"key": "AIza-of-another"}, "API key not valid"), ({"model": "gemini-0.1"}, "is not found")],
)
async def test_what_no_further_try_mends_is_not_tried_again(
    tmp_path: Path, options: dict[str, str], words: str
) -> None:
    async with owned(tmp_path, **options) as (owner, _):
        await owner.link.open()
        (reason,) = owner.gone
        assert words in reason and "AIza" not in reason and "check the key" in reason


@pytest.mark.parametrize(("model", "outdated"), [("gemini-3.8-live", False), ("gemini-2.5-flash-native-audio", True)])
async def test_changed_settings_are_told_or_take_a_new_session(tmp_path: Path, model: str, outdated: bool) -> None:
    async with owned(tmp_path, model=model) as (owner, _):
        await owner.link.open()
        owner.link.configure(SessionConfig(instructions="Be kind.", tools=(TOOL,)))
        assert owner.link.outlived(idle=True, quiet=True) is outdated
        assert not owner.link.outlived(idle=False, quiet=True)
        if outdated:
            owner.link.recycle()
            await owner.until(SessionReady, 2)
            assert not owner.link.outlived(idle=True, quiet=True)
