"""What everybody who tells of a call needs for it, made once a call."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from telephony.sip.identity import ANONYMOUS
from worker.records.journal import Journal
from worker.records.metrics import Metrics
from worker.records.recorder import About, Recorder
from worker.records.told import Told

__all__ = ["About", "CallInfo", "Telemetry", "Told"]


@dataclass(frozen=True, slots=True)
class CallInfo:
    """Who calls whom: `caller` and `dialled` are the user parts of the SIP addresses.

    calls_back: the id of the call whose caller this one calls back; `caller` and `dialled` are that call's then.
    private: the caller was told to us in confidence, for routing, rules and tools; elsewhere `shown` stands for it.
    """

    call_id: str
    caller: str
    dialled: str
    calls_back: str | None = None
    private: bool = False

    @property
    def shown(self) -> str:
        """The caller as records, logs, operators and the model have it."""
        return ANONYMOUS if self.private else self.caller


@dataclass(frozen=True, slots=True)
class Telemetry:
    """One call's record, the worker's metrics, the log with the call's id, and the clock that all of it goes by."""

    info: CallInfo
    recorder: Recorder
    metrics: Metrics
    clock: Callable[[], float] = time.monotonic
    """s."""
    log: Any = field(default_factory=structlog.get_logger)
    journal: Journal = field(default_factory=lambda: Journal(on=False))

    @classmethod
    def of_call(
        cls, info: CallInfo, metrics: Metrics, clock: Callable[[], float], told: Told, about: About
    ) -> Telemetry:
        """Begin the record of a call, and its journal. about: what it is answered with."""
        recorder = Recorder(
            info.call_id,
            clock() * 1000,
            info.shown,
            info.dialled,
            calls_back=info.calls_back,
            about=about,
            words=told.words,
        )
        journal = Journal(clock, on=told.journal)
        if told.journal:
            recorder.subscribe(journal.recorded)
        log = structlog.get_logger("worker.call").bind(call_id=info.call_id)
        return cls(info, recorder, metrics, clock, log, journal)

    @property
    def now_ms(self) -> float:
        """The time that the recorder wants."""
        return self.clock() * 1000
