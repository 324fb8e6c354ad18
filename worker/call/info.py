"""What a call's session is made with: the telephone's end of it, and what all calls of a worker share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from telephony.bridge import Bridge
from tools.run.catalog import Catalog
from worker.call_tools.durations import UsualTimes
from worker.call_tools.later import LaterWays
from worker.realtime.choose import Connect, connection_for
from worker.realtime.provider import Provider
from worker.realtime.remote import RemoteServer
from worker.records.metrics import Metrics
from worker.records.prices import Prices
from worker.records.telemetry import CallInfo, Told
from worker.records.tracing import Tracing

__all__ = ["CallInfo", "PhoneLine", "Services"]


@dataclass(frozen=True, slots=True)
class PhoneLine:
    """The telephone's end of a call: its audio, and the way to hang up."""

    bridge: Bridge
    hang_up: Callable[[str], None]
    """Gets the reason, once."""
    late: Callable[[float], None] = lambda seconds: None
    """Gets how late the media clock was at the worst in the last second (s)."""


@dataclass(frozen=True, slots=True)
class Services:
    """What every call of this worker shares."""

    catalog: Catalog
    metrics: Metrics
    provider: Provider
    clock: Callable[[], float] = time.monotonic
    usual: UsualTimes = field(default_factory=UsualTimes)
    later: LaterWays = LaterWays()
    remote: Mapping[str, RemoteServer] = field(default_factory=dict)
    """The MCP servers that the provider runs, by label."""
    prices: Prices | None = None
    """What models cost; None: nobody asks."""
    recordings: bool = False
    """Calls are recorded."""
    told: Told = Told()
    """What of the calls is kept."""
    tracing: Tracing | None = None
    """Tells them as traces; None: nobody wants any."""
    connect: Connect = connection_for
    """Makes the connection to the provider."""
