"""Of which family of IP a name is: asked beside the pj thread, and not for longer than a caller waits."""

from __future__ import annotations

import socket
import threading
from queue import SimpleQueue
from typing import Any

import pytest

from telephony import families
from telephony.families import Version, looked_up

V4 = (socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("192.0.2.1", 0))
V6 = (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("2001:db8::1", 0, 0, 0))


def told(among: tuple[Version, ...] = (4, 6)) -> Version | None:
    answer: SimpleQueue[Version | None] = SimpleQueue()
    looked_up("phone.example", among, answer.put)
    return answer.get(timeout=10)


@pytest.mark.parametrize(
    ("addresses", "among", "version"),
    [([V6, V4], (4, 6), 4), ([V6], (4, 6), 6), ([V6], (4,), None), ([], (4, 6), None)],
)
def test_the_family_of_a_name(
    monkeypatch: pytest.MonkeyPatch, addresses: list[Any], among: tuple[Version, ...], version: Version | None
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    assert told(among) == version


def test_a_name_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    assert told() is None


def test_a_resolver_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, over = threading.Event(), threading.Event()

    def silent(*_: Any, **__: Any) -> list[Any]:
        asked.set()
        over.wait(60)
        return [V6]

    monkeypatch.setattr(families, "LOOK_UP_S", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", silent)
    try:
        assert told() is None
        assert asked.is_set() and not over.is_set()
    finally:
        over.set()
