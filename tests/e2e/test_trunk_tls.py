"""TLS and SRTP towards the carrier, plain SIP and RTP to the workers; the telephone is not ours."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts.baresip import Baresip, certificate
from parts.front import OUTER, Front, loud
from parts.program import ROOT, Program, environment, until
from parts.provider import ANSWER_HZ, Provider
from parts.services import RedisServer, Worker

from tests.ports import free_port, free_udp_port


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """The proxy's certificate and key."""
    return certificate(tmp_path, "proxy")


@pytest.fixture
def start_front(tmp_path: Path, keys: tuple[Path, Path]) -> Iterator[Callable[..., Front]]:
    """Start a front with a certificate, on a TLS port of its own."""
    fronts: list[Front] = []

    def start(**settings: Any) -> Front:
        own = {"PROXY_TLS_CERT": keys[0], "PROXY_TLS_KEY": keys[1], "PROXY_TLS_PORT": free_tls(), **settings}
        fronts.append(Front(tmp_path, **own))
        return fronts[-1]

    yield start
    for front in fronts:
        front.stop()


@pytest.fixture
def desk_settings(redis: RedisServer, provider: Provider, scripted_agent: Path, tmp_path: Path) -> dict[str, Any]:
    own = {"OFFHOOK_AGENT": scripted_agent, **provider.settings}
    return {**own, "REDIS_URL": redis.url, "SHOP_FOLDER": tmp_path}


@pytest.fixture
def telephone() -> Iterator[list[Baresip]]:
    """Those in it are ended."""
    phones: list[Baresip] = []
    yield phones
    for phone in phones:
        phone.kill()


def free_tls() -> int:
    return free_port(OUTER)


def test_a_call_over_tls_with_srtp_is_plain_for_the_worker(
    start_front: Callable[..., Front],
    desk_settings: dict[str, Any],
    telephone: list[Baresip],
    keys: tuple[Path, Path],
    provider: Provider,
    tmp_path: Path,
) -> None:
    front = start_front()
    worker: Worker = front.worker(tmp_path / "calls", "127.0.6.1", **desk_settings).ready()
    try:
        front.in_rotation(1)
        telephone.append(Baresip(tmp_path / "bare", trusts=keys[0]))
        telephone[0].dials(f"sip:agent@{OUTER}:{front.settings['PROXY_TLS_PORT']};transport=tls")
        session = provider.session()
        until(lambda: loud(bytes(session.audio)), lambda: f"its tone arrives\n{telephone[0].text()}")
        session.says(ANSWER_HZ, 1500)
        time.sleep(4)
        assert telephone[0].heard(ANSWER_HZ) > 800, telephone[0].text()
        until(lambda: not worker.calls(), "its hang-up arrives")
    finally:
        worker.kill()


def test_what_a_worker_calls_goes_over_tls_with_srtp_to_the_trunk(
    start_front: Callable[..., Front],
    dial_out: Callable[..., Program],
    telephone: list[Baresip],
    provider: Provider,
    tmp_path: Path,
) -> None:
    theirs = certificate(tmp_path, "carrier")
    port = free_udp_port(OUTER)
    telephone.append(Baresip(tmp_path / "bare", trusts=theirs[0], port=port, own=theirs).start())
    front = start_front(
        PROXY_TRUNK=f"sip:{OUTER}:{port + 1};transport=tls", PROXY_TLS_CA=theirs[0], OFFHOOK_SRTP="required"
    )
    dial_out(front, "bare")
    session = provider.session()
    until(lambda: loud(bytes(session.audio)), lambda: f"its tone arrives\n{telephone[0].text()}\n{front._words()}")
    session.says(ANSWER_HZ, 1500)
    time.sleep(4)
    assert telephone[0].heard(ANSWER_HZ) > 800, telephone[0].text()


def test_without_a_certificate_nobody_listens_for_tls(tmp_path: Path) -> None:
    port = free_tls()
    front = Front(tmp_path, PROXY_TLS_PORT=port)
    try:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((OUTER, port), 2)
    finally:
        front.stop()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"PROXY_TLS_CERT": "/nowhere.pem"}, "PROXY_TLS_CERT=/nowhere.pem"),
        ({"PROXY_TRUNK": "sip:carrier.example;transport=tls"}, "PROXY_TLS_CERT"),
        ({"PROXY_OUTER": "127.0.1.1:5060"}, "PROXY_INNER and PROXY_OUTER are both"),
        ({"OFFHOOK_SIP_PROXY_PASSWORD": ""}, "OFFHOOK_SIP_PROXY_PASSWORD is not set"),
        ({"OFFHOOK_SRTP": "perhaps"}, "OFFHOOK_SRTP=perhaps"),
    ],
)
def test_a_wrong_setting_stops_the_proxys_start_with_its_name(
    tmp_path: Path, settings: dict[str, str], said: str
) -> None:
    right = {
        "PROXY_RUN": tmp_path,
        "PROXY_INNER": "127.0.1.1:5060",
        "PROXY_OUTER": "127.0.0.1:5060",
        "PROXY_MEDIA": "127.0.1.1:2223",
        "OFFHOOK_SIP_PROXY_PASSWORD": "a-word",
    }
    command = [ROOT / "docker" / "proxy" / "start", "--print"]
    done = subprocess.run(command, env=environment(**{**right, **settings}), capture_output=True, text=True)
    assert done.returncode == 2 and said in done.stderr, done
