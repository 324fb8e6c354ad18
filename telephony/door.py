"""Answers to requests that open no call, where the build asks us (native/requests.hpp). On the pj thread."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import structlog

from telephony.binding import pj
from telephony.families import Version
from telephony.sip.message import header
from telephony.sip.requests import Answer, answer_to

log = structlog.get_logger(__name__)

DOOR = hasattr(pj, "RequestDoor")
"""Whether this build asks us; with any other the library answers as it does."""

Told = Callable[[str, str, str, Answer], None]
"""Gets method, message, source ("ip:port") and what was said."""

Families = Callable[[str], Collection[Version]]
"""Gets the Call-ID of an offer in a dialog, or "" for one outside; returns the families of IP that it may be of."""


class Door(Protocol):
    """Asked of each request by the library."""

    def open(self) -> bool:
        """Begin to be asked."""

    def close(self) -> None:
        """Be asked no more."""


if DOOR:

    class _Door(pj.RequestDoor):  # type: ignore[misc]
        """A `Door`, which hands on what was said."""

        def __init__(self, told: Told, codecs: Sequence[str], families: Families) -> None:
            super().__init__()
            self._told = told
            self._codecs = codecs
            self._families = families

        def onRequest(self, request: pj.Request) -> int:
            """The status to answer with; 0 leaves the request to the library. Must not raise: C++ frames lie below."""
            try:
                method, message = request.method, request.message
                said = answer_to(
                    method,
                    message,
                    in_dialog=request.in_dialog,
                    subscribed=request.subscribed,
                    datagram=request.datagram,
                    codecs=self._codecs,
                    families=self._families(call_id_of(message) if request.in_dialog else ""),
                )
                if said is None or (request.tagged and not request.in_dialog):
                    return 0  # a dialog that we don't have is the library's 481
                for name, value in said.headers:
                    request.add_header(name, value)
                self._told(method, message, request.source, said)
                return said.status
            except Exception:
                log.exception("sip_callback_failed", callback="Door.onRequest")
                return 0


def open_door(told: Told, codecs: Sequence[str], families: Families) -> Door | None:
    """Begin to be asked, after the library's start; None where the build doesn't. codecs: those that we speak."""
    if not DOOR:
        return None
    door: Door = _Door(told, codecs, families)
    if not door.open():
        log.warning("requests_stay_the_library_s")
        return None
    return door


def call_id_of(message: str) -> str:
    """The Call-ID of a message, by which its call is found."""
    return header(message, "Call-ID")
