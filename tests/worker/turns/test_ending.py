"""The polite end: after the goodbye was heard, with a bound for one that never is."""

from __future__ import annotations

from worker.turns.ending import GOODBYE_BOUND_S, HANG_UP_PAD_S, HEARD_BOUND_S, Ending


def ending(**fields: bool) -> Ending:
    return Ending("agent", forced=False, since=100.0, **fields)


def test_silence_before_the_goodbye_is_said_is_not_its_end() -> None:
    end = ending()
    end.settle(True, 101.0)
    assert end.due() == 100.0 + GOODBYE_BOUND_S


def test_hangs_up_a_pad_after_the_goodbye_was_heard() -> None:
    end = ending(said=True)
    end.settle(False, 101.0)
    end.settle(True, 103.0)
    end.settle(True, 103.2)
    assert end.due() == 103.0 + HANG_UP_PAD_S, "counted from the first quiet, not the last look"


def test_a_voice_within_the_pad_begins_it_anew() -> None:
    end = ending(said=True)
    end.settle(True, 103.0)
    end.settle(False, 103.1)
    end.settle(True, 104.0)
    assert end.due() == 104.0 + HANG_UP_PAD_S


def test_a_long_goodbye_is_heard_to_its_end() -> None:
    end = ending(said=True)
    end.settle(False, 100.0 + GOODBYE_BOUND_S + 10)
    assert end.due() > 100.0 + GOODBYE_BOUND_S + 10, "the bound would cut it off"
    end.settle(True, 130.0)
    assert end.due() == 130.0 + HANG_UP_PAD_S


def test_a_goodbye_whose_playout_stands_still_ends_all_the_same() -> None:
    end = ending(said=True)
    end.settle(False, 101.0)
    assert end.due() == 100.0 + HEARD_BOUND_S
