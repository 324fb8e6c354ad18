"""The way out for spans, against a real receiver, one that never answers, and none."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest
from opentelemetry.propagate import inject

from tests.otlp import receiving
from tools.traces.current import current_traceparent
from tools.traces.opening import open_exporter
from tools.traces.otlp import Exporter, below
from tools.traces.span import Span, SpanContext, SpanEvent

ROOT = SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331)
CHILD = SpanContext(ROOT.trace_id, 0x1234)


def span(context: SpanContext = CHILD, parent: SpanContext | None = ROOT) -> Span:
    return Span(
        name="chat local",
        context=context,
        parent=parent,
        start_ns=1_000_000_000,
        end_ns=3_000_000_000,
        kind="client",
        attributes={"a": 1, "b": ("x", "y"), "c": True},
        events=(SpanEvent("first_audio", 2_000_000_000),),
        error="rate_limit_exceeded",
    )


def use(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


async def test_a_span_comes_as_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as otlp:
        use(monkeypatch, otlp.environment)
        exporter = Exporter("offhook")
        exporter.emit(span())
        exporter.emit(span(ROOT, None))
        await otlp.until(lambda: len(otlp.spans) == 2)
        await asyncio.to_thread(exporter.close)
    child, root = otlp.spans
    assert (child.trace_id, child.span_id, child.parent_id) == (f"{ROOT.trace_id:032x}", f"{0x1234:016x}", root.span_id)
    assert root.parent_id == "" and root.span_id == f"{ROOT.span_id:016x}"
    assert (child.start_ns, child.end_ns, child.kind) == (1_000_000_000, 3_000_000_000, 3)
    assert child.attributes == {"a": 1, "b": ["x", "y"], "c": True}
    assert (child.events, child.error, child.service) == (("first_audio",), "rate_limit_exceeded", "offhook")


async def test_what_is_left_is_sent_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as otlp:
        use(monkeypatch, {**otlp.environment, "OTEL_BSP_SCHEDULE_DELAY": "60000", "OTEL_SERVICE_NAME": "shop"})
        exporter = Exporter("offhook")
        exporter.emit(span())
        await asyncio.to_thread(exporter.close, 20.0)
        assert [one.service for one in otlp.spans] == ["shop"]


async def test_nobody_waits_for_a_receiver_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as otlp:
        otlp.silent = True
        use(monkeypatch, {**otlp.environment, "OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "50"})
        exporter = Exporter("offhook")
        exporter.emit(span())
        await otlp.until(lambda: otlp.asked)
        for _ in range(1000):  # ten times what its queue holds, on this very loop
            exporter.emit(span())
        await asyncio.to_thread(exporter.close, 0.1)
        assert (otlp.asked, otlp.spans) == (1, [])


def test_nobody_waits_for_a_receiver_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as held:  # bound, and nobody listens
        held.bind(("127.0.0.1", 0))
        use(monkeypatch, {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{held.getsockname()[1]}"})
        exporter = Exporter("offhook")
        for _ in range(5000):
            exporter.emit(span())
        exporter.close(0.1)
        exporter.emit(span())  # of a call that ends late
        exporter.close(0.1)


def test_the_sampler_is_the_sdks(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, {"OTEL_TRACES_SAMPLER": "always_off"})
    exporter = Exporter("offhook")
    assert not exporter.sampled(ROOT.trace_id, "invoke_agent")
    exporter.close(0.1)


def test_what_runs_below_a_span_sends_it_on() -> None:
    sent: dict[str, str] = {}
    with below(CHILD):
        inject(sent)  # as the MCP SDK does into a request's _meta
        assert sent["traceparent"] == current_traceparent() == CHILD.traceparent
    assert current_traceparent() == ""


def test_without_the_extra_there_are_no_traces_and_a_line_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "tools.traces.otlp", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    assert open_exporter("offhook") is None
    assert "traces_off" in (said := capsys.readouterr().out) and "offhook[otel]" in said


def test_a_wrong_variable_of_the_sdks_is_said_and_stops_nobody(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, {"OTEL_BSP_MAX_QUEUE_SIZE": "-1", "OTEL_EXPORTER_OTLP_HEADERS": "authorization=sk-4711"})
    assert open_exporter("offhook") is None
    said = capsys.readouterr().out
    assert "traces_off" in said and "OTEL_" in said and "4711" not in said
