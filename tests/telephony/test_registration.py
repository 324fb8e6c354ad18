from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telephony.registration import LAST_S, Backoff, refresh_after, retry_after


def test_doubles_up_to_the_longest_and_starts_again() -> None:
    backoff = Backoff(5, 300)
    assert [backoff.failed() for _ in range(8)] == [5, 10, 20, 40, 80, 160, 300, 300]
    backoff.succeeded()
    assert backoff.failed() == 5


@settings(deadline=None)
@given(st.integers(0, 5000))
def test_never_out_of_bounds(failures: int) -> None:
    backoff = Backoff(1, 60)
    backoff.failures = failures
    assert 1 <= backoff.failed() <= 60


@pytest.mark.parametrize("granted, after", [(3600, 3570), (300, 270), (60, 30), (20, 10), (4, 2), (1, 0.5), (0, 0.5)])
def test_a_refresh_comes_in_time(granted: int, after: float) -> None:
    assert refresh_after(granted) == after


@settings(deadline=None)
@given(st.integers(2, 10**6))
def test_never_after_the_end_nor_much_too_early(granted: int) -> None:
    assert granted / 2 <= refresh_after(granted) < granted
    assert granted - refresh_after(granted) <= LAST_S


@pytest.mark.parametrize("asked, wait", [(None, 5.0), (0, 5.0), (4, 5.0), (30, 30.0), (10**9, 3600.0)])
def test_a_registrars_word_counts_where_it_is_longer(asked: int | None, wait: float) -> None:
    assert retry_after(5.0, asked) == wait
