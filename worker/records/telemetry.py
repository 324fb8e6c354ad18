"""What everybody who tells of a call needs for it, made once a call."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from telephony.sip.facts import InviteFacts
from telephony.sip.identity import ANONYMOUS
from worker.records.journal import Journal
from worker.records.metrics import Metrics
from worker.records.prices import Tariff
from worker.records.recorder import About, Recorder
from worker.records.told import Told
from worker.records.traces import OfCall
from worker.records.tracing import Traced, Tracing

__all__ = ["About", "CallInfo", "Telemetry", "Told"]


@dataclass(frozen=True, slots=True)
class CallInfo:
    """Who calls whom: `caller` and `dialled` are the user parts of the SIP addresses.

    calls_back: the id of the call whose caller this one calls back; `caller` and `dialled` are that call's then.
    second_line_of: the id of the call that is handed on, where this one was made to whom it goes.
    private: the caller was told to us in confidence, for routing, rules and tools; elsewhere `shown` stands for it.
    outbound: we called. facts: what else the INVITE said. context: what whoever ordered the call tells the agent.
    """

    call_id: str
    caller: str
    dialled: str
    calls_back: str | None = None
    private: bool = False
    second_line_of: str | None = None
    outbound: bool = False
    facts: InviteFacts = field(default_factory=InviteFacts)
    context: str = ""

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
    tariff: Tariff | None = None
    """By which it is priced; None: it costs nothing, or nobody asks."""
    journal: Journal = field(default_factory=lambda: Journal(on=False))
    trace: Traced | None = None
    """None: nobody wants traces, or not this one."""

    @classmethod
    def of_call(
        cls,
        info: CallInfo,
        metrics: Metrics,
        clock: Callable[[], float],
        tariff: Tariff | None = None,
        *,
        told: Told | None = None,
        about: About | None = None,
        tracing: Tracing | None = None,
    ) -> Telemetry:
        """Begin the record of a call, its journal and its trace. about: what it is answered with."""
        told, about = told or Told(), about or About()
        recorder = Recorder(
            info.call_id,
            clock() * 1000,
            info.shown,
            info.dialled,
            display_name="" if info.private else info.facts.display_name,
            diverted_from=info.facts.diverted_from,
            account=info.facts.account,
            calls_back=info.calls_back,
            second_line_of=info.second_line_of,
            about=about,
            words=told.words,
        )
        recorder.silences.over = metrics.silent
        journal = Journal(clock, on=told.journal)
        if told.journal:
            recorder.subscribe(journal.recorded)
        log = structlog.get_logger("worker.call").bind(call_id=info.call_id)
        trace = tracing.begin(_of_call(info, about, recorder.started_at), clock) if tracing is not None else None
        if trace is not None:
            recorder.subscribe(trace.recorded)
        return cls(info, recorder, metrics, clock, log, tariff, journal, trace)

    @property
    def now_ms(self) -> float:
        """The time that the recorder wants."""
        return self.clock() * 1000

    def provided(self, event: object) -> None:
        """An event of the realtime session has come."""
        self.journal.provided(event)
        if self.trace is not None:
            self.trace.provided(event)

    def traceparent(self, tool_call_id: str) -> str:
        """Return what a tool call takes along of the trace; "" where there is none."""
        return "" if self.trace is None else self.trace.traceparent(tool_call_id)


def _of_call(info: CallInfo, about: About, started_at: float) -> OfCall:
    return OfCall(
        call_id=info.call_id,
        invited_ns=round(started_at * 1e9),
        agent=about.agent,
        route=about.route,
        provider=about.provider,
        model=about.model,
        outbound=info.outbound,
        second_line_of=info.second_line_of,
    )
