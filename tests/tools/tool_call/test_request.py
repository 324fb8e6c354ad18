from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from tools.tool_call.request import job_id


def test_plain_ids_are_kept_so_that_an_operator_finds_the_call() -> None:
    assert job_id("5f0c", "call_x-1") == "5f0c-call_x-1"


@given(st.text(), st.text())
def test_every_id_is_one_that_rq_takes(call: str, tool_call: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,200}", job_id(call, tool_call))


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_two_tool_calls_never_share_a_job(one: tuple[str, str], other: tuple[str, str]) -> None:
    # Call ids are our own uuids, without a dash: then the plain form can't be read in two ways either.
    one = (one[0].replace("-", ""), one[1])
    other = (other[0].replace("-", ""), other[1])
    assert (job_id(*one) == job_id(*other)) == (one == other)


def test_ids_that_differ_only_in_what_is_replaced_or_cut_stay_apart() -> None:
    assert job_id("a@b", "1") != job_id("a b", "1")
    assert job_id("c", "x" * 500) != job_id("c", "x" * 501)
