"""The connection that we registered by, kept alive where the build can (native/keep_alive.hpp). On the pj thread."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol

import structlog

from telephony.binding import pj
from telephony.keep_alive import KeepAlive, interval_of
from telephony.sip.message import header

__all__ = ["PINGS", "KeptConnection"]

log = structlog.get_logger(__name__)

PINGS = hasattr(pj, "Connection")
"""Whether this build pings for us; the library's own pings, each 90 s, look for no answer."""


class Connection(Protocol):
    """A TCP or TLS connection that is held, also once it has ended."""

    def there(self) -> bool:
        """Whether it is up."""

    def same(self, other: Connection) -> bool:
        """Whether both are one."""

    def ping(self) -> bool:
        """Send CRLF CRLF; whether that could be."""

    def silent_s(self) -> float:
        """How long nothing has come, in s."""

    def pongs(self) -> int:
        """How many single CRLFs have come."""

    def end(self) -> None:
        """Close it: what waits on it fails at once."""

    def release(self) -> None:
        """Hold it no longer."""


Later = Callable[[float, Callable[[], None]], None]


class KeptConnection:
    """Of one registration. Over UDP, and on any other build, it does nothing."""

    def __init__(self, interval_s: float, later: Later) -> None:
        """interval_s: at most so long between two pings; 0 for none. later: does something in so many s."""
        self._interval_s = interval_s
        self._later = later
        self._connection: Connection | None = None
        self._rule: KeepAlive | None = None

    def registered(self, rdata: pj.SipRxData) -> None:
        """Keep the connection by which a REGISTER was answered, in place of the one of before."""
        if not PINGS or not self._interval_s:
            return
        connection: Connection = pj.Connection(rdata)
        old, rule = self._connection, self._rule
        same = old is not None and old.same(connection)
        if same and rule is not None:
            connection.release()
            rule.interval_s = interval_of(self._interval_s, header(rdata.wholeMsg, "Flow-Timer"))
            return
        self.release()
        if not connection.there():  # it came over UDP
            return
        interval_s = interval_of(self._interval_s, header(rdata.wholeMsg, "Flow-Timer"))
        self._connection = connection
        # The registrar is the one of before: a new connection of it is answered as the last one was.
        self._rule = KeepAlive(interval_s, random.random, answers=rule is not None and rule.answers)
        self._later(self._rule.wait_s(), lambda: self._ping(connection))

    def ended(self) -> bool:
        """Whether a connection that has just ended may have been ours; where it is not known, it may."""
        return self._connection is None or not self._connection.there()

    def release(self) -> None:
        """Let go of it; before the library's end."""
        if self._connection is not None:
            self._connection.release()
            self._connection = None

    def _ping(self, connection: Connection) -> None:
        rule = self._rule
        if connection is not self._connection or rule is None or not connection.ping():
            return
        pongs, bound_s = connection.pongs(), rule.bound_s()
        self._later(bound_s, lambda: self._look(connection, pongs, bound_s))

    def _look(self, connection: Connection, pongs: int, bound_s: float) -> None:
        rule = self._rule
        if connection is not self._connection or rule is None or not connection.there():
            return
        silent_s = connection.silent_s()
        if rule.judge(pongs=connection.pongs() - pongs, heard=silent_s < bound_s) == "dead":
            log.warning("connection_silent", silent_s=round(silent_s, 1))
            connection.end()
            return
        self._later(max(0.0, rule.wait_s() - bound_s), lambda: self._ping(connection))
