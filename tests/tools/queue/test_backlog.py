from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools import ToolDefinitionError
from tools.queue.backlog import UNKNOWN_RUN_S, Backlog, Judged, QueueState, expected_wait_s
from tools.tool_call.durations import Usual


def test_the_wait_is_what_is_before_shared_among_the_workers() -> None:
    assert expected_wait_s(0, 1, 4.0) == 0
    assert expected_wait_s(10, 2, 4.0) == 20.0
    assert expected_wait_s(0, 0, 4.0) == math.inf


def test_callers_are_told_then_refused() -> None:
    backlog = Backlog(tell_s=10, refuse_s=30)
    assert backlog.judge(1, 1, 4.0) == Judged("ok", 4.0)
    assert backlog.judge(3, 1, 4.0) == Judged("tell", 12.0)
    assert backlog.judge(10, 1, 4.0) == Judged("refuse", 40.0)
    assert backlog.judge(10, 4, 4.0).answer == "tell"
    assert backlog.judge(0, 0, 4.0).answer == "refuse"


def test_nothing_is_refused_unless_so_configured() -> None:
    assert Backlog().judge(1000, 1, 60.0).answer == "tell"
    assert Backlog(tell_s=None).judge(1000, 1, 60.0).answer == "ok"


def test_limits_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ToolDefinitionError, match="make it the larger one"):
        Backlog(tell_s=30, refuse_s=10)


@given(st.integers(0, 5000), st.integers(0, 50), st.floats(0, 3600))
def test_more_workers_never_make_it_worse_and_retry_after_is_sane(depth: int, workers: int, run: float) -> None:
    backlog = Backlog(tell_s=5, refuse_s=60)
    order = ["ok", "tell", "refuse"]
    now, then = backlog.judge(depth, workers, run), backlog.judge(depth, workers + 1, run)
    assert order.index(then.answer) <= order.index(now.answer)
    assert 5 <= now.retry_after_s <= 300


def test_the_queue_is_judged_by_what_its_jobs_usually_take() -> None:
    usual = {"slow": Usual(wait_ms=0, run_ms=10_000, run_p90_ms=20_000, runs=5)}
    state = QueueState(depth=4, depths={"slow": 3, "new": 1}, usual=usual, workers=2)
    assert state.run_s == (3 * 10 + UNKNOWN_RUN_S) / 4
    assert Backlog(tell_s=10).judge_state(state) == Judged("tell", 4 * state.run_s / 2)
    assert QueueState(depth=0, depths={}, usual={}, workers=1).run_s == UNKNOWN_RUN_S
