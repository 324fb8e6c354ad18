"""Trace contexts, by W3C Trace Context section 3.2."""

from __future__ import annotations

import pytest

from tools.traces.span import SpanContext, derived_id, new_id, trace_id_of

SAMPLE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_traceparent_is_read_and_written() -> None:
    found = SpanContext.read(SAMPLE)
    assert found == SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, True)
    assert found.traceparent == SAMPLE
    unsampled = SpanContext.read(SAMPLE[:-1] + "0")
    assert unsampled is not None and not unsampled.sampled and unsampled.traceparent.endswith("-00")


def test_a_later_version_may_have_more_behind_it() -> None:
    assert SpanContext.read(f"cc{SAMPLE[2:]}-what-will-be") == SpanContext.read(SAMPLE)


@pytest.mark.parametrize(
    "text",
    [
        *("", None, 7, [], {}, "00", SAMPLE[:-1], SAMPLE + "-", SAMPLE + "-more", SAMPLE + "\n", SAMPLE.upper()),
        f"ff{SAMPLE[2:]}",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
    ],
)
def test_what_is_none_is_no_context(text: object) -> None:
    assert SpanContext.read(text) is None


def test_the_id_of_a_call_is_that_of_its_trace() -> None:
    call_id = "0af7651916cd43dd8448eb211c80319c"
    assert f"{trace_id_of(call_id):032x}" == call_id
    for other in ("call", "0" * 32, "", "\udc80"):
        assert 0 < trace_id_of(other) < 2**128


def test_ids_are_in_range_and_apart() -> None:
    assert derived_id("c", "tool", "t1") == derived_id("c", "tool", "t1") != derived_id("c", "tool", "t2")
    assert derived_id("a", "bc") != derived_id("ab", "c")
    assert all(0 < one < 2**64 for one in (derived_id(""), new_id()))
