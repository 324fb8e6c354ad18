"""The trunk is the proxy's: it registers there, workers call through it, and strangers get no further."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts.caller import Phone
from parts.front import OUTER, Front
from parts.program import Program, until
from parts.provider import ANSWER_HZ, Provider

from tests.ports import free_udp_port

ACCOUNT = {"OFFHOOK_SIP_USERNAME": "line7", "OFFHOOK_SIP_PASSWORD": "sesame"}


@pytest.fixture
def start_front(tmp_path: Path) -> Iterator[Callable[..., Front]]:
    fronts: list[Front] = []

    def start(**settings: Any) -> Front:
        fronts.append(Front(tmp_path, **settings))
        return fronts[-1]

    yield start
    for front in fronts:
        front.stop()


def test_the_proxy_registers_with_the_carrier(start_front: Callable[..., Front], sipp: Any) -> None:
    port = free_udp_port(OUTER)
    sipp("registrar", "", "-p", str(port), "-m", "9", expires=60)
    front = start_front(OFFHOOK_SIP_REGISTRAR=f"{OUTER}:{port}", **ACCOUNT)

    def registered() -> bool:
        flags = re.search(r"flags: (\d+)", front.rpc("uac.reg_dump"))
        return flags is not None and bool(int(flags[1]) & 4)

    until(registered, lambda: f"registered; {front.rpc('uac.reg_dump')}")


def test_what_a_worker_calls_goes_out_through_the_trunk(
    start_front: Callable[..., Front], dial_out: Callable[..., Program], phone_process: Phone, provider: Provider
) -> None:
    front = start_front(PROXY_TRUNK=f"sip:{OUTER}:{phone_process.port}")
    before = len(phone_process.events("IncomingCall"))
    program = dial_out(front, "4930125")
    ringing = phone_process.rings(before + 1, 60.0)
    assert ringing["dialled"] == "4930125"
    assert ringing["source"] == f"{OUTER}:{front.port}"
    call = phone_process.pick_up(ringing)
    provider.session().says(ANSWER_HZ, 1000)
    call.hears_tone(ANSWER_HZ, 400)
    assert not front.destinations(), "who only calls is sent no calls"
    call.hang_up()
    assert program.wait() == 0, program.text()


def test_a_trunks_503_is_the_workers(
    start_front: Callable[..., Front], dial_out: Callable[..., Program], phone_process: Phone
) -> None:
    """A proxy makes 500 of it unless it says it itself (RFC 3261 section 16.7), and a worker would not know why."""
    front = start_front(PROXY_TRUNK=f"sip:{OUTER}:{phone_process.port}")
    before = len(phone_process.events("IncomingCall"))
    program = dial_out(front, "4930125")
    phone_process.do("answer", call_id=phone_process.rings(before + 1, 60.0)["call_id"], status=503)
    program.wait()
    assert "503" in program.text(), program.text()


def test_a_carrier_that_asks_for_the_password_gets_it(
    start_front: Callable[..., Front], dial_out: Callable[..., Program], sipp: Any
) -> None:
    port = free_udp_port(OUTER)
    carrier = sipp("trunk_asks_password", "", "-p", str(port))
    front = start_front(OFFHOOK_SIP_REGISTRAR=f"{OUTER}:{port}", **ACCOUNT, PROXY_REGISTERS="no")
    program = dial_out(front, "4930125")
    program.line("^calling", 60.0)
    up = lambda: "ongoing: 1" in front.rpc("dlg.stats_active")  # noqa: E731
    until(up, lambda: f"{carrier.text()}\n{program.text()}\n{front.rpc('dlg.stats_active')}{front._words()}")
    program.signal(signal.SIGINT)
    carrier.finish(40)


def ask(front: Front, agent: str = "carrier", source: str = "127.0.0.1") -> int | None:
    """OPTIONS from outside; returns the status, None for no answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        sock.settimeout(1.0)
        host, port = sock.getsockname()
        sock.sendto(
            f"OPTIONS sip:{OUTER} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{port}{agent}\r\n"
            f"From: <sip:a@{host}>;tag=1\r\nTo: <sip:{OUTER}>\r\nCall-ID: {port}{agent}\r\nCSeq: 1 OPTIONS\r\n"
            f"User-Agent: {agent}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n".encode(),
            (OUTER, front.port),
        )
        try:
            return int(sock.recv(4000).split()[1])
        except TimeoutError:
            return None


def test_strangers_scanners_and_floods_get_no_further(start_front: Callable[..., Front], sipp: Any) -> None:
    front = start_front(OFFHOOK_SIP_ALLOW="127.0.0.77,127.0.3.0/24", PROXY_FLOOD=20)
    assert ask(front, source="127.0.0.77") == 503  # a carrier: it may call, and no worker is there
    assert ask(front, source="127.0.3.9") == 503
    sipp("refused_403", front.target).finish()
    assert ask(front, "friendly-scanner") is None
    assert ask(front) == 403
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
        for _ in range(300):
            flood.sendto(b"OPTIONS sip:x SIP/2.0\r\n\r\n", (OUTER, front.port))
    until(lambda: ask(front) is None, "who floods is not answered")
    assert [ask(front, source="127.0.0.77") for _ in range(30)] == [503] * 30
