"""Calls of several workers, put together."""

from __future__ import annotations

from dataclasses import replace

from worker.records.archive import Summary
from worker.records.search import Found, merged

CALL = Summary("c1", "2026-11-26T07:00:00.000Z", "1", "427", "agent", "completed", 3000)


def test_those_in_progress_first_then_the_latest() -> None:
    early = replace(CALL, call_id="early", started_at="2026-11-26T06:00:00.000Z")
    live = replace(CALL, call_id="live", started_at="2026-11-26T05:00:00.000Z", live=True)
    found = merged([Found((CALL, early), False), Found((live,), False)], 10)
    assert [call.call_id for call in found.calls] == ["live", "c1", "early"] and not found.more


def test_a_call_that_several_know_is_listed_once_by_who_has_it() -> None:
    live = replace(CALL, live=True, worker="b")
    assert merged([Found((CALL,), False), Found((live,), False)], 10).calls == (live,)
    assert merged([Found((live,), False), Found((CALL,), False)], 10).calls == (live,)
    assert merged([Found((CALL,), False), Found((replace(CALL, worker="b"),), False)], 10).calls == (CALL,)


def test_that_there_are_more_and_who_was_silent_is_kept() -> None:
    assert merged([Found((CALL, replace(CALL, call_id="c2")), False)], 1).more
    assert merged([Found((CALL,), True)], 10).more
    assert merged([Found((), False, silent=("b",))], 10, ["c"]).silent == ("b", "c")
