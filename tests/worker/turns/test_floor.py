"""The two tables: whole, and each transition as the rules of turn-taking have it."""

from __future__ import annotations

import itertools

import pytest

from worker.turns.floor import FLOOR, SLOT, Floor, FloorEdge, Slot, SlotEdge

N, C, A, F = Floor.NOBODY, Floor.CALLER, Floor.AGENT, Floor.FILLER
FLOOR_RULES = {
    # after:                  nobody, caller, agent, filler
    FloorEdge.CALLER_STARTED: (C, C, C, C),
    FloorEdge.CALLER_STOPPED: (N, N, A, F),
    FloorEdge.AGENT_HEARD: (A, C, A, A),
    FloorEdge.FILLER_HEARD: (F, C, F, F),
    FloorEdge.PLAYOUT_DRY: (N, C, N, N),
}

FREE, ASKED, ACTIVE, ENDING = Slot.FREE, Slot.REQUESTED, Slot.ACTIVE, Slot.CANCELLING
SLOT_RULES = {
    # after:           free, requested, active, cancelling
    SlotEdge.REQUEST: (ASKED, ASKED, ACTIVE, ASKED),
    SlotEdge.CREATED: (ACTIVE, ACTIVE, ACTIVE, ENDING),
    SlotEdge.CANCEL: (FREE, ENDING, ENDING, ENDING),
    SlotEdge.DONE: (FREE, ASKED, FREE, FREE),
    SlotEdge.REFUSED: (ACTIVE, ACTIVE, ACTIVE, ENDING),
    SlotEdge.EXPIRED: (FREE, FREE, FREE, FREE),
    SlotEdge.LOST: (FREE, FREE, FREE, FREE),
}


def test_every_pair_of_floor_and_edge_is_in_the_table_and_none_beside() -> None:
    assert set(FLOOR) == set(itertools.product(Floor, FloorEdge))


def test_every_pair_of_slot_and_edge_is_in_the_table_and_none_beside() -> None:
    assert set(SLOT) == set(itertools.product(Slot, SlotEdge))


def test_the_rules_here_leave_no_edge_out() -> None:
    assert set(FLOOR_RULES) == set(FloorEdge) and set(SLOT_RULES) == set(SlotEdge)


@pytest.mark.parametrize("edge", FloorEdge)
def test_floor(edge: FloorEdge) -> None:
    assert tuple(FLOOR[(state, edge)] for state in (N, C, A, F)) == FLOOR_RULES[edge]


@pytest.mark.parametrize("edge", SlotEdge)
def test_slot(edge: SlotEdge) -> None:
    assert tuple(SLOT[(state, edge)] for state in (FREE, ASKED, ACTIVE, ENDING)) == SLOT_RULES[edge]


def test_only_the_callers_own_stop_takes_the_floor_from_the_caller() -> None:
    leaving = [edge for edge in FloorEdge if FLOOR[(Floor.CALLER, edge)] is not Floor.CALLER]
    assert leaving == [FloorEdge.CALLER_STOPPED]


def test_from_every_slot_there_is_a_way_to_free_without_the_providers_help() -> None:
    for edge in (SlotEdge.EXPIRED, SlotEdge.LOST):
        assert {SLOT[(state, edge)] for state in Slot} == {Slot.FREE}
