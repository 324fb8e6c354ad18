"""Which tools an agent has, and how often."""

from __future__ import annotations

from worker.call_tools.policy import Quota, ToolPolicy


def test_allow_and_deny_are_patterns_and_deny_wins() -> None:
    policy = ToolPolicy(allow=("order_*", "current_time"), deny=("*_delete",))
    assert [policy.permits(name) for name in ("order_status", "order_delete", "current_time", "pay")] == [
        True, False, True, False
    ]  # fmt: skip
    assert ToolPolicy().permits("anything")


def test_a_tool_has_its_own_limit_by_the_first_pattern_that_fits() -> None:
    policy = ToolPolicy(max_runs_of={"pay": 1, "p*": 3})
    assert [policy.limit_of(name) for name in ("pay", "ping", "order")] == [1, 3, None]


def test_past_the_tools_limit_there_are_words() -> None:
    quota = Quota(ToolPolicy(max_runs_of={"pay": 1, "ping": 2, "never": 0}))
    assert quota.take("pay") is None
    refused = quota.take("pay")
    assert refused == "'pay' can be used once in a call, and was. Don't try it again, and say so where it matters."
    assert quota.take("ping") is None and quota.take("ping") is None
    assert "can be used 2 times in a call" in str(quota.take("ping"))
    assert str(quota.take("never")).startswith("'never' can't be used in this call.")


def test_a_run_that_never_began_is_given_back() -> None:
    quota = Quota(ToolPolicy(max_runs_of={"pay": 1}))
    for _ in range(3):
        assert quota.take("pay") is None
        quota.give_back("pay")


def test_the_calls_limit_ends_a_loop_of_wrong_calls() -> None:
    quota = Quota(ToolPolicy(max_runs=2))
    for _ in range(2):
        assert quota.take("pay") is None
        quota.give_back("pay")
    assert "No more tools can be used in this call: 2 were." in str(quota.take("ping"))
