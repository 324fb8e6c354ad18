"""The caller who says nothing."""

from __future__ import annotations

from worker.turns.silence import Patience, SilenceConfig


def test_prompts_come_in_turn_and_then_no_more() -> None:
    patience = Patience(SilenceConfig(seconds=5.0, prompts=("One?", "Two?")))
    assert patience.due(100.0) == 105.0
    assert [patience.ask(), patience.ask(), patience.ask()] == ["One?", "Two?", None]


def test_a_word_begins_anew() -> None:
    patience = Patience(SilenceConfig(seconds=5.0, prompts=("One?",)))
    patience.ask()
    patience.heard()
    assert patience.ask() == "One?"


def test_without_a_limit_nothing_is_due() -> None:
    assert Patience(SilenceConfig()).due(100.0) is None
