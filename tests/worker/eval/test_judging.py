"""The judge's question and verdicts: a criterion that was not decided on has not passed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from worker.eval.judge import Evidence, ToolSeen
from worker.eval.judging import LONGEST, question, unjudged, verdicts
from worker.records.record import CallRecord, ToolCallRecord, TurnRecord

RUBRIC = ("The agent names the day.", "The agent is polite.")


def evidence(text: str = "It arrives on Thursday.") -> Evidence:
    record = CallRecord(
        call_id="c1",
        outcome="completed",
        caller="+4930123",
        turns=[TurnRecord(who="agent", text=text, start_ms=10, end_ms=900)],
        tool_calls=[ToolCallRecord(tool="order_status", mode="queued", start_ms=5, status="ok", run_ms=3)],
    )
    return Evidence(record=record, tools=[ToolSeen("order_status", '{"order": "427"}')], said=["where is it"])


def test_it_is_shown_the_call_and_the_criteria_by_number() -> None:
    (_, task), (role, text) = question(RUBRIC, evidence())
    assert "JSON" in task and role == "user"
    criteria, _, call = text.partition("\n\nThe call:\n")
    assert criteria.endswith("1. The agent names the day.\n2. The agent is polite.")
    shown = json.loads(call)
    assert shown["turns"] == [{"who": "agent", "text": "It arrives on Thursday.", "start_ms": 10, "end_ms": 900}]
    assert shown["tool_calls"][0]["status"] == "ok" and shown["arguments"][0]["arguments"] == '{"order": "427"}'
    assert "+4930123" not in text
    assert len(question(RUBRIC, evidence("word " * 50_000))[1][1]) < LONGEST + 1000


@pytest.mark.parametrize(
    ("answer", "passed"),
    [
        ({"verdicts": [{"number": 2, "passed": True, "reason": "b"}, {"number": 1, "passed": True}]}, [True, True]),
        ({"verdicts": [{"number": 1, "passed": True, "reason": "a"}]}, [True, False]),
        ({"verdicts": [{"number": 1, "passed": "yes"}, {"number": 2, "passed": False}]}, [False, False]),
        ({"verdicts": "all fine"}, [False, False]),
        ({"verdicts": [None, 3, {"passed": True}]}, [False, False]),
        ({}, [False, False]),
    ],
)
def test_what_it_decides(answer: dict[str, Any], passed: list[bool]) -> None:
    found = verdicts(RUBRIC, answer)
    assert [one.what for one in found] == [f"judged: {criterion}" for criterion in RUBRIC]
    assert [one.passed for one in found] == passed and all(one.detail and one.shown for one in found)


def test_a_call_that_nobody_could_judge_has_not_passed() -> None:
    assert [(one.passed, one.detail) for one in unjudged(RUBRIC, "away")] == [(False, "away")] * 2
