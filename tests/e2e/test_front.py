"""Several workers behind the proxy and its media relay: who gets a call, and what callers notice of what goes wrong."""

from __future__ import annotations

import hashlib
import re
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts import sound
from parts.caller import Call, Phone
from parts.front import INNER, OUTER, PASSWORD, Front
from parts.program import until
from parts.provider import ANSWER_HZ, Provider
from parts.services import RedisServer, Worker

CALLER_HZ = 700


@pytest.fixture(scope="module")
def front(own_folder: Path) -> Iterator[Front]:
    front = Front(own_folder)
    yield front
    front.stop()


@pytest.fixture
def start(
    front: Front, redis: RedisServer, provider: Provider, scripted_agent: Path, tmp_path: Path
) -> Iterator[Callable[..., Worker]]:
    """Start a worker behind the front, at an address of its own."""
    workers: list[Worker] = []

    def one(**settings: Any) -> Worker:
        own = {
            "REDIS_URL": redis.url,
            "OFFHOOK_AGENT": scripted_agent,
            "OFFHOOK_REALTIME": "gateway",
            "OFFHOOK_REALTIME_URL": provider.url,
            "SHOP_FOLDER": tmp_path,
            **settings,
        }
        workers.append(front.worker(tmp_path / "calls", f"127.0.2.{len(workers) + 1}", **own))
        return workers[-1]

    yield one
    for worker in workers:
        worker.kill()
    until(lambda: not any(flags.startswith("A") for flags, _ in front.destinations().values()), "nobody in rotation")


@pytest.fixture
def pair(front: Front, start: Callable[..., Worker]) -> tuple[Worker, Worker]:
    """Two workers in rotation."""
    one, other = start(), start()
    one.ready(), other.ready()
    front.in_rotation(2)
    return one, other


def takes(*workers: Worker) -> list[int]:
    return [len(worker.calls()) for worker in workers]


def owner(*workers: Worker) -> tuple[Worker, Worker]:
    """Who has the only call, and who has none."""
    until(lambda: sum(takes(*workers)) == 1, lambda: f"one call; {takes(*workers)}")
    one, other = workers
    return (one, other) if takes(one) == [1] else (other, one)


def heard_both_ways(call: Call, provider: Provider) -> None:
    """Sound comes through in both directions from now on."""
    session = next(one for one in provider.sessions if one.open)
    call.waits(40)
    since, before = call.now_ms, len(session.audio)
    session.says(ANSWER_HZ, 600)
    call.play(sound.tone(CALLER_HZ, 600, sound.RATE))
    call.hears_tone(ANSWER_HZ, 400, after=since)
    until(lambda: loud(bytes(session.audio[before:])), "the caller's tone reaches the session")


def loud(pcm: bytes) -> bool:
    return len(pcm) > 0 and sum(sound.levels(pcm[: len(pcm) // 2 * 2]) > -30) > 10


def register(front: Front, source: str, contact: str, port: int, password: str = PASSWORD) -> list[int]:
    """Announce somebody as a worker would, over UDP; returns the statuses of what was answered."""
    where = INNER if port == front.inner_port else OUTER
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        sock.settimeout(3)
        me, call = sock.getsockname(), uuid.uuid4().hex

        def ask(number: int, more: str = "") -> tuple[int, str]:
            text = (
                f"REGISTER sip:{where} SIP/2.0\r\nVia: SIP/2.0/UDP {me[0]}:{me[1]};branch=z9hG4bK{uuid.uuid4().hex}\r\n"
                f"From: <sip:worker@{where}>;tag=1\r\nTo: <sip:worker@{where}>\r\nCall-ID: {call}\r\n"
                f"CSeq: {number} REGISTER\r\nContact: <{contact}>\r\nMax-Forwards: 70\r\nExpires: 20\r\n"
                f"X-Max-Calls: 9\r\n{more}Content-Length: 0\r\n\r\n"
            )
            sock.sendto(text.encode(), (where, port))
            answer = sock.recv(4000).decode()
            return int(answer.split()[1]), answer

        status, answer = ask(1)
        if status != 401:
            return [status]
        nonce, uri = re.findall(r'nonce="([^"]+)"', answer)[0], f"sip:{where}"
        md5 = lambda text: hashlib.md5(text.encode()).hexdigest()  # noqa: E731
        response = md5(f"{md5(f'worker:offhook:{password}')}:{nonce}:{md5(f'REGISTER:{uri}')}")
        fields = {"username": "worker", "realm": "offhook", "nonce": nonce, "uri": uri, "response": response}
        line = ", ".join(f'{name}="{value}"' for name, value in fields.items())
        return [status, ask(2, f"Authorization: Digest {line}\r\n")[0]]


def test_calls_are_split_evenly_and_heard_both_ways(
    front: Front, pair: tuple[Worker, Worker], provider: Provider, dial: Callable[[str], Call]
) -> None:
    calls = [dial(front.uri)]
    heard_both_ways(calls[0], provider)
    calls += [dial(front.uri) for _ in range(2)]  # the wheel's caller has four lines, and one may be on its way out
    assert sorted(takes(*pair)) == [1, 2]
    assert sorted(count for _, count in front.destinations().values()) == [1, 2]
    for call in calls:
        call.hang_up()
    until(lambda: takes(*pair) == [0, 0], lambda: f"no call is left; {takes(*pair)}")
    until(lambda: not any(count for _, count in front.destinations().values()), "no call is counted")


def test_a_full_worker_is_passed_over_and_with_all_full_the_caller_hears_when_to_come_again(
    front: Front, start: Callable[..., Worker], dial: Callable[[str], Call], sipp: Any
) -> None:
    workers = start(OFFHOOK_MAX_CALLS=1).ready(), start(OFFHOOK_MAX_CALLS=2).ready()
    front.in_rotation(2)
    for _ in range(3):
        dial(front.uri)
    assert takes(*workers) == [1, 2]
    sipp("refused_503", front.target).finish()


def test_a_worker_that_dies_is_out_its_caller_hears_bye_and_the_next_one_is_answered(
    front: Front, pair: tuple[Worker, Worker], dial: Callable[[str], Call]
) -> None:
    dead_call = dial(front.uri)
    dead, other = owner(*pair)
    dead.kill()
    front.in_rotation(1)
    call = dial(front.uri)
    assert takes(other) == [1]
    assert dead_call.ended()["status"] == 200  # BYE, from the proxy
    assert call.up


def test_a_worker_that_hangs_is_out_and_comes_back(front: Front, pair: tuple[Worker, Worker]) -> None:
    pair[0].signal(signal.SIGSTOP)
    front.in_rotation(1)
    pair[0].signal(signal.SIGCONT)
    front.in_rotation(2)


def test_who_drains_gets_no_more_calls_and_keeps_its_own(
    front: Front, pair: tuple[Worker, Worker], provider: Provider, dial: Callable[[str], Call]
) -> None:
    call = dial(front.uri)
    draining, other = owner(*pair)
    draining.signal(signal.SIGTERM)
    front.in_rotation(1)
    dial(front.uri), dial(front.uri)
    assert (takes(draining), takes(other)) == ([1], [2])
    heard_both_ways(call, provider)
    call.hang_up()
    assert draining.wait() == 0, draining.text()


def test_calls_go_on_over_a_restart_of_the_proxy_and_workers_are_back(
    front: Front, pair: tuple[Worker, Worker], provider: Provider, dial: Callable[[str], Call]
) -> None:
    call = dial(front.uri)
    has, _ = owner(*pair)
    assert front.proxy is not None
    front.proxy.kill()
    front.start_proxy()
    front.in_rotation(2)
    heard_both_ways(call, provider)
    call.hang_up()
    until(lambda: takes(has) == [0], "the worker heard the caller's BYE")


def test_without_a_media_relay_callers_hear_503_and_with_it_they_are_answered(
    front: Front, pair: tuple[Worker, Worker], provider: Provider, dial: Callable[[str], Call], sipp: Any
) -> None:
    assert front.media is not None
    front.media.kill()
    sipp("refused_503", front.target).finish()
    assert not any(count for _, count in front.destinations().values())
    front.start_media()
    time.sleep(1.1)  # so long does the proxy leave alone a relay that said nothing
    heard_both_ways(dial(front.uri), provider)


def test_a_workers_word_on_the_backlog_is_for_the_caller(
    front: Front, start: Callable[..., Worker], folder: Path, sipp: Any
) -> None:
    """No other is asked, since all have one queue; and nobody is taken out of rotation for it."""
    (own := folder / "backlog").mkdir()
    queue = RedisServer(own)  # without any tool worker
    queue.start()
    try:
        pair = [start(REDIS_URL=queue.url, OFFHOOK_BACKLOG_REFUSE_SECONDS=1) for _ in range(2)]
        for worker in pair:
            worker.ready().wait_log("backlog", answer="refuse")
        front.in_rotation(2)
        sipp("refused_503", front.target).finish()
        assert sum(len(worker.logged("call_refused", reason="backlog")) for worker in pair) == 1
        assert [flags for flags, _ in front.destinations().values()].count("AP") == 2
    finally:
        for worker in pair:
            worker.kill()
        queue.kill()


def test_a_caller_on_hold_hears_the_rest_through_the_relay(
    front: Front, pair: tuple[Worker, Worker], provider: Provider, sipp: Any, rtp: Any
) -> None:
    """Each new offer and answer goes through the relay, too."""
    media = rtp()
    run = sipp("hold_through", front.target, rtp=media.port)
    session = provider.session()
    has, _ = owner(*pair)
    has.wait_log("held")
    session.says(ANSWER_HZ, 400)
    has.wait_log("resumed")
    run.finish()
    assert sound.tone_ms(media.heard(), ANSWER_HZ) >= 360


def test_srtp_outside_is_rtp_inside(
    front: Front, pair: tuple[Worker, Worker], provider: Provider, own_folder: Path
) -> None:
    phone = Phone(own_folder, srtp="required").ready()
    try:
        heard_both_ways(phone.dial(front.uri), provider)
    finally:
        phone.stop()


def test_with_all_ports_of_the_relay_in_use_callers_hear_503(
    redis: RedisServer, provider: Provider, scripted_agent: Path, tmp_path: Path, dial: Callable[[str], Call], sipp: Any
) -> None:
    front = Front(tmp_path, OFFHOOK_RTP_PORTS="37998-37999")
    settings = {"OFFHOOK_AGENT": scripted_agent, "OFFHOOK_REALTIME": "gateway", "OFFHOOK_REALTIME_URL": provider.url}
    worker = front.worker(tmp_path / "calls", "127.0.2.9", REDIS_URL=redis.url, SHOP_FOLDER=tmp_path, **settings)
    try:
        worker.ready()
        front.in_rotation(1)
        call = dial(front.uri)
        sipp("refused_503", front.target).finish()
        heard_both_ways(call, provider)
        call.hang_up()
    finally:
        worker.kill()
        front.stop()


def test_a_wrong_password_announces_nobody(front: Front, start: Callable[..., Worker]) -> None:
    before = front.destinations()
    worker = start(OFFHOOK_SIP_PROXY_PASSWORD="another-word").ready()
    part = until(lambda: "401" in (one := worker.part("registration"))["detail"] and one, "the proxy refuses it")
    assert not part["ok"]
    assert front.destinations().keys() <= before.keys()


@pytest.mark.parametrize(
    ("source", "contact", "inside", "statuses"),
    [
        ("127.0.0.9", "sip:worker@127.0.0.9:5060", False, [403]),  # a caller outside
        ("127.0.2.9", "sip:worker@192.0.2.1:5060", True, [401, 403]),  # somebody else's address
        ("127.0.2.9", "sip:worker@127.0.2.9:9", True, [401, 200]),  # nobody answers there
    ],
)
def test_who_can_not_be_reached_or_may_not_be_gets_no_calls(
    front: Front, sipp: Any, source: str, contact: str, inside: bool, statuses: list[int]
) -> None:
    port = front.inner_port if inside else front.port
    assert register(front, source, contact, port) == statuses
    time.sleep(1.5)  # one OPTIONS
    assert not any(flags.startswith("A") for flags, _ in front.destinations().values())
    sipp("refused_503", front.target).finish()
