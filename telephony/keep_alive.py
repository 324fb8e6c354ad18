"""Keeping a connection alive that others reach us by: a ping now and then, and what its answer tells. Pure.

A ping is CRLF CRLF, its answer a single CRLF (RFC 5626 section 4.4.1). Without one within 10 s the connection has
failed, where the other side is known to answer: not all do, and one that never has is judged by its machine's
acknowledgements alone (`telephony.library.UNACKNOWLEDGED_MS`) and by the next REGISTER.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = ["PONG_S", "KeepAlive", "Pinged", "interval_of"]

PONG_S = 10.0
"""RFC 5626 section 4.4.1."""
SHORTEST_S = 2.0
"""A registrar may ask for less than makes sense."""

Pinged = Literal["alive", "silent", "dead"]


def interval_of(wanted_s: float, flow_timer: str) -> float:
    """Seconds between two pings, at most. flow_timer: the registrar's header, or "" (RFC 5626 section 4.4)."""
    asked = re.fullmatch(r"\d{1,6}", flow_timer.strip())
    return min(wanted_s, max(SHORTEST_S, float(asked[0]))) if asked else wanted_s


@dataclass(slots=True)
class KeepAlive:
    """One connection's, from a REGISTER's answer on."""

    interval_s: float
    chance: Callable[[], float]
    """From 0 to 1: connections that were made at once aren't pinged at once (80 to 100 % of the interval)."""
    answers: bool = False
    """The other side is known to answer pings."""

    def wait_s(self) -> float:
        """Seconds to the next ping."""
        return self.interval_s * (0.8 + 0.2 * self.chance())

    def bound_s(self) -> float:
        """Seconds from a ping to `judge`."""
        return min(PONG_S, self.interval_s)

    def judge(self, *, pongs: int, heard: bool) -> Pinged:
        """What is known `bound_s` after a ping. pongs: answers since then; heard: anything came since then."""
        self.answers = self.answers or pongs > 0
        if heard or pongs:
            return "alive"
        return "dead" if self.answers else "silent"
