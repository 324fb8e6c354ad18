from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from telephony.registration import Backoff


def test_doubles_up_to_the_longest_and_starts_again() -> None:
    backoff = Backoff(5, 300)
    assert [backoff.failed() for _ in range(8)] == [5, 10, 20, 40, 80, 160, 300, 300]
    backoff.succeeded()
    assert backoff.failed() == 5


@given(st.integers(0, 5000))
def test_never_out_of_bounds(failures: int) -> None:
    backoff = Backoff(1, 60)
    backoff.failures = failures
    assert 1 <= backoff.failed() <= 60
