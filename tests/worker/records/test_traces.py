"""From edges to spans, without a clock: what becomes of each, in whatever order they come."""

from __future__ import annotations

import dataclasses

from tools.traces.span import Span, SpanContext
from worker.realtime import events as realtime
from worker.records import record as rec
from worker.records import traces
from worker.records.record import ToolCallRecord
from worker.records.traces import CallTrace, OfCall, tool_context

CALL = OfCall(call_id="0af7651916cd43dd8448eb211c80319c", invited_ns=10**18, agent="shop", provider="openai", model="m")


def named(spans: list[Span], name: str) -> Span:
    [found] = [span for span in spans if span.name == name]
    return found


def ms(span: Span) -> tuple[float, float]:
    return (span.start_ns - CALL.invited_ns) / 1e6, (span.end_ns - CALL.invited_ns) / 1e6


def ended(outcome: str = "completed") -> rec.Ended:
    return rec.Ended(rec.CallRecord(call_id=CALL.call_id, outcome=outcome, caller="+1555", reason="BYE from +1555"))


def started(key: str, **metadata: str) -> realtime.ResponseStarted:
    return realtime.ResponseStarted(key, metadata)


def test_times_of_the_record_begin_at_the_answer_and_those_of_a_trace_at_the_invite() -> None:
    trace = CallTrace(CALL)
    [invite] = trace.recorded(rec.Answered(300), 300.0)
    assert ms(invite) == (0, 300) and invite.parent == trace.root
    trace.recorded(rec.TurnStarted(1000, "c1", "caller"), 1300.0)
    trace.recorded(rec.TurnEnded(2000, "c1", "caller"), 2300.0)
    spans = trace.recorded(ended(), 5000.0)
    assert ms(named(spans, "turn caller")) == (1300, 2300)
    root = named(spans, "invoke_agent shop")
    assert (ms(root), root.parent, root.kind, root.error) == ((0, 5000), None, "server", "")


def test_a_call_that_was_never_answered() -> None:
    spans = CallTrace(dataclasses.replace(CALL, outbound=True)).recorded(ended("abandoned"), 900.0)
    assert [(span.name, ms(span), span.error) for span in spans] == [
        ("INVITE", (0, 900), "abandoned"),
        ("invoke_agent shop", (0, 900), "abandoned"),
    ]
    assert spans[1].kind == "client" and spans[1].attributes["error.type"] == "abandoned"
    assert "1555" not in repr(spans)


def test_a_turn_that_goes_on_after_its_end_is_one_span() -> None:
    trace = CallTrace(CALL)
    trace.recorded(rec.TurnStarted(0, "a1", "agent"), 0.0)
    trace.recorded(rec.TurnEnded(100, "a1", "agent"), 0.0)
    trace.recorded(rec.TurnEnded(700, "a1", "agent"), 0.0)
    [told] = trace.recorded(rec.TurnStarted(900, "c1", "caller"), 0.0)
    assert ms(told) == (0, 700)
    assert trace.recorded(rec.TurnEnded(950, "a1", "agent"), 0.0) == []


def test_usage_counts_before_and_after_a_responses_end() -> None:
    for late in (False, True):
        trace, usage = CallTrace(CALL), realtime.Usage("r1", 30, 7, input_audio_tokens=20)
        trace.provided(started("r1"), 0.0)
        events = (
            [realtime.ResponseDone("r1", "completed"), usage]
            if late
            else [usage, realtime.ResponseDone("r1", "completed")]
        )
        assert [span for event in events for span in trace.provided(event, 50.0)] == []
        [told] = trace.provided(started("r2"), 60.0)
        assert told.attributes["gen_ai.usage.input_tokens"] == 30 and ms(told) == (0, 50)
        assert told.attributes["offhook.usage.input_audio_tokens"] == 20


def test_how_responses_end() -> None:
    trace = CallTrace(CALL)
    for key in ("r1", "r2", "r3", "r4"):
        trace.provided(started(key, purpose="greeting"), 0.0)
    trace.provided(realtime.ResponseDone("r1", "failed", "a secret", "rate_limit_exceeded"), 10.0)
    told = trace.provided(realtime.ResponseDone("r2", "cancelled"), 20.0)
    told += trace.provided(realtime.ConnectionLost(1006, "a secret", False), 30.0)
    told += trace.recorded(ended(), 40.0)
    found = {span.attributes.get("gen_ai.response.id"): span.error for span in told}
    assert found == {"r1": "rate_limit_exceeded", "r2": "", "r3": "connection_lost", "r4": "connection_lost", None: ""}
    assert "secret" not in repr(told)


def test_a_tool_call_hangs_below_the_response_that_asked_and_its_job_below_it() -> None:
    trace = CallTrace(CALL)
    trace.provided(started("r1"), 0.0)
    trace.provided(realtime.ToolCallRequested("r1", "i1", "t1", "lookup", '{"pin": "4711"}'), 10.0)
    trace.recorded(rec.ToolStarted(20, "t1", "lookup", "queued", None), 20.0)
    trace.recorded(rec.ToolStarted(25, "t1", "lookup", "queued", "job-1"), 25.0)
    trace.provided(realtime.ResponseDone("r1", "completed"), 30.0)
    call = ToolCallRecord(tool="lookup", mode="queued", status="timeout", wait_ms=3, run_ms=60, fillers=2)
    response, tool = trace.recorded(rec.ToolEnded(90, "t1", call), 90.0)
    assert tool.parent == response.context and tool.context == tool_context(CALL.call_id, "t1")
    assert (tool.error, ms(tool), tool.attributes["messaging.message.id"]) == ("timeout", (20, 90), "job-1")
    assert (tool.attributes["offhook.tool.wait_ms"], tool.attributes["offhook.tool.fillers"]) == (3, 2)
    [heard] = trace.recorded(rec.ResultTold(150, "t1"), 150.0)
    assert (heard.name, heard.parent, ms(heard)) == ("heard lookup", tool.context, (90, 150))
    assert trace.recorded(rec.ResultTold(160, "t1"), 160.0) == []
    assert "4711" not in repr((response, tool, heard))


def test_a_tool_that_outlives_the_call_and_a_name_that_the_model_made_up() -> None:
    trace = CallTrace(CALL)
    trace.recorded(rec.ToolStarted(0, "t1", "call +1 555 4711", "inline", None), 0.0)
    trace.recorded(ended(), 10.0)
    call = ToolCallRecord(tool="x", mode="inline", status=rec.CONTINUES)
    [told] = trace.recorded(rec.ToolEnded(20, "t1", call), 20.0)
    assert (told.name, told.error, ms(told)) == ("execute_tool (unknown)", "", (0, 20))


def test_approvals_transfers_and_barge_ins() -> None:
    trace = CallTrace(CALL)
    wanted = rec.ApprovalRecord(number=1, tool="pay", tool_call_id="t1", wanted_ms=10)
    assert trace.recorded(rec.ApprovalTold(10, wanted), 10.0) == []
    answered = wanted.model_copy(update={"answered_ms": 50, "approved": True, "by": "voice", "why": "said: yes 4711"})
    transfer = rec.TransferRecord(at_ms=60, to="desk", way="blind", means="refer", outcome="busy", sip_status=486)
    spans = [
        *trace.recorded(rec.ApprovalTold(50, answered), 50.0),
        *trace.recorded(rec.Transferred(90, transfer), 90.0),
        *trace.recorded(rec.BargedIn(rec.BargeInRecord(at_ms=95, heard_ms=40, stopped_in_ms=5)), 100.0),
    ]
    assert [(span.name, ms(span), span.error) for span in spans] == [
        ("approval", (10, 50), ""),
        ("transfer", (60, 90), "busy"),
        ("barge_in", (95, 100), ""),
    ]
    assert spans[0].parent == tool_context(CALL.call_id, "t1")
    assert "4711" not in repr(spans) and spans[1].attributes["offhook.transfer.sip_status"] == 486


def test_a_provider_without_end_fills_no_memory() -> None:
    trace = CallTrace(CALL)
    for number in range(3 * traces.MOST_OPEN):
        trace.provided(started(f"r{number}"), 0.0)
        trace.provided(realtime.AudioDelta(f"r{number}", f"i{number}", b""), 0.0)
        trace.provided(realtime.ToolCallRequested(f"r{number}", "i", f"t{number}", "x", "{}"), 0.0)
    for kept in (trace._responses, trace._items, trace._asked):
        assert len(kept) == traces.MOST_OPEN
    assert len({span.context for span in trace.recorded(ended(), 1.0)}) == traces.MOST_OPEN + 2


def test_the_purest_span_context_of_a_call_is_found_by_its_id() -> None:
    assert CallTrace(CALL).root == SpanContext(int(CALL.call_id, 16), CallTrace(CALL).root.span_id)
