"""Verdicts: what was expected against record and evidence."""

from __future__ import annotations

from typing import Any

import pytest

from worker.eval.eval_file import Expect
from worker.eval.judge import Evidence, ToolSeen, Verdict, judge, longest_wait_ms
from worker.records.record import CallRecord, ToolCallRecord, TurnRecord


def turn(who: Any, start_s: float, end_s: float, text: str = "") -> TurnRecord:
    return TurnRecord(who=who, text=text, start_ms=round(start_s * 1000), end_ms=round(end_s * 1000))


TURNS = [
    turn("agent", 0.5, 3, "Hello, this is the order desk."),
    turn("caller", 10, 12, "where is my order four two seven"),
    turn("filler", 13, 15, "Let me look."),
    turn("agent", 19, 22, "Order 427 is shipped."),
    turn("caller", 23, 24, "Goodbye."),
    turn("agent", 25, 26, "Goodbye."),
]
RECORD = CallRecord(
    call_id="c",
    outcome="completed",
    duration_ms=27_000,
    turns=TURNS,
    tool_calls=[ToolCallRecord(tool="order_status", mode="queued", status="ok")],
)
SEEN = [ToolSeen("order_status", '{"order": "427", "more": 1}')]


def verdict(expect: dict[str, Any], **evidence: Any) -> Verdict:
    """The verdict on the one thing that is expected."""
    known = {"record": RECORD, "tools": SEEN, "heard": ["order four"], "answered": True, **evidence}
    went, *rest = judge(Expect.model_validate(expect), Evidence(**known))
    assert went.passed
    (found,) = rest
    return found


@pytest.mark.parametrize(
    ("expect", "passed"),
    [
        ({"outcome": "completed"}, True),
        ({"outcome": "limit"}, False),
        ({"no_errors": True}, True),
        ({"never_silent_over": 4}, True),
        ({"never_silent_over": 3.9}, False),
        ({"tools": [{"name": "order_status"}]}, True),
        ({"tools": [{"name": "order_status", "times": 2}]}, False),
        ({"tools": [{"name": "cancel", "times": 0}]}, True),
        ({"tools": [{"name": "order_status", "status": "ok"}]}, True),
        ({"tools": [{"name": "order_status", "status": "failed"}]}, False),
        ({"tools": [{"name": "order_status", "arguments": {"order": "427"}}]}, True),
        ({"tools": [{"name": "order_status", "arguments": {"order": "428"}}]}, False),
        ({"tools": [{"name": "order_status", "arguments": {"order": "428"}, "times": 0}]}, True),
        ({"said": [{"text": "427 is shipped"}]}, True),
        ({"said": [{"text": "order desk", "within": 0.5}]}, True),
        ({"said": [{"text": "shipped", "within": 8, "after": "order four"}]}, True),
        ({"said": [{"text": "shipped", "within": 6, "after": "order four"}]}, False),
        ({"said": [{"text": "order desk", "after": "order four"}]}, False),
        ({"said": [{"text": "shipped", "after": "never said"}]}, False),
        ({"said": [{"text": "delivered"}]}, False),
        ({"heard": ["order f"]}, True),
        ({"heard": ["order five"]}, False),
    ],
)
def test_what_is_expected_is_judged(expect: dict[str, Any], passed: bool) -> None:
    found = verdict(expect)
    assert found.passed is passed
    assert passed or found.detail


def test_errors_of_the_record_are_told() -> None:
    found = verdict({"no_errors": True}, record=RECORD.model_copy(update={"errors": ["the provider went away"]}))
    assert (found.passed, found.detail) == (False, "the provider went away")


@pytest.mark.parametrize("arguments", [None, "", "{", "[]", '"427"'])
def test_arguments_that_can_not_be_read_are_not_those_wanted(arguments: str | None) -> None:
    wanted = {"tools": [{"name": "order_status", "arguments": {"order": "427"}}]}
    assert not verdict(wanted, tools=[ToolSeen("order_status", arguments)]).passed


def test_a_call_without_a_record_fails_where_one_is_needed() -> None:
    assert verdict({"outcome": "completed"}, record=None) == Verdict("record", False, "there is no record of the call")
    assert judge(Expect(), Evidence(answered=True)) == [Verdict("the call went by its plan", True)]


def test_a_caller_who_gave_up_and_a_call_that_was_not_answered_have_failed() -> None:
    (found,) = judge(Expect(), Evidence(answered=True, problems=["the caller gave up: waited"]))
    assert (found.passed, found.detail) == (False, "the caller gave up: waited")
    (found,) = judge(Expect(), Evidence(status=503))
    assert (found.passed, found.detail) == (False, "it was not answered (SIP 503)")


@pytest.mark.parametrize(
    ("turns", "waited", "since"),
    [
        (TURNS, 4_000, 15_000),
        ([], 27_000, 0),  # nobody says anything
        ([turn("agent", 0, 1), turn("caller", 20, 21), turn("agent", 22, 27)], 1_000, 21_000),  # the caller thinks
        ([turn("agent", 0, 1), turn("agent", 8, 26)], 7_000, 1_000),
        ([turn("agent", 0, 1), turn("caller", 2, 3)], 24_000, 3_000),  # never answered
        ([turn("agent", 0, 20), turn("caller", 3, 4), turn("agent", 21, 27)], 1_000, 20_000),  # overlapping
        ([turn("caller", 9, 10), turn("agent", 11, 27)], 1_000, 10_000),  # the caller begins
    ],
)
def test_the_longest_wait_is_the_callers_time_without_a_voice(turns: list[TurnRecord], waited: int, since: int) -> None:
    assert longest_wait_ms(RECORD.model_copy(update={"turns": turns})) == (waited, since)


def test_a_caller_who_gave_up_tells_what_was_heard() -> None:
    [went] = judge(Expect(), Evidence(problems=["the caller gave up: waited"], heard=["hello", ""]))
    assert not went.passed and went.detail == "the caller gave up: waited; heard: hello | (nothing)"
