"""The line from report to report."""

from typing import Any

import pytest

from worker.records.edges import Edge
from worker.records.line_quality import line_quality


def report(ms: int, received: int, lost: int = 0, **more: Any) -> Edge:
    data = {"received": received, "lost": lost, "discarded": 0, "jitter_ms": 2.0, "buffer_ms": 40.0, "sent": received}
    return Edge(ms=ms, at="", kind="rtp", what="RtpReport", data={**data, **more})


def test_counts_are_of_the_time_between_two_reports() -> None:
    found = line_quality([report(5000, 250), report(10_000, 490, 10, jitter_ms=9.0, discarded=2)])
    assert found is not None
    assert [(one.start_ms, one.end_ms, one.received, one.lost) for one in found.spans] == [
        (0, 5000, 250, 0),
        (5000, 10_000, 240, 12),
    ]
    assert found.received == 490 and found.lost == 12 and found.jitter_ms == 9.0
    assert found.mos is not None and found.least_mos is not None and found.least_mos < found.mos < 4.42


def test_the_other_side_s_word_and_its_silence() -> None:
    silent = line_quality([report(5000, 250)])
    assert silent is not None and silent.their_lost is None and silent.their_mos is None
    told = line_quality([report(5000, 250, their_lost=50, round_trip_ms=200.0)])
    assert told is not None and told.their_lost == 50 and told.their_mos == pytest.approx(2.4, abs=0.2)
    assert told.spans[0].mos is not None and told.spans[0].mos < 4.4, "half of the way there and back is delay"


def test_a_new_stream_counts_from_nought_and_an_empty_one_is_no_span() -> None:
    found = line_quality([report(5000, 250, 5), report(10_000, 100), report(15_000, 100), report(20_000, 0)])
    assert found is not None and [one.received for one in found.spans] == [250, 100]


def test_without_reports_nobody_knows() -> None:
    assert line_quality([]) is None
    nothing = line_quality([report(0, 0)])
    assert nothing is not None and nothing.mos is None and nothing.spans == []
