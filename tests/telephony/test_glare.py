from __future__ import annotations

import random

from telephony.glare import MOST, Glare, wait_s


def test_the_times_of_rfc_3261_14_1() -> None:
    chance = random.Random(14)
    for owner, first, last in ((True, 2.1, 4.0), (False, 0.0, 2.0)):
        found = {wait_s(owner=owner, chance=chance) for _ in range(5000)}
        assert (min(found), max(found)) == (first, last)
        assert all(round(wait * 100) == wait * 100 or abs(wait * 100 - round(wait * 100)) < 1e-9 for wait in found)
        assert len(found) == round((last - first) * 100) + 1, "each step of 10 ms"


def test_it_is_made_again_so_often_and_no_more() -> None:
    glare = Glare(owner=False)
    for number in range(1, MOST + 1):
        assert (again := glare.refused()) is not None and again[0] == number and glare.due(number)
    assert glare.refused() is None and not glare.due(MOST)
    glare.settled()
    assert glare.refused() is not None, "the next offer has its own tries"


def test_an_exchange_in_between_makes_it_needless() -> None:
    glare = Glare(owner=True)
    assert glare.refused() is not None
    glare.settled()
    assert not glare.due(1)
