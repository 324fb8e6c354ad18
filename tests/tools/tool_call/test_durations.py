from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tools.tool_call.durations import ModeChoice, Usual, quantile, usual_of


def test_medians_and_the_90_percent_mark() -> None:
    times = [(n, n * 10) for n in range(1, 11)]
    assert usual_of(times) == Usual(wait_ms=5, run_ms=50, run_p90_ms=90, runs=10)
    assert usual_of([(1, 2)]) == Usual(1, 2, 2, 1)
    assert usual_of([]) is None


@given(st.lists(st.integers(0, 10**6), min_size=1), st.floats(0.01, 1.0))
def test_a_quantile_is_the_smallest_value_that_the_share_does_not_exceed(values: list[int], share: float) -> None:
    found = quantile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values) + 1e-9


def chosen(*runs: int) -> str:
    choice = ModeChoice()
    for run in runs:
        choice.note(run)
    return choice.mode


def test_a_tool_begins_inline_and_goes_into_the_queue_when_slow() -> None:
    assert chosen() == "inline"
    assert chosen(20, 30, 900) == "inline"
    assert chosen(1200) == "queued"
    assert chosen(*[10] * 19, 5000) == "inline"  # one in twenty is under its 90 % mark
    assert chosen(*[10] * 17, 5000, 5000, 5000) == "queued"


def test_it_comes_back_when_it_is_quick_again_and_not_for_one_quick_run() -> None:
    assert chosen(1200, 10) == "queued"
    assert chosen(1200, *[700] * 30) == "queued"  # between the two limits it stays where it is
    assert chosen(1200, *[10] * 30) == "inline"
