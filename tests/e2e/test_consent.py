"""A call that is recorded once the caller agrees, encrypted, with a pause; and a card number that only a tool gets."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts import sound
from parts.caller import Call
from parts.program import until
from parts.provider import WORDS_HZ, Provider, Session
from parts.services import OwnDesk
from redis import Redis

from tools.queue.sealed_digits import new_key
from worker.records.sealed import new_keys

Talk = Callable[[], tuple[Call, Session, str]]

CARD = "4929123456781234"
PUBLIC, SECRET = new_keys()
TILL = Path(__file__).parent / "parts" / "till.py"
AGENT = f"""
greeting = "Hello."
[tools]
modules = ["{TILL}"]
[fillers]
tone = false
[recording]
consent = "May I record this call?"
pause = true
beep_seconds = 2
"""
BEFORE_HZ, KEPT_HZ, PAUSED_HZ, AFTER_HZ = 400, 500, 600, 800
BEEP_HZ = 1400


@pytest.fixture(scope="module")
def shared_desk(own_folder: Path, provider_server: Provider) -> Iterator[OwnDesk]:
    agent = own_folder / "agent.toml"
    agent.write_text(AGENT)
    key = {"OFFHOOK_DIGITS_KEY": new_key()}
    desk = OwnDesk(own_folder, agent, provider_server.url, secrets=key, OFFHOOK_RECORDINGS_KEY=PUBLIC)
    yield desk
    assert desk.worker.alive, desk.worker.text()
    assert desk.stop() == 0, desk.worker.text()


def hears_question(call: Call, session: Session, count: int) -> str:
    """Wait until the caller has heard the question to its end; returns it."""
    asked = lambda one: one["response"].get("metadata", {}).get("purpose") == "approval"  # noqa: E731
    session.wait("response.create", asked, count=count)
    until(lambda: [hz for hz, _ in call.tones()].count(WORDS_HZ) >= count, "it is heard")
    call.waits(600)
    text: str = session.got("response.create", asked)[-1]["response"]["instructions"]
    return text.removeprefix("Say exactly: ")


def test_consent_pause_and_a_card_that_only_the_tool_gets(
    call_up: Talk, our_desk: OwnDesk, offhook: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    call, session, call_id = call_up()
    assert hears_question(call, session, 1) == "May I record this call?"
    call.play(sound.tone(BEFORE_HZ, 400))
    call.type("1")
    call.waits(300)
    call.play(sound.tone(KEPT_HZ, 600))
    assert session.output(session.calls("pause_recording"))["status"] == "paused"
    call.play(sound.tone(PAUSED_HZ, 600))
    call.waits(300)
    assert session.output(session.calls("resume_recording"))["status"] == "recording"
    paid = session.calls("pay")
    assert hears_question(call, session, 2) == "Please type your card number. Press the hash key at the end."
    call.type(CARD + "#")
    assert session.output(paid) == {
        "entered": {"card": "entered, 16 digits, ending in 1234"},
        "proof": hashlib.sha256(CARD.encode()).hexdigest(),
        "card": "[typed digits]",
    }
    call.waits(1500)
    call.play(sound.tone(AFTER_HZ, 600))
    call.hang_up()

    record = our_desk.worker.record(call_id)
    assert (record["consent"]["given"], record["consent"]["by"]) == (True, "key")
    assert [one["why"] for one in record["pauses"]] == ["agent", "digits"] and record["pauses"][1]["until_ms"]
    sealed = our_desk.worker.recordings / f"{call_id}.wav.sealed"
    assert record["recording"] == str(sealed) and b"RIFF" not in sealed.read_bytes()
    key, wav = tmp_path / "key", tmp_path / "call.wav"
    key.write_text(SECRET)
    code, _, errors = offhook("decrypt", str(sealed), "--key", str(key), "--out", str(wav))
    assert code == 0, errors
    left, right = sound.channels(wav)
    assert sound.tone_ms(right, BEEP_HZ) >= 80 and sound.tone_ms(bytes(call.heard), BEEP_HZ) >= 80
    assert sound.tone_ms(left, KEPT_HZ) > 400 and sound.tone_ms(left, AFTER_HZ) > 400
    assert sound.tone_ms(left, BEFORE_HZ) == sound.tone_ms(left, PAUSED_HZ) == 0

    heard = str([one for one in session.got("conversation.item.create")])
    there = [path.read_bytes() for path in our_desk.folder.rglob("*") if path.is_file()]
    there += [one.text().encode() for one in (our_desk.worker, our_desk.tool_worker)]
    for text in (heard.encode(), everything(our_desk.redis.client), *there):
        assert CARD.encode() not in text and CARD[:8].encode() not in text


def everything(client: Redis) -> bytes:
    """All that is in Redis, packed data unpacked."""
    found = b""
    reads: dict[str, Callable[[Any], Any]] = {
        "string": client.get,
        "hash": client.hgetall,
        "list": lambda key: client.lrange(key, 0, -1),
        "set": client.smembers,
        "zset": lambda key: client.zrange(key, 0, -1),
        "stream": client.xrange,
    }
    for key in client.scan_iter():
        value = reads[client.type(key).decode()](key)
        found += key + repr(value).encode()
        for packed in value.values() if isinstance(value, dict) else ():
            if packed[:1] == b"x":
                found += zlib.decompress(packed)
    assert b"typed" in found, "the job is there"
    return found
