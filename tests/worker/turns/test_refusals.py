"""Refusals of a response, sorted by what helps."""

from __future__ import annotations

import pytest

from worker.turns.refusals import WAIT_S, Refusal, Remedy, sort


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Rate limit reached for gpt-realtime. Please try again in 6.2s.", 6.2),
        ("Please try again in 350ms. Visit the docs", 0.35),
        ("try again in 1m30s", 90.0),
        ("Try again in 2h 1m", 7260.0),
        ("Too many.", WAIT_S),
        ("", WAIT_S),
    ],
)
def test_a_limit_is_waited_out_as_long_as_the_message_says(words: str, seconds: float) -> None:
    assert sort("rate_limit_exceeded", words) == Refusal(Remedy.WAIT, pytest.approx(seconds))


@pytest.mark.parametrize(
    ("code", "calls_open", "remedy"),
    [
        ("function_call_output_pending", False, Remedy.PLACEHOLDERS),
        ("invalid_request_error.function_call_output_missing", False, Remedy.PLACEHOLDERS),
        ("response_failed", True, Remedy.PLACEHOLDERS),
        ("response_failed", False, Remedy.NONE),
        ("server_error", True, Remedy.NONE),
        ("insufficient_quota", False, Remedy.NONE),
        ("", False, Remedy.NONE),
    ],
)
def test_what_else_is_refused(code: str, calls_open: bool, remedy: Remedy) -> None:
    assert sort(code, "try again in 3s", calls_open=calls_open).remedy is remedy
