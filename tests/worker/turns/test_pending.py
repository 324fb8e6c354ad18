"""Pending tool calls: each runs once, is answered once, and its response is answered when all of its calls are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.turns.pending import PendingTool, PendingTools


def call(tool_call_id: str = "t1", response_id: str = "r1") -> PendingTool:
    return PendingTool(tool_call_id, "order_status", "{}", response_id, 1.0)


def test_a_tool_call_id_is_taken_once_even_after_its_answer() -> None:
    pending = PendingTools()
    assert pending.add(call())
    assert not pending.add(call())
    assert pending.answer("t1") is not None
    assert not pending.add(call()), "a late duplicate would run the tool again"
    assert not pending


def test_an_answer_is_given_once_and_for_a_call_that_was_made() -> None:
    pending = PendingTools()
    pending.add(call())
    assert pending.answer("other") is None
    assert pending.answer("t1") is not None
    assert pending.answer("t1") is None
    assert pending.get("t1") is None


def test_a_response_is_complete_when_it_is_done_and_none_of_its_calls_is_open() -> None:
    pending = PendingTools()
    pending.add(call("t1"))
    pending.add(call("t2"))
    pending.answer("t1")
    assert not pending.complete("r1")
    assert not pending.response_done("r1"), "t2 is open"
    pending.answer("t2")
    assert pending.complete("r1")


def test_done_before_the_answers_and_after_them() -> None:
    pending = PendingTools()
    pending.add(call("t1", "r1"))
    pending.answer("t1")
    assert not pending.complete("r1"), "it may make another call"
    assert pending.response_done("r1")
    assert not pending.response_done("r1"), "told twice"


def test_a_response_without_calls_owes_nothing() -> None:
    assert not PendingTools().response_done("r1")


def test_responses_do_not_wait_for_each_others_calls() -> None:
    pending = PendingTools()
    pending.add(call("t1", "r1"))
    pending.add(call("t2", "r2"))
    pending.answer("t2")
    assert pending.response_done("r2") and not pending.response_done("r1")


def test_after_a_lost_session_its_responses_count_as_done() -> None:
    pending = PendingTools()
    pending.add(call("t1"))
    pending.session_lost()
    assert not pending.complete("r1")
    pending.answer("t1")
    assert pending.complete("r1")


def test_after_a_lost_session_a_call_has_no_placeholder_any_more() -> None:
    """The next session is told of the call anew, and has to be given its output."""
    pending = PendingTools()
    pending.add(call("t1"))
    [tool] = pending.unanswered()
    tool.placeholder = True
    pending.session_lost()
    assert not tool.placeholder


def test_running_held_and_unanswered_in_order() -> None:
    pending = PendingTools()
    for number in range(3):
        pending.add(call(f"t{number}"))
    held = pending.get("t1")
    assert held is not None
    held.output = "{}"
    assert [tool.tool_call_id for tool in pending.running()] == ["t0", "t2"]
    assert [tool.tool_call_id for tool in pending.held()] == ["t1"]
    assert [tool.tool_call_id for tool in pending.unanswered()] == ["t0", "t1", "t2"]
    assert bool(pending)


@given(st.lists(st.tuples(st.sampled_from(["add", "answer", "done", "lost"]), st.integers(0, 4)), max_size=40))
def test_no_order_of_events_answers_twice_or_forgets_a_call(steps: list[tuple[str, int]]) -> None:
    pending, made, answered = PendingTools(), set(), []
    for what, number in steps:
        tool_call_id, response_id = f"t{number}", f"r{number % 2}"
        match what:
            case "add":
                assert pending.add(call(tool_call_id, response_id)) is (tool_call_id not in made)
                made.add(tool_call_id)
            case "answer":
                if pending.answer(tool_call_id) is not None:
                    answered.append(tool_call_id)
            case "done":
                complete = pending.response_done(response_id)
                assert not complete or all(tool.response_id != response_id for tool in pending.unanswered())
            case "lost":
                pending.session_lost()
        assert len(answered) == len(set(answered))
        assert {tool.tool_call_id for tool in pending.unanswered()} == made - set(answered)
        assert bool(pending) is (made != set(answered))
