"""Which responses are owed."""

from __future__ import annotations

from worker.turns.events import Purpose, RequestResponse
from worker.turns.owed import FAILURES_IN_A_ROW, RETRY_S, Owed, say_exactly


def test_purposes_are_taken_in_order_a_goodbye_before_all() -> None:
    owed = Owed()
    owed.want(Purpose.NOTICE, "One minute.")
    owed.want(Purpose.TOOL_RESULT)
    owed.want_first(Purpose.GREETING, "Hello.")
    owed.want(Purpose.GOODBYE, "Bye.")
    taken = [owed.take(0.0) for _ in range(5)]
    assert taken == [
        RequestResponse(Purpose.GOODBYE, "Say exactly: Bye."),
        RequestResponse(Purpose.GREETING, "Say exactly: Hello."),
        RequestResponse(Purpose.NOTICE, "Say exactly: One minute."),
        RequestResponse(Purpose.TOOL_RESULT, None),
        None,
    ]
    assert not owed


def test_with_only_one_purpose_allowed_the_others_wait() -> None:
    owed = Owed()
    owed.want(Purpose.NOTICE, "One minute.")
    assert owed.take(0.0, only=Purpose.GOODBYE) is None and Purpose.NOTICE in owed


def test_what_alone_is_allowed_comes_before_a_greeting() -> None:
    owed = Owed()
    owed.want(Purpose.GREETING, "Hello.")
    owed.want(Purpose.APPROVAL, "May I?")
    assert owed.take(0.0, only=Purpose.APPROVAL) == RequestResponse(Purpose.APPROVAL, say_exactly("May I?"))
    assert Purpose.GREETING in owed


def test_a_failed_one_is_owed_again_after_a_growing_pause_until_it_is_too_much() -> None:
    owed, now = Owed(), 10.0
    owed.want(Purpose.TOOL_RESULT)
    for failures in range(1, FAILURES_IN_A_ROW):
        assert owed.take(now) is not None
        assert owed.failed(now)
        assert owed.take(now) is None
        assert owed.wake(now) == now + RETRY_S * failures
        now = owed.wake(now) or 0.0
    assert owed.take(now) is not None and not owed.failed(now)


def test_what_is_dropped_or_has_ended_is_not_owed_again() -> None:
    owed = Owed()
    for forget in (lambda: owed.drop(Purpose.GREETING), owed.ended, owed.server_answers):
        owed.want(Purpose.GREETING, "Hello.")
        owed.take(0.0)
        assert owed.asked
        forget()
        assert not owed.asked
        owed.want_again()
        assert owed.take(0.0) == RequestResponse(Purpose.RESUME, None)


def test_success_makes_the_failures_forgotten() -> None:
    owed = Owed()
    for _ in range(3 * FAILURES_IN_A_ROW):
        assert owed.failed(0.0)
        owed.succeeded()
