"""How a call ends from our side."""

from __future__ import annotations

import pytest

from worker.call.hangup import APOLOGY_BOUND_S, HangUp


@pytest.fixture
def hang_ups() -> list[str]:
    return []


@pytest.fixture
def leaving(hang_ups: list[str]) -> HangUp:
    return HangUp(hang_ups.append)


@pytest.mark.parametrize(
    ("reason", "outcome"), [("agent", "completed"), ("drain", "drained"), ("limit", "limit"), ("silence", "completed")]
)
def test_it_counts_by_the_reason_whoever_sent_the_bye(
    leaving: HangUp, hang_ups: list[str], reason: str, outcome: str
) -> None:
    leaving.leave(reason)
    leaving.end()
    assert hang_ups == [reason]
    assert {leaving.outcome(by, answered=True) for by in ("agent", "caller", "network")} == {outcome}


@pytest.mark.parametrize(
    ("by", "answered", "outcome"),
    [("caller", True, "completed"), ("caller", False, "abandoned"), ("network", True, "failed")],
)
def test_without_a_decision_of_ours_it_counts_by_who_ended_it(
    leaving: HangUp, by: str, answered: bool, outcome: str
) -> None:
    assert leaving.outcome(by, answered=answered) == outcome


def test_a_fault_is_apologised_for_once_and_then_hung_up(leaving: HangUp, hang_ups: list[str]) -> None:
    assert leaving.failed("gone")
    assert not leaving.failed("gone again") and leaving.fault == "gone"
    leaving.after_apology("gone", 100.0)
    assert leaving.by == 100.0 + APOLOGY_BOUND_S and hang_ups == []
    leaving.end()
    leaving.end()
    assert hang_ups == ["gone"] and leaving.outcome("agent", answered=True) == "failed"


def test_after_the_decision_a_fault_changes_nothing(leaving: HangUp) -> None:
    leaving.leave("agent")
    assert not leaving.failed("the provider is gone too") and leaving.fault == ""
