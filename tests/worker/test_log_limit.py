"""What a call may write into the log."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from worker.log import setup_logging
from worker.log_limit import BURST, LONGEST, PER_S, WORKER_BURST, Limiter


def test_a_flood_writes_its_first_moments_and_then_a_line_a_second_that_tells_of_the_rest() -> None:
    limiter = Limiter()
    passed = [limiter.admit("c1", "realtime_error", 100 + n / 500) for n in range(10_000)]  # 20 s
    told = [count for count in passed if count is not None]
    assert told[:BURST] == [0] * BURST and BURST + 18 * PER_S <= len(told) <= BURST + 21 * PER_S
    assert sum(told) + len(told) + limiter.end("c1")["realtime_error"] == 10_000


def test_one_event_or_one_call_takes_nothing_from_another() -> None:
    limiter = Limiter()
    for _ in range(1000):
        limiter.admit("c1", "realtime_error", 100.0)
    assert limiter.admit("c1", "tool_call", 100.0) == 0
    assert limiter.admit("c2", "realtime_error", 100.0) == 0
    assert limiter.admit("c1", "realtime_error", 100.0) is None


def test_what_concerns_the_worker_has_a_bound_of_its_own() -> None:
    limiter = Limiter()
    assert sum(limiter.admit("", "call_refused", 100.0) is not None for _ in range(5000)) == WORKER_BURST


def test_calls_that_were_never_ended_are_forgotten_in_the_end() -> None:
    limiter = Limiter(most=10)
    for number in range(1000):
        limiter.admit(f"c{number}", "call", 100.0)
    assert len(limiter._buckets) == 10


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["x", "y"]), st.floats(0, 3)), max_size=300))
def test_lines_are_written_or_counted_and_never_more_than_the_bound(life: list[tuple[str, str, float]]) -> None:
    limiter, now, written, told = Limiter(), 0.0, 0, 0
    for call, event, pause in life:
        now += pause
        if (count := limiter.admit(call, event, now)) is not None:
            written, told = written + 1, told + count
    assert written <= 4 * (BURST + now * PER_S)
    assert written + told + sum(sum(limiter.end(call).values()) for call in "ab") == len(life)


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    out = io.StringIO()
    setup_logging("debug", "json", out)
    yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if getattr(handler, "offhook", False)]:
        root.removeHandler(handler)
    root.setLevel(logging.WARNING)
    structlog.reset_defaults()


def test_the_log_itself_is_bounded_and_says_at_the_calls_end_what_is_missing(lines: Any) -> None:
    log = structlog.get_logger("worker.call.session").bind(call_id="c1")
    for _ in range(5000):
        log.warning("realtime_error", message="no")
    log.info("call_ended")
    written = lines()
    errors = [line for line in written if line["event"] == "realtime_error"]
    assert len(errors) < 100
    told = sum(line.get("suppressed", 0) for line in errors)
    assert written[-1]["event"] == "call_ended"
    assert written[-1]["suppressed"] == {"realtime_error": 5000 - len(errors) - told}


def test_who_asks_for_debug_lines_gets_them_all_and_no_text_is_endless(lines: Any) -> None:
    log = structlog.get_logger("x")
    for _ in range(500):
        log.debug("event", call_id="c1")
    log.warning("realtime_error", call_id="c1", message="m" * 1_000_000)
    *debug, last = lines()
    assert len(debug) == 500
    assert len(last["message"]) < LONGEST + 50 and last["message"].endswith("(1000000 characters)")
