"""What is searched for."""

import pytest

from worker.records.archive import Summary
from worker.records.search import Query

CALL = Summary("c1", "2026-11-26T07:24:48.316Z", "+4930123", "427", "agent", "completed", 34_000)


@pytest.mark.parametrize(
    ("asked", "fits"),
    [
        ({}, True),
        ({"caller": "30123"}, True),
        ({"caller": "99"}, False),
        ({"outcome": "completed"}, True),
        ({"outcome": "failed"}, False),
        ({"since": "2026-11-26T07:24"}, True),
        ({"since": "2026-11-26T07:25"}, False),
        ({"until": "2026-11-26T07:24"}, True),
        ({"until": "2026-11-26T07:23"}, False),
        ({"until": "2026-11-26"}, True),
        ({"since": "2026-11-26", "until": "2026-11-26", "caller": "+49", "outcome": "completed"}, True),
    ],
)
def test_by_caller_time_and_outcome(asked: dict[str, str], fits: bool) -> None:
    assert Query(**asked).fits(CALL) is fits
