"""What a call's session is made with: who calls whom, and what all calls of a worker share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tools.run.catalog import Catalog
from worker.call_tools.durations import UsualTimes
from worker.call_tools.later import LaterWays
from worker.records.metrics import Metrics

__all__ = ["CallInfo", "Services"]


@dataclass(frozen=True, slots=True)
class CallInfo:
    """Who calls whom: `caller` and `dialled` are the user parts of the SIP addresses.

    calls_back: the id of the call whose caller this one calls back; `caller` and `dialled` are that call's then.
    """

    call_id: str
    caller: str
    dialled: str
    calls_back: str | None = None


@dataclass(frozen=True, slots=True)
class Services:
    """What every call of this worker shares."""

    catalog: Catalog
    metrics: Metrics
    clock: Callable[[], float] = time.monotonic
    usual: UsualTimes = field(default_factory=UsualTimes)
    late: Callable[[float], None] = lambda seconds: None
    """Gets how late the media clock was at the worst in a call's last second (s)."""
    later: LaterWays = LaterWays()
