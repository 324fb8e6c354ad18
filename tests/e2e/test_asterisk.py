"""A worker as a line of a real Asterisk, with the very configuration that docker/asterisk shows.

It skips where there is none: OFFHOOK_TEST_ASTERISK names its program (`.ci/asterisk` fetches one).
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from parts import sound
from parts.asterisk import MUSIC_HZ, PASSWORD, STATIC_HOST, Asterisk
from parts.caller import Call, Phone
from parts.front import heard_both_ways
from parts.program import until
from parts.provider import Provider, Session
from parts.services import RedisServer, Worker

NORMAL_CLEARING = 16
"""ITU-T Q.850."""
TOKEN = "a-token-of-programs"
CALLER, COLLEAGUE = 700, 1100
AGENT = """
goodbye = "Goodbye, and thank you."
[tools]
send_digits = true
[outbound]
screen = false
ring_seconds = 3
[[transfer]]
label = "sales"
uri = "sip:202@{pbx}"
description = "orders"
ring_seconds = 6
[[transfer]]
label = "bridged"
uri = "sip:202@{pbx}"
refer = false
ring_seconds = 6
[[transfer]]
label = "busy bridged"
uri = "sip:302@{pbx}"
refer = false
ring_seconds = 6
"""


@pytest.fixture(scope="module")
def pbx(own_folder: Path) -> Iterator[Asterisk]:
    pbx = Asterisk(own_folder / "pbx")
    yield pbx
    pbx.stop()


@pytest.fixture(scope="module")
def settings(pbx: Asterisk, own_folder: Path, redis: RedisServer, provider_server: Provider) -> dict[str, Any]:
    """Of any worker here."""
    agent = own_folder / "agent.toml"
    agent.write_text(AGENT.format(pbx=pbx.registrar))
    return {
        "REDIS_URL": redis.url,
        "OFFHOOK_AGENT": agent,
        **provider_server.settings,
        "OFFHOOK_DIAL_TOKEN": TOKEN,
        "OFFHOOK_DIAL_TO": f"sip:*@{pbx.registrar}",
    }


@pytest.fixture(scope="module")
def registered(pbx: Asterisk, own_folder: Path, settings: dict[str, Any]) -> Iterator[Worker]:
    account = {
        "OFFHOOK_SIP_REGISTRAR": pbx.registrar,
        "OFFHOOK_SIP_USERNAME": "offhook",
        "OFFHOOK_SIP_PASSWORD": PASSWORD,
    }
    worker = Worker(own_folder / "calls", **settings, **account).ready()
    pbx.reaches("offhook")
    yield worker
    assert worker.alive, worker.text()
    assert worker.stop() == 0, worker.text()
    until(lambda: not pbx.contacts("offhook"), "a worker that ends is registered no more")


@pytest.fixture
def worker(registered: Worker, provider: Provider) -> Worker:
    assert registered.alive, registered.text()
    registered.forget_calls()
    return registered


def phone(pbx: Asterisk, folder: Path, name: str) -> Iterator[Phone]:
    one = Phone(folder, **pbx.line(name)).ready()
    pbx.reaches(name)
    yield one
    one.stop()


@pytest.fixture(scope="module")
def caller(pbx: Asterisk, own_folder: Path) -> Iterator[Phone]:
    yield from phone(pbx, own_folder, "201")


@pytest.fixture(scope="module")
def colleague(pbx: Asterisk, own_folder: Path) -> Iterator[Phone]:
    yield from phone(pbx, own_folder, "202")


Talk = tuple[Call, Session, str]


@pytest.fixture
def talk(pbx: Asterisk, worker: Worker, caller: Phone, provider: Provider) -> Iterator[Talk]:
    """Telephone 201 has dialled the agent's number."""
    call = caller.dial(pbx.uri("700"))
    yield call, provider.session(), worker.next_call()
    call.hang_up()


# --- a call comes in --------------------------------------------------------------------------------------------------


def heard(session: Session, hz: int, ms: float = 300, since: int = 0) -> None:
    """Wait until the model has heard so much of a tone."""
    what = lambda: f"{hz} Hz; {sound.tones_in_order(narrow(session)[since // 3 :])}"  # noqa: E731
    until(lambda: sound.tone_ms(narrow(session)[since // 3 // 2 * 2 :], hz) >= ms, what)


def narrow(session: Session) -> bytes:
    """What it has heard, at 8 kHz: every third sample of 24 kHz (the tones here are far below 4 kHz)."""
    pcm = bytes(session.audio)
    return sound.samples_of(pcm[: len(pcm) // 6 * 6])[::3].astype("<i2").tobytes()


def test_a_telephone_there_talks_with_the_agent(worker: Worker, talk: Talk, provider: Provider) -> None:
    call, session, call_id = talk
    heard_both_ways(call, provider)
    call.type("42#")
    until(lambda: ("user", "The caller typed on the keypad: 42") in session.texts(), lambda: f"{session.texts()}")
    assert session.output(session.calls("send_digits", {"digits": "7"}))["status"] == "sent"
    assert call.phone.event("DigitReceived", call_id=call.call_id)["via"] == "rtp"
    call.hang_up()
    record = worker.record(call_id)
    assert (record["caller"], record["dialled"], record["outcome"]) == ("201", "700", "completed")


def test_who_is_on_hold_hears_music_and_is_taken_up_again(talk: Talk, provider: Provider) -> None:
    call, session, _ = talk
    heard_both_ways(call, provider)
    call.phone.do("hold", call_id=call.call_id, on=True)
    heard(session, MUSIC_HZ)
    call.phone.do("hold", call_id=call.call_id, on=False)
    heard_both_ways(call, provider)


def test_the_agent_ends_the_call(talk: Talk, worker: Worker) -> None:
    call, session, call_id = talk
    call.waits(300)
    session.calls("end_call")
    assert call.ended()["cause"] == NORMAL_CLEARING
    assert worker.record(call_id)["outcome"] == "completed"


def test_a_worker_that_is_known_by_its_address(
    pbx: Asterisk, caller: Phone, settings: dict[str, Any], provider: Provider, tmp_path: Path
) -> None:
    own = {"OFFHOOK_SIP_HOST": STATIC_HOST, "OFFHOOK_SIP_PORT": pbx.static_port, "OFFHOOK_SIP_ALLOW": "127.0.0.1"}
    worker = Worker(tmp_path / "calls", **settings, **own).ready()
    try:
        pbx.does("pjsip qualify offhook-static")
        until(lambda: pbx.contacts("offhook-static") == ["Avail"], pbx.text)
        call = caller.dial(pbx.uri("701"))
        provider.session()
        heard_both_ways(call, provider)
        call.hang_up()
    finally:
        worker.stop()


# --- we call ----------------------------------------------------------------------------------------------------------


def order(worker: Worker, to: str) -> str:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    body = json.dumps({"to": to}).encode()
    request = urllib.request.Request(worker.status_url + "/calls", body, headers, method="POST")
    with urllib.request.urlopen(request, timeout=15) as answer:
        return str(json.load(answer)["call_id"])


@pytest.mark.parametrize(
    ("number", "outcome", "status", "cause"),
    [
        ("302", "busy", 486, 17),
        ("303", "failed", 503, 34),
        ("401", "failed", 404, 1),
        ("421", "declined", 403, 21),
        ("419", "no_answer", 480, 19),
        ("304", "no_answer", None, None),
        ("999", "failed", 404, None),
    ],
)
def test_who_is_not_reached_is_told_why(
    pbx: Asterisk, worker: Worker, number: str, outcome: str, status: int | None, cause: int | None
) -> None:
    dialling = worker.record(order(worker, pbx.uri(number)))["dialling"]
    # Asterisk's Congestion() sets the cause just after it has had the 503 sent: on a busy machine that has none.
    causes = (cause, None) if number == "303" else (cause,)
    assert (dialling["outcome"], dialling["sip_status"]) == (outcome, status) and dialling["cause"] in causes


# --- a call is handed on ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("to", "means"), [("sales", "refer"), ("bridged", "bridge")])
def test_the_caller_is_put_through(worker: Worker, talk: Talk, colleague: Phone, to: str, means: str) -> None:
    call, session, call_id = talk
    before = len(colleague.events("IncomingCall"))
    session.calls("transfer_call", {"to": to, "summary": "The caller wants shoes."})
    other = colleague.pick_up(colleague.rings(before + 1))
    call.phone.do("play", call_id=call.call_id, hz=CALLER, ms=3000)
    other.phone.do("play", call_id=other.call_id, hz=COLLEAGUE, ms=3000)
    other.hears_tone(CALLER, 500)
    call.hears_tone(COLLEAGUE, 500)
    other.hang_up()
    call.ended()
    (found,) = worker.record(call_id)["transfers"]
    assert (found["means"], found["outcome"], found["sip_status"]) == (means, "accepted", 200)


def test_who_is_bridged_to_a_busy_line_is_still_there(worker: Worker, talk: Talk) -> None:
    call, session, call_id = talk
    output = session.output(session.calls("transfer_call", {"to": "busy bridged", "summary": "x"}))
    assert (output["status"], output["sip_status"]) == ("busy", 486)
    assert call.up
    call.hang_up()
    assert [one["means"] for one in worker.record(call_id)["transfers"]] == ["bridge"]
