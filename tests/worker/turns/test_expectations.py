"""What is waited for, and how long."""

from __future__ import annotations

from worker.turns.expectations import LADDER, TABLE, Expect, Expectations, StopWatch, Then
from worker.turns.remedies import OWN_WORDS_S

UNTIMED = {Expect.SOUND, Expect.WHOLE, Expect.RESPONSE, Expect.OUTPUT, Expect.NO_CALL}
APOLOGY_S = 6.2


def test_everything_that_is_waited_for_has_a_bound() -> None:
    assert set(TABLE) == set(Expect) - UNTIMED
    assert all(bound.seconds > 0 and bound.why for bound in TABLE.values())


def test_the_bounds_add_up_to_what_a_caller_is_promised() -> None:
    seconds = {expect: bound.seconds for expect, bound in TABLE.items()}
    assert OWN_WORDS_S <= 5.0
    assert max(seconds[Expect.SESSION], seconds[Expect.ANSWER]) + APOLOGY_S <= 20.0
    for expect in (Expect.RESPONSE_BEGUN, Expect.SLOT_FREED, Expect.AUDIO_BEGUN, Expect.AUDIO_GOING_ON):
        # The second strike is a new session: it comes before patience is at an end.
        assert 2 * seconds[expect] < seconds[Expect.ANSWER]
    assert LADDER[0] is Then.ASK_AGAIN and LADDER[-1] is Then.APOLOGY and LADDER.count(Then.NEW_SESSION) == 2


def test_what_goes_on_is_counted_from_its_beginning_and_what_is_new_from_now() -> None:
    expectations, bound = Expectations(), TABLE[Expect.RESPONSE_BEGUN].seconds
    expectations.arm({Expect.RESPONSE_BEGUN: 1}, 10.0)
    expectations.arm({Expect.RESPONSE_BEGUN: 1, Expect.TURN: ""}, 11.0)
    assert sorted(expectations.wakes()) == sorted([10.0 + bound, 11.0 + TABLE[Expect.TURN].seconds])
    assert expectations.expired(10.0 + bound - 0.01) == [(Expect.TURN, bound - 1.01)]
    expectations.arm({Expect.RESPONSE_BEGUN: 2}, 12.0)
    assert expectations.expired(10.0 + bound) == [] and Expect.TURN not in expectations
    assert expectations.expired(12.0 + bound) == [(Expect.RESPONSE_BEGUN, bound)]


def test_a_stop_watch_counts_what_it_ran_in_all() -> None:
    watch = StopWatch()
    assert watch.due(5.0) is None and not watch.running
    watch.run(True, 10.0)
    assert watch.due(5.0) == 15.0
    watch.run(False, 12.0)
    watch.run(False, 20.0)
    assert watch.waited(30.0) == 2.0 and watch.due(5.0) is None
    watch.run(True, 30.0)
    watch.add(0.5)
    assert watch.due(5.0) == 32.5 and watch.waited(31.0) == 3.5
    watch.reset(31.0)
    assert watch.due(5.0) == 36.0
