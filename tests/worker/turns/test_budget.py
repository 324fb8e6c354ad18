"""How often something may be done."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.turns.budget import Budget


@given(st.lists(st.floats(0, 3), max_size=80))
def test_never_more_than_so_many_within_any_so_many_seconds(pauses: list[float]) -> None:
    budget, now, spent = Budget(3, 5.0), 0.0, []
    for pause in pauses:
        now += pause
        if budget.spend(now):
            spent.append(now)
        else:
            assert budget.free_at(now) > now
    assert all(later - earlier >= 5.0 for earlier, later in zip(spent, spent[3:], strict=False))


def test_it_is_free_again_when_it_says() -> None:
    budget = Budget(2, 5.0)
    assert budget.spend(1.0) and budget.spend(2.0) and not budget.spend(3.0)
    assert budget.free_at(3.0) == 6.0
    assert budget.spend(6.0) and not budget.spend(6.5)
