"""Several workers behind the proxy and its media relay: who gets a call, and what callers notice of what goes wrong."""

from __future__ import annotations

import hashlib
import re
import signal
import socket
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from parts import sound
from parts.caller import Call, Phone
from parts.front import INNER, OUTER, PASSWORD, Front, heard_both_ways, owner, takes
from parts.program import until
from parts.provider import ANSWER_HZ, Provider
from parts.services import RedisServer, Worker


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
    front: Front, start_behind: Callable[..., Worker], dial: Callable[[str], Call], sipp: Any
) -> None:
    workers = start_behind(OFFHOOK_MAX_CALLS=1).ready(), start_behind(OFFHOOK_MAX_CALLS=2).ready()
    front.in_rotation(2)
    for _ in range(3):
        dial(front.uri)
    assert takes(*workers) == [1, 2]
    sipp("refused_503", front.target).finish()


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


def test_a_workers_word_on_the_backlog_is_for_the_caller(
    front: Front, start_behind: Callable[..., Worker], folder: Path, sipp: Any
) -> None:
    """No other is asked, since all have one queue; and nobody is taken out of rotation for it."""
    (own := folder / "backlog").mkdir()
    queue = RedisServer(own)  # without any tool worker
    queue.start()
    try:
        pair = [start_behind(REDIS_URL=queue.url, OFFHOOK_BACKLOG_REFUSE_SECONDS=1) for _ in range(2)]
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
    phone = Phone(own_folder, srtp="required", srtp_keys="plain").ready()
    try:
        heard_both_ways(phone.dial(front.uri), provider)
    finally:
        phone.stop()


def test_a_wrong_password_announces_nobody(front: Front, start_behind: Callable[..., Worker]) -> None:
    before = front.destinations()
    worker = start_behind(OFFHOOK_SIP_PROXY_PASSWORD="another-word").ready()
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


def announced_at_once(front: Front, network: str, count: int = 24) -> None:
    """Announce workers side by side, and wait until all of them are known. A 200 comes before one is taken in."""
    hosts = [f"{network}.{number}" for number in range(1, count + 1)]
    wanted = {f"sip:worker@{host}:9" for host in hosts}
    with ThreadPoolExecutor(count) as pool:
        said = pool.map(lambda host: register(front, host, f"sip:worker@{host}:9", front.inner_port), hosts)
    assert list(said) == [[401, 200]] * count
    until(lambda: wanted <= front.destinations().keys(), lambda: f"all are known; {front.destinations()}", 3.0)


def test_workers_that_announce_themselves_at_once_are_all_known(tmp_path: Path) -> None:
    """As after the proxy's restart: the dispatcher by itself loses entries of adds that run side by side."""
    front = Front(tmp_path)
    try:
        for number in range(6):
            announced_at_once(front, f"127.0.{20 + number}")
    finally:
        front.stop()


def test_a_stranger_vouches_for_nobody(front: Front, start_behind: Callable[..., Worker]) -> None:
    """With no list of addresses anybody may call. The worker believes the proxy, which passes no such word on."""
    worker = start_behind().ready()
    front.in_rotation(1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((OUTER, 0))
        host, port = sock.getsockname()
        sdp = f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
        text = (
            f"INVITE sip:desk@{OUTER} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{uuid.uuid4().hex}\r\n"
            f"From: <sip:stranger@{host}>;tag=1\r\nTo: <sip:desk@{OUTER}>\r\nCall-ID: {uuid.uuid4().hex}\r\n"
            f"CSeq: 1 INVITE\r\nContact: <sip:stranger@{host}:{port}>\r\nMax-Forwards: 70\r\n"
            f"P-Asserted-Identity: <sip:+4930999@bank.example>\r\nDiversion: <sip:+4930555@bank.example>\r\n"
            f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n\r\n{sdp}"
        )
        sock.sendto(text.encode(), (OUTER, int(front.target.rpartition(":")[2])))
        assert worker.wait_log("call")["caller"] == "stranger"
