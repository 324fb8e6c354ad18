"""The demo's verdict: the answer was understood as a whole, or it was not."""

from __future__ import annotations

import pytest

from worker.demo.verdict import understood_answer
from worker.records.record import CallRecord

ANSWER = "order four two seven is shipped with d h l and arrives thursday"


@pytest.mark.parametrize(
    ("heard", "understood"),
    [
        ([ANSWER], True),
        (["hello", "one moment please", ANSWER, "goodbye"], True),
        ([], False),
        (["order four two eight is shipped with d h l and arrives thursday"], False),
        (["order four two seven is shipped with d h l and arrives tuesday"], False),
        (["order four two seven is being packed and arrives thursday"], False),
        (["order four two seven", "is shipped", "thursday"], False),
    ],
)
def test_verdict(heard: list[str], understood: bool) -> None:
    assert understood_answer(CallRecord(call_id="c1", heard_by_caller=heard)) is understood
