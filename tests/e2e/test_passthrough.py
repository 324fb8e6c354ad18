"""G.711 through to the session and back (OFFHOOK_REALTIME_AUDIO=g711): where it is confirmed, and where it is not."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts import sound
from parts.caller import Call
from parts.program import until
from parts.provider import ANSWER_HZ, Opening, Provider, Session
from parts.services import RealtimeServer, RedisServer, Worker
from parts.wire import PCMA, PCMU, Rtp

from telephony import g711

PCM = {"type": "audio/pcm", "rate": 24000}
FRAME = 160
"""Codes in 20 ms."""


@pytest.fixture(scope="module")
def through_worker(
    redis: RedisServer, provider_server: Provider, scripted_agent: Path, folder: Path
) -> Iterator[Worker]:
    worker = Worker(
        folder / "through",
        REDIS_URL=redis.url,
        OFFHOOK_AGENT=scripted_agent,
        **provider_server.settings,
        OFFHOOK_REALTIME_AUDIO="g711",
        SHOP_FOLDER=folder,
    ).ready()
    yield worker
    assert worker.stop() == 0, worker.text()


@pytest.fixture
def through(through_worker: Worker, provider: Provider) -> Worker:
    through_worker.forget_calls()
    return through_worker


def noise(codes: int, seed: int, law: int) -> bytes:
    """G.711 that never repeats; without mu-law's negative zero, which decodes to the same sample as the positive."""
    found = bytes(random.Random(seed).randrange(256) for _ in range(codes))
    return found.replace(b"\x7f", b"\xff") if law == PCMU else found


def speaks(session: Session, audio: bytes) -> str:
    """A spoken item of this audio, in the session's format; returns its id."""
    response_id, item_id = session.begin(), session.new("item")
    item = {"id": item_id, "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    session.send("response.output_item.added", response_id=response_id, output_index=0, item=item)
    session.stream(response_id, item_id, audio, chunk=800)
    session.send(
        "response.output_audio.done", response_id=response_id, item_id=item_id, output_index=0, content_index=0
    )
    session.end(response_id)
    return item_id


def asked_formats(session: Session) -> list[str]:
    audio = session.received[0]["session"]["audio"]
    return [audio[side]["format"]["type"] for side in ("input", "output")]


@pytest.mark.parametrize(("law", "name"), [(PCMU, "pcmu"), (PCMA, "pcma")], ids=["pcmu", "pcma"])
def test_every_code_goes_through_unchanged_both_ways(
    through: Worker, provider: Provider, sipp: Any, rtp: Callable[[], Rtp], law: int, name: str
) -> None:
    """pjmedia decodes and we encode again: G.711 comes back as the same codes."""
    media = rtp()
    run = sipp("their_bye", through.target, payload=law, rtp=media.port)
    session, call_id = provider.session(), through.next_call()
    assert asked_formats(session) == [f"audio/{name}"] * 2
    ready = through.wait_log("realtime_session_ready", call_id=call_id)
    assert (ready["input"], ready["output"]) == (name, name)

    media.learn_peer()
    said = noise(50 * FRAME, 1, law)
    decode = g711.ulaw_decode if law == PCMU else g711.alaw_decode
    with media.sending(decode(said), law):
        middle = said[20 * FRAME : 30 * FRAME]
        until(lambda: middle in bytes(session.audio), "200 ms of the caller's codes at the provider, as they were sent")

    answer = noise(40 * FRAME, 2, law)
    speaks(session, answer)

    def heard() -> bool:
        packets = sorted(list(media.packets), key=lambda packet: packet.sequence)
        return answer in b"".join(packet.payload for packet in packets if packet.payload_type == law)

    until(heard, "the agent's codes at the caller, as they were sent")
    session.calls("end_call")
    run.finish()
    record = through.record(call_id)
    assert record["outcome"] == "completed" and record["errors"] == []
    recorded = sound.channels(Path(record["recording"]))[1]
    assert decode(answer) in recorded


def test_what_was_heard_of_an_interrupted_answer_is_right_to_the_millisecond(
    through: Worker, provider: Provider, sipp: Any, rtp: Callable[[], Rtp]
) -> None:
    media = rtp()
    run = sipp("their_bye", through.target, payload=PCMU, rtp=media.port)
    session, call_id = provider.session(), through.next_call()
    media.learn_peer()
    answer = noise(3 * 8000, 3, PCMU)
    item_id = speaks(session, answer)
    until(lambda: sum(packet.payload in answer for packet in list(media.packets)) >= 25, "half a second is heard")
    turn = session.caller_starts()
    cut = session.wait("conversation.item.truncate")
    session.caller_stops(turn, "goodbye")
    session.calls("end_call")
    run.finish()
    heard = b"".join(p.payload for p in sorted(media.packets, key=lambda p: p.sequence) if p.payload in answer)
    assert answer.startswith(heard) and cut["item_id"] == item_id
    assert cut["audio_end_ms"] == len(heard) // 8
    assert through.record(call_id)["barge_ins"][0]["heard_ms"] == cut["audio_end_ms"]


@pytest.mark.parametrize("sides", [("input", "output"), ("output",)], ids=["both", "output"])
def test_a_provider_that_confirms_pcm_instead_is_spoken_to_in_pcm(
    through: Worker, provider: Provider, dial: Callable[[str], Call], sides: tuple[str, ...]
) -> None:
    """Each direction by itself; the caller hears no noise, and the log says so."""
    provider.openings.append(Opening(formats={side: PCM for side in sides}))
    call = dial(through.uri)
    session, call_id = provider.session(), through.next_call()
    assert asked_formats(session) == ["audio/pcmu"] * 2
    line = through.wait_log("realtime_audio_other", call_id=call_id)
    assert line["asked"] == ["pcmu", "pcmu"]
    assert line["confirmed"] == ["pcm24k" if side in sides else "pcmu" for side in ("input", "output")]
    session.says(ANSWER_HZ, 600)
    call.hears_tone(ANSWER_HZ, 560)
    call.play(sound.tone(600, 600, sound.RATE))
    rate_hz = 24000 if "input" in sides else 8000

    def caller_heard() -> bool:
        audio = bytes(session.audio)
        pcm = audio if "input" in sides else g711.ulaw_decode(audio)
        hz = 600 * sound.RATE // rate_hz  # the frames that are looked at are of 8 kHz
        return sound.tone_ms(pcm, hz) * sound.RATE / rate_hz >= 400

    until(caller_heard, "the caller's tone at the provider, in the format that it confirmed")
    call.hang_up()
    assert through.record(call_id)["errors"] == []


def test_a_provider_that_knows_no_g711_gets_a_second_session_in_pcm(
    through: Worker, provider: Provider, dial: Callable[[str], Call]
) -> None:
    provider.openings.append(Opening(formats={"output": {"type": "audio/opus"}}))
    call = dial(through.uri)
    refused, session, call_id = provider.session(), provider.session(), through.next_call()
    assert [asked_formats(one) for one in (refused, session)] == [["audio/pcmu"] * 2, ["audio/pcm"] * 2]
    assert "audio/opus" in through.wait_log("realtime_audio_refused", call_id=call_id)["reason"]
    session.says(ANSWER_HZ, 600)
    call.hears_tone(ANSWER_HZ, 560)
    call.hang_up()
    assert through.record(call_id)["errors"] == []


@pytest.mark.spoken
def test_the_local_server_hears_and_speaks_g711(spoken_agent: Path, folder: Path, dial: Callable[[str], Call]) -> None:
    """A whole conversation: a question understood, a filler or none, the answer."""
    server = RealtimeServer().ready()
    try:
        worker = Worker(
            folder / "spoken-g711",
            OFFHOOK_AGENT=spoken_agent,
            OFFHOOK_REALTIME="gateway",
            OFFHOOK_REALTIME_URL=server.url,
            OFFHOOK_REALTIME_AUDIO="g711",
            SHOP_FOLDER=folder,
        ).ready()
        try:
            call = dial(worker.uri)
            call.hears_said("Hello, this is the order desk. How can I help you?")
            asked_ms = call.say("what can you do").now_ms
            call.hears_said(
                "I can look up an order, tell you the time, and explain our delivery terms.", after=asked_ms
            )
            call.hang_up()
            ready = worker.wait_log("realtime_session_ready")
            assert (ready["input"], ready["output"]) == ("pcmu", "pcmu")
        finally:
            assert worker.stop() == 0, worker.text()
    finally:
        server.stop()
