"""The response slot: every transition with its ids, times and discards."""

from __future__ import annotations

import itertools

import pytest

from worker.turns.floor import SLOT, Slot, SlotEdge
from worker.turns.slot import REMEMBERED, ResponseSlot


def slot_in(state: Slot, response_id: str | None = None) -> ResponseSlot:
    return ResponseSlot(state, response_id, since=10.0)


@pytest.mark.parametrize(("state", "edge"), list(itertools.product(Slot, SlotEdge)))
def test_move_takes_the_tables_way_and_counts_time_from_a_change_alone(state: Slot, edge: SlotEdge) -> None:
    slot = slot_in(state, "r1")
    slot.move(edge, 20.0)
    assert slot.state is SLOT[(state, edge)]
    assert slot.since == (10.0 if slot.state is state else 20.0)
    if slot.state in (Slot.FREE, Slot.REQUESTED):
        assert slot.response_id is None
    assert slot.free is (slot.state is Slot.FREE)


def test_a_response_goes_through_the_slot() -> None:
    slot = ResponseSlot()
    slot.move(SlotEdge.REQUEST, 1.0)
    assert slot.created("r1", 2.0) and slot.response_id == "r1"
    slot.done("r1", 3.0)
    assert slot.free and not slot.discarded("r1")


def test_done_of_an_earlier_response_does_not_free_the_slot() -> None:
    slot = slot_in(Slot.ACTIVE, "r2")
    slot.done("r1", 11.0)
    assert slot.state is Slot.ACTIVE and slot.response_id == "r2"


def test_done_of_whatever_holds_the_slot_unnamed_frees_it() -> None:
    slot = slot_in(Slot.REQUESTED)
    slot.move(SlotEdge.REFUSED, 11.0)  # somebody else's response is active
    slot.done("theirs", 12.0)
    assert slot.free


def test_cancel_names_the_response_and_discards_it() -> None:
    slot = slot_in(Slot.ACTIVE, "r1")
    assert slot.cancel(11.0) == "r1"
    assert slot.discarded("r1") and slot.state is Slot.CANCELLING


def test_what_is_cancelled_before_it_is_created_is_discarded_once_it_is() -> None:
    slot = slot_in(Slot.REQUESTED)
    assert slot.cancel(11.0) is None
    assert not slot.created("r1", 12.0)
    assert slot.discarded("r1")
    slot.done("r1", 13.0)
    assert slot.free


def test_the_servers_next_response_after_a_cancelled_one_is_wanted() -> None:
    slot = slot_in(Slot.ACTIVE, "r1")
    slot.cancel(11.0)
    slot.move(SlotEdge.REQUEST, 12.0)  # the caller's turn ended before r1's done came
    slot.done("r1", 13.0)
    assert slot.state is Slot.REQUESTED
    assert slot.created("r2", 14.0) and not slot.discarded("r2") and slot.discarded("r1")


@pytest.mark.parametrize(("state", "waited_for"), [(s, s in (Slot.REQUESTED, Slot.ACTIVE)) for s in Slot])
def test_a_lost_session_leaves_nothing_but_says_what_was_waited_for(state: Slot, waited_for: bool) -> None:
    slot = slot_in(state, "r1")
    slot.discard("r0")
    assert slot.lost(20.0) is waited_for
    assert slot.free and slot.response_id is None and not slot.discarded("r0")


def test_discards_are_bounded_and_the_latest_stay() -> None:
    slot = ResponseSlot()
    for number in range(REMEMBERED + 10):
        slot.discard(f"r{number}")
        slot.discard(f"r{number}")  # told twice, kept once
    assert [slot.discarded(f"r{n}") for n in (0, 9, 10, REMEMBERED + 9)] == [False, False, True, True]
