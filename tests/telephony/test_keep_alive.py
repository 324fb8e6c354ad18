"""Pings on connections (RFC 5626): ours to a registrar, and those that come to us. The rules alone, and on the wire."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from telephony.keep_alive import PONG_S, KeepAlive, interval_of
from tests.telephony.authority import Authority
from tests.telephony.conftest import until

pytestmark = pytest.mark.timeout(40)


@pytest.mark.parametrize(
    ("wanted", "timer", "interval"),
    [(30, "", 30), (30, "120", 30), (30, "20", 20), (30, "0", 2), (30, "soon", 30), (30, " 15 ", 15), (1, "120", 1)],
)
def test_how_often(wanted: float, timer: str, interval: float) -> None:
    assert interval_of(wanted, timer) == interval


def test_a_ping_is_early_by_chance_and_its_answer_bounded() -> None:
    assert KeepAlive(30, lambda: 0.0).wait_s() == 24
    assert KeepAlive(30, lambda: 1.0).wait_s() == 30
    assert KeepAlive(30, lambda: 1.0).bound_s() == PONG_S == 10
    assert KeepAlive(4, lambda: 1.0).bound_s() == 4


def test_only_who_has_answered_can_be_missed() -> None:
    rule = KeepAlive(30, lambda: 1.0)
    assert rule.judge(pongs=0, heard=False) == "silent", "it may be one that answers no pings"
    assert rule.judge(pongs=0, heard=True) == "alive"
    assert rule.judge(pongs=0, heard=False) == "silent", "what came was no answer"
    assert rule.judge(pongs=1, heard=True) == "alive"
    assert rule.judge(pongs=0, heard=True) == "alive", "whoever sends anything is there"
    assert rule.judge(pongs=0, heard=False) == "dead"


class Registrar:
    """Takes REGISTERs on TCP or TLS, and answers pings on the first connection only so often."""

    def __init__(self, pongs: int, context: ssl.SSLContext | None = None) -> None:
        self.pongs, self.context = pongs, context
        self.registered: list[int] = []
        """The connections by which it was registered, by their numbers."""
        self.pinged: list[int] = []
        self.connections: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                made, _ = self.listener.accept()
                made = self.context.wrap_socket(made, server_side=True) if self.context else made
            except OSError:
                return
            self.connections.append(made)
            threading.Thread(target=self._serve, args=(made, len(self.connections)), daemon=True).start()

    def _serve(self, made: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):  # closed, at the test's end
            self._answer(made, number)

    def _answer(self, made: socket.socket, number: int) -> None:
        while data := made.recv(65535):
            if data == b"\r\n\r\n":
                self.pinged.append(number)
                if number > 1 or self.pinged.count(1) <= self.pongs:
                    made.sendall(b"\r\n")
            elif data.startswith(b"REGISTER "):
                self.registered.append(number)
                made.sendall(self._granted(data.decode()))

    @staticmethod
    def _granted(request: str) -> bytes:
        kept = re.findall(r"^(?:Via|From|To|Call-ID|CSeq|Contact): .*$", request, re.M)
        lines = [f"{line.rstrip()};tag=1" if line.startswith("To:") else line.rstrip() for line in kept]
        return "\r\n".join(["SIP/2.0 200 OK", *lines, "Expires: 300", "Content-Length: 0", "", ""]).encode()

    def close(self) -> None:
        self.listener.close()
        for one in self.connections:
            one.close()


@pytest.fixture
def registrar() -> Iterator[Any]:
    made: list[Registrar] = []

    def start(pongs: int, context: ssl.SSLContext | None = None) -> Registrar:
        made.append(Registrar(pongs, context))
        return made[-1]

    yield start
    for one in made:
        one.close()


def registered_at(start_endpoint: Any, there: Registrar, transport: str = "tcp", **more: Any) -> Any:
    uri = f"sip:127.0.0.1:{there.port};transport={transport}"
    line = start_endpoint(registrar=uri, username="line7", keepalive_s=0.5, **more)
    line.next("Started")
    assert line.next("RegistrationChanged")["registered"]
    return line


def test_a_registrar_that_falls_silent_is_registered_with_again(
    start_endpoint: Any, build: str, registrar: Any
) -> None:
    """Its connection stays open, and says nothing any more."""
    if build != "own":
        pytest.skip("the wheel looks for no answer")
    there = registrar(pongs=2)
    line = registered_at(start_endpoint, there)
    assert line.next("RegistrationChanged")["registered"]
    assert there.registered[:2] == [1, 2] and there.pinged[:3] == [1, 1, 1]
    until(lambda: there.pinged.count(2) >= 3, "the new connection is pinged")
    assert there.registered == [1, 2], "it answers, and stays"


def test_a_registrar_that_answers_no_pings_is_left_in_peace(start_endpoint: Any, build: str, registrar: Any) -> None:
    if build != "own":
        pytest.skip("the wheel looks for no answer")
    there = registrar(pongs=0)
    registered_at(start_endpoint, there)
    until(lambda: there.pinged.count(1) >= 4, "it is pinged all the same")
    assert there.registered == [1]


def test_the_end_of_a_tls_connection_is_the_end_of_the_registration(
    start_endpoint: Any, build: str, registrar: Any, tmp_path: Path
) -> None:
    if build != "own":
        pytest.skip("the wheel's TLS can't be used")
    authority = Authority.made(tmp_path, "ours")
    files = authority.sign("registrar")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["certificate"], files["key"])
    there = registrar(pongs=99, context=context)
    line = registered_at(
        start_endpoint, there, "tls", transports=["udp", "tls"], tls={**files, "authorities": authority.path}
    )
    until(lambda: there.pinged, "pings go over TLS")
    there.connections[0].shutdown(socket.SHUT_RDWR)
    assert line.next("RegistrationChanged")["registered"]
    assert there.registered == [1, 2]


@pytest.mark.parametrize(
    "parts", [(b"\r\n\r\n",), (b"\r\n", b"\r\n"), (b"\r\n\r\n\r\n\r\n",)], ids=["one", "two", "more"]
)
def test_a_ping_is_answered(start_endpoint: Any, build: str, raw: Any, parts: tuple[bytes, ...]) -> None:
    """By a single CRLF (section 4.4.1); and what comes after it is a request as any other."""
    if build != "own":
        pytest.skip("the wheel answers none")
    agent = start_endpoint()
    caller = raw(agent.next("Started")["port"], socket.SOCK_STREAM)
    caller.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    caller.send(parts[0])
    if parts[1:]:
        caller.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            caller.socket.recv(10)
        caller.socket.settimeout(2)
        caller.send(parts[1])
    assert caller.socket.recv(100) == b"\r\n"
    caller.send(b"\r\n\r\n" + caller.invite(body="v=0\r\n"))
    assert caller.socket.recv(2) == b"\r\n"
    assert caller.status() > 200, "its offer has no audio"


def test_a_ping_over_tls_is_answered(start_endpoint: Any, build: str, tmp_path: Path) -> None:
    if build != "own":
        pytest.skip("the wheel's TLS can't be used")
    authority = Authority.made(tmp_path, "ours")
    agent = start_endpoint(transports=["udp", "tls"], tls=authority.sign("desk"))
    address = next(one for one in agent.next("Started")["addresses"] if one.endswith("=tls"))
    port = int(address.split(":")[2].partition(";")[0])
    context = ssl.create_default_context(cafile=authority.path)
    with (
        socket.create_connection(("127.0.0.1", port), 2) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as caller,
    ):
        caller.sendall(b"\r\n\r\n")
        assert caller.recv(100) == b"\r\n"


def test_a_ping_over_udp_is_read_over(start_endpoint: Any, raw: Any) -> None:
    """It keeps a NAT's binding, and asks for nothing: over UDP one would ask by STUN (section 4.4.2)."""
    caller = raw(start_endpoint().next("Started")["port"])
    caller.send(b"\r\n\r\n")
    caller.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        caller.socket.recv(10)
