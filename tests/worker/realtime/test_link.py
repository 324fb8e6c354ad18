"""A call's link to its provider, against a real WebSocket server: sessions lost, refused, replaced, given up."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from worker.realtime import link as link_module
from worker.realtime.base import Frame, SessionConfig
from worker.realtime.events import ConnectionLost, RealtimeEvent, SessionReady, SpeechStarted
from worker.realtime.link import Link

Until = Callable[..., Awaitable[None]]
SPEECH = "input_audio_buffer.speech_started"


class Owner:
    """Who the link belongs to: keeps what it is told."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.events: list[RealtimeEvent] = []
        self.gone: list[str] = []
        self.replay: list[Frame] = []
        self.is_ready_at_replay: list[int] = []
        link.attach(self.events.append, self._replay, self.gone.append)

    def _replay(self) -> list[Frame]:
        self.is_ready_at_replay.append(len(self.of(SessionReady)))
        return self.replay

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same number of attempts, without the waits between them."""
    monkeypatch.setattr(link_module, "reconnect_delays", lambda spread, attempts: [0.0] + [0.01] * 5)


@contextlib.asynccontextmanager
async def owned(provider: Any, config: SessionConfig | None = None) -> AsyncIterator[Owner]:
    link = Link(provider, config or SessionConfig(instructions="Be brief."), "call-1")
    try:
        yield Owner(link)
    finally:
        await link.close()


async def test_open_gives_a_session_whose_events_come(service: Any, until: Until) -> None:
    async with owned(service.peer.provider) as owner:
        await owner.link.open()
        await service.say(SPEECH, item_id="c1", audio_start_ms=40)
        await until(lambda: owner.of(SpeechStarted), "speech_started")
        assert owner.link.send(owner.link.codec.message("user", "hello"))
        owner.link.append(bytes(960))
        await service.got("conversation.item.create")
        await service.got("input_audio_buffer.append")
        assert (owner.link.input_format, owner.link.output_format) == ("pcm24k", "pcm24k")


async def test_a_lost_session_is_replaced_whole_and_told_what_was_said_before_anyone_speaks(
    service: Any, until: Until
) -> None:
    async with owned(service.peer.provider) as owner:
        await owner.link.open()
        owner.replay = owner.link.codec.message("user", "four two seven")
        await service.cut()
        await until(lambda: len(owner.of(SessionReady)) == 2, "a new session")
        assert len(owner.of(ConnectionLost)) == 1
        assert owner.is_ready_at_replay == [0, 1], "the session hears it before its owner is told of the session"
        owner.link.send(owner.link.codec.message("user", "after"))
        await service.got("conversation.item.create", 2)
        texts = [m["item"]["content"][0]["text"] for m in service.sent("conversation.item.create")]
        assert texts == ["four two seven", "after"]
        assert [m["session"]["instructions"] for m in service.peer.received if m["type"] == "session.update"] == [
            "Be brief."
        ] * 2
        assert owner.gone == []


async def test_between_sessions_nothing_is_sent_and_that_is_said(service: Any, until: Until) -> None:
    async with owned(service.peer.provider) as owner:
        assert not owner.link.send(owner.link.codec.message("user", "too early"))
        owner.link.append(bytes(960))
        await owner.link.open()
        assert owner.link.send(owner.link.codec.message("user", "now"))
        await service.got("conversation.item.create")
        assert len(service.sent()) == 1 and service.sent("input_audio_buffer.append") == []


async def test_a_refused_key_is_not_tried_again(peer: Any, service: Any) -> None:
    async with peer(service.scene, refuse=(401, "no")) as server, owned(server.provider) as owner:
        await owner.link.open()
        assert len(owner.gone) == 1 and "401" in owner.gone[0] and "sk-test" not in owner.gone[0]
        assert len(server.paths) == 1


async def test_an_overloaded_provider_is_tried_again_and_then_given_up_once(peer: Any, service: Any) -> None:
    async with peer(service.scene, refuse=(503, "later")) as server, owned(server.provider) as owner:
        await owner.link.open()
        assert len(server.paths) == 6
        assert len(owner.gone) == 1


async def test_a_provider_that_closes_each_session_at_once_is_given_up(peer: Any, until: Until) -> None:
    """Each session begins, so that no attempt fails: without a count it would be tried again for ever."""
    begun = []

    async def scene(server: Any, ws: Any) -> None:
        await server.greet(ws)
        begun.append(ws)
        await ws.close(1011, "try later")

    async with peer(scene) as server, owned(server.provider) as owner:
        await owner.link.open()
        await until(lambda: owner.gone, "giving it up")
        assert len(begun) == 6 and len(owner.gone) == 1
        assert len(owner.of(SessionReady)) == len(owner.of(ConnectionLost)) == 6


async def test_a_loss_after_a_long_session_begins_the_count_anew(
    service: Any, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "SHORT_S", 0.0)
    async with owned(service.peer.provider) as owner:
        await owner.link.open()
        for number in range(10):
            await service.sessions(number + 1)
            await until(lambda n=number: len(owner.of(SessionReady)) == n + 1, "ready")
            await service.cut()
        await service.sessions(11)
        assert owner.gone == []


async def test_a_fatal_close_is_not_tried_again(peer: Any, until: Until) -> None:
    async def scene(server: Any, ws: Any) -> None:
        await server.greet(ws)
        await server.say(ws, type="error", error={"code": "insufficient_quota", "message": "pay"})
        await ws.close(1008, "quota")

    async with peer(scene) as server, owned(server.provider) as owner:
        await owner.link.open()
        await until(lambda: owner.gone, "giving it up")
        assert len(server.paths) == 1


async def test_settings_that_cannot_be_sent_are_told_and_not_raised(service: Any) -> None:
    """A number beyond 64 bits in the agent file's provider options: JSON for the wire can't be made of it."""
    config = SessionConfig(extra={"max_output_tokens": 2**70})
    async with owned(service.peer.provider, config) as owner:
        await owner.link.open()
        assert len(owner.gone) == 1
        assert service.sockets == []


async def test_closed_between_two_attempts_it_opens_no_session_for_a_call_that_is_over(
    peer: Any, service: Any, until: Until
) -> None:
    refusals = []

    async def refuse_first(server: Any, ws: Any) -> None:
        refusals.append(ws)
        if len(refusals) > 1:
            await service.scene(server, ws)

    async with peer(refuse_first) as server, owned(server.provider) as owner:
        opening = asyncio.create_task(owner.link.open())
        await until(lambda: refusals, "a first attempt")
        await owner.link.close()
        await opening
        assert owner.gone == [] and service.sockets == []
        assert owner.of(SessionReady) == []


async def test_close_is_no_loss(service: Any, until: Until) -> None:
    async with owned(service.peer.provider) as owner:
        await owner.link.open()
        await owner.link.close()
        await until(lambda: service.sockets[0].state.name == "CLOSED", "the server sees the close")
        assert owner.of(ConnectionLost) == [] and owner.gone == []
        assert len(service.sockets) == 1


async def test_recycle_replaces_the_session_and_is_deaf_to_the_old_one(service: Any, until: Until) -> None:
    async with owned(service.peer.provider) as owner:
        await owner.link.open()
        first = owner.link._connection
        owner.link.recycle()
        # What the old session's reader already has in hand must not reach a machine that has begun anew.
        first._message(json.dumps({"type": SPEECH, "item_id": "old", "audio_start_ms": 0}).encode())
        await until(lambda: len(owner.of(SessionReady)) == 2, "a new session")
        assert len(owner.of(ConnectionLost)) == 1 and owner.of(SpeechStarted) == []
        await service.say(SPEECH, item_id="new", audio_start_ms=0)
        await until(lambda: owner.of(SpeechStarted), "the new session is listened to")


G711 = SessionConfig(input_format="pcmu", output_format="pcmu")
PCM = {"type": "audio/pcm", "rate": 24000}


def formats(update: Any) -> list[str]:
    """What a session.update asks for, both ways."""
    return [update["session"]["audio"][side]["format"]["type"] for side in ("input", "output")]


def updates(server: Any) -> list[Any]:
    return [message for message in server.received if message["type"] == "session.update"]


async def test_g711_that_is_confirmed_stays(service: Any) -> None:
    async with owned(service.peer.provider, G711) as owner:
        await owner.link.open()
        assert (owner.link.input_format, owner.link.output_format) == ("pcmu", "pcmu")
        owner.link.append(b"\xff" * 320)
        assert (await service.got("input_audio_buffer.append"))["audio"] == base64.b64encode(b"\xff" * 320).decode()


async def test_each_direction_takes_what_is_confirmed_and_keeps_it(peer: Any, until: Until) -> None:
    """A new offer of tools must not ask for the format that was not to be had."""

    async def scene(server: Any, ws: Any) -> None:
        await server.greet(ws, input=PCM)
        await server.listen(ws)

    async with peer(scene) as server, owned(server.provider, G711) as owner:
        with capture_logs() as logs:
            await owner.link.open()
        assert (owner.link.input_format, owner.link.output_format) == ("pcm24k", "pcmu")
        assert owner.of(SessionReady)[0].input_format == "pcm24k"
        (line,) = [line for line in logs if line["event"] == "realtime_audio_other"]
        assert line["asked"] == ("pcmu", "pcmu") and line["confirmed"] == ("pcm24k", "pcmu")
        owner.link.configure(dataclasses.replace(G711, instructions="Now with a tool."))
        await until(lambda: len(updates(server)) == 2, "the second session.update")
        assert [formats(one) for one in updates(server)] == [["audio/pcmu"] * 2, ["audio/pcm", "audio/pcmu"]]


@pytest.mark.parametrize("how", ["an error", "no word", "another"])
async def test_where_g711_is_refused_the_session_is_had_in_pcm(peer: Any, how: str) -> None:
    """An error for the settings, a confirmation that says nothing of formats, or one with a format of nobody's."""

    async def scene(server: Any, ws: Any) -> None:
        asked = len(updates(server)) == 0
        if asked and how == "an error":
            update = await server.hear(ws)
            error = {"type": "invalid_request_error", "code": "invalid_value", "event_id": update["event_id"]}
            await server.say(ws, type="error", error={**error, "message": "no audio/pcmu here"})
        elif asked:
            await server.greet(ws, output=None if how == "no word" else {"type": "audio/opus"})
        else:
            await server.greet(ws)
        await server.listen(ws)

    async with peer(scene) as server, owned(server.provider, G711) as owner:
        with capture_logs() as logs:
            await owner.link.open()
        assert (owner.link.input_format, owner.link.output_format) == ("pcm24k", "pcm24k")
        assert [formats(one) for one in updates(server)] == [["audio/pcmu"] * 2, ["audio/pcm"] * 2]
        assert len(owner.of(SessionReady)) == 1 and owner.gone == []
        assert [line["event"] for line in logs if line["event"].startswith("realtime_audio")] == [
            "realtime_audio_refused"
        ]


async def test_settings_that_are_refused_in_pcm_too_are_told_once(peer: Any) -> None:
    async def scene(server: Any, ws: Any) -> None:
        update = await server.hear(ws)
        error = {"type": "invalid_request_error", "code": "invalid_value", "event_id": update["event_id"]}
        await server.say(ws, type="error", error={**error, "message": "no such voice"})
        await server.listen(ws)

    async with peer(scene) as server, owned(server.provider, G711) as owner:
        await owner.link.open()
        assert len(updates(server)) == 2
        (reason,) = owner.gone
        assert "no such voice" in reason
