"""The turn machine and its tool calls: answered once, told, cancelled by words."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worker.turns.scene import Scene, kinds
from worker.realtime import events as realtime
from worker.turns import events as turn
from worker.turns import pending
from worker.turns.events import Purpose
from worker.turns.interruptions import SPEECHES, WORDS_S
from worker.turns.tools import INTERRUPTED, TOO_MANY


def test_tool_runs_and_its_result_is_answered_and_spoken(scene: Scene) -> None:
    assert turn.StartTool("t1", "order_status", "{}") in scene.turn_with_tool()
    assert scene.feed(turn.ToolFinished("t1", '{"a":1}')) == [
        turn.SendOutput("t1", '{"a":1}'),
        turn.RequestResponse(Purpose.TOOL_RESULT, None),
    ]


def test_duplicate_request_and_duplicate_result_change_nothing(scene: Scene) -> None:
    scene.turn_with_tool()
    assert scene.call_tool() == []
    scene.feed(turn.ToolFinished("t1", "{}"))
    assert scene.feed(turn.ToolFinished("t1", "{}")) == []
    assert scene.call_tool() == []


def test_several_calls_of_a_response_are_answered_together(scene: Scene) -> None:
    scene.feed(realtime.ResponseStarted("r1", {}))
    scene.call_tool(call="t1")
    scene.call_tool(call="t2")
    assert scene.feed(turn.ToolFinished("t1", "1")) == [turn.SendOutput("t1", "1")]
    scene.feed(realtime.ResponseDone("r1", "completed"))
    assert scene.feed(turn.ToolFinished("t2", "2")) == [
        turn.SendOutput("t2", "2"),
        turn.RequestResponse(Purpose.TOOL_RESULT, None),
    ]


@given(
    order=st.permutations(["t1", "t2", "t3", "t4", "done"]),
    pauses=st.lists(st.floats(0, 1.2), min_size=5, max_size=5),  # in all within the bound of a response's end
    talks=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_whatever_the_order_calls_of_one_response_are_answered_by_one_response(
    order: list[str], pauses: list[float], talks: bool
) -> None:
    scene = Scene(talks_while_call_pending=talks)
    scene.connect()
    scene.feed(realtime.ResponseStarted("r1", {}))
    calls = ["t1", "t2", "t3", "t4"]
    for call in calls:
        scene.call_tool(call=call)
    for number, (event, pause) in enumerate(zip(order, pauses, strict=True)):
        scene.wait(pause)
        commands = scene.feed(
            realtime.ResponseDone("r1", "completed") if event == "done" else turn.ToolFinished(event, "1")
        )
        asked = [c for c in commands if isinstance(c, turn.RequestResponse)]
        assert asked == ([] if number < 4 else [turn.RequestResponse(Purpose.TOOL_RESULT, None)])
    scene.feed(*(realtime.ItemCreated("i", "function_call_output", "") for _ in range(8)))
    scene.respond("r2", "tool_result")
    scene.played()
    scene.wait(60)
    assert kinds(scene.commands).count(turn.RequestResponse) == 1


def test_past_the_limit_a_tool_call_is_answered_once_and_not_run(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "MOST_CALLS", 2)
    scene.feed(realtime.ResponseStarted("r1", {}))
    for call in ("t1", "t2"):
        assert kinds(scene.call_tool(call=call)) == [turn.StartTool]
        scene.feed(turn.ToolFinished(call, "1"))
    assert scene.call_tool(call="t3") == [turn.SendOutput("t3", TOO_MANY)]
    assert [scene.call_tool(call=call) for call in ("t1", "t2", "t3")] == [[], [], []], "hours later, too"


def test_result_before_the_end_of_its_response_waits_for_the_slot(scene: Scene) -> None:
    scene.feed(realtime.ResponseStarted("r1", {}))
    scene.call_tool()
    assert scene.feed(turn.ToolFinished("t1", "1")) == [turn.SendOutput("t1", "1")]
    assert scene.feed(realtime.ResponseDone("r1", "completed")) == [turn.RequestResponse(Purpose.TOOL_RESULT, None)]


def test_result_while_the_caller_speaks_waits_for_the_answer_to_them_and_is_told_after_it(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.caller_speaks()
    assert scene.feed(turn.ToolFinished("t1", "1")) == []
    assert scene.caller_stops() == [], "the server's own answer must not be taken for the telling"
    assert scene.feed(realtime.ResponseStarted("r2", {})) == [turn.SendOutput("t1", "1")]
    scene.feed(turn.AudioStarted("r2", "i2"), realtime.ItemCreated("i", "function_call_output", ""))
    assert scene.feed(realtime.ResponseDone("r2", "completed")) == [turn.RequestResponse(Purpose.TOOL_RESULT, None)]
    assert scene.respond("r3", "tool_result") == [turn.ResultsTold(("t1",))]
    scene.played()
    assert scene.wait(30) == []


def test_result_that_crossed_the_servers_response_is_asked_for_again(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.caller_speaks()
    scene.caller_stops()
    scene.feed(turn.ToolFinished("t1", "1"))  # sent, but the server had created its response before it came
    assert scene.respond("r2")[-1:] == [turn.RequestResponse(Purpose.TOOL_RESULT, None)]


def test_barge_in_does_not_cancel_a_tool(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.caller_speaks()
    scene.caller_stops()
    scene.respond("r2")
    assert turn.SendOutput("t1", "1") in scene.feed(turn.ToolFinished("t1", "1"))


@pytest.fixture
def fickle_scene() -> Scene:
    """A tool that is of no use once the caller has said something else."""
    scene = Scene(cancelled_by_barge_in=frozenset({"quote"}))
    scene.connect()
    scene.caller_speaks()
    scene.caller_stops()
    scene.feed(realtime.ResponseStarted("r1", {}))
    scene.call_tool(call="t1", name="quote")
    scene.call_tool(call="t2")
    scene.feed(realtime.ResponseDone("r1", "completed"))
    scene.wait(0.3)
    scene.commands.clear()
    return scene


def cancelled(scene: Scene) -> list[turn.Command]:
    return [command for command in scene.commands if isinstance(command, turn.CancelTool)]


def test_words_while_it_runs_cancel_a_tool_that_asks_for_that_and_no_other(fickle_scene: Scene) -> None:
    scene = fickle_scene
    scene.caller_speaks("c2")
    scene.caller_stops("c2")
    assert cancelled(scene) == [], "not before it is known that these are words"
    assert turn.CancelTool("t1") in scene.feed(realtime.CallerTranscript("c2", "and by train?"))
    scene.feed(realtime.CallerTranscript("c2", "and by train?"))
    scene.caller_speaks("c3")
    scene.caller_stops("c3")
    scene.feed(realtime.CallerTranscript("c3", "or by bus?"))
    assert cancelled(scene) == [turn.CancelTool("t1")], "once"
    scene.feed(turn.ToolFinished("t1", "cancelled"))
    assert turn.SendOutput("t1", "cancelled") in scene.feed(realtime.ResponseStarted("r3", {}))


def test_a_cough_cancels_nothing(fickle_scene: Scene) -> None:
    scene = fickle_scene
    scene.caller_speaks("c2")
    scene.caller_stops("c2")
    scene.feed(realtime.CallerTranscript("c2", " ..."))
    scene.wait(10)
    assert cancelled(scene) == []


@pytest.mark.parametrize("told", [True, False])
def test_a_turn_whose_words_nobody_knows_is_taken_for_words(fickle_scene: Scene, told: bool) -> None:
    scene = fickle_scene
    scene.caller_speaks("c2")
    scene.wait(20)  # the end of the turn counts, however long it is
    assert cancelled(scene) == []
    scene.caller_stops("c2")
    if told:
        scene.feed(realtime.CallerTranscriptFailed("c2", "no"))
    else:
        scene.wait(WORDS_S - 0.01)
        assert cancelled(scene) == []
        scene.wait(0.02)
    assert cancelled(scene) == [turn.CancelTool("t1")]


def test_only_what_was_said_while_it_ran_counts(fickle_scene: Scene) -> None:
    scene = fickle_scene
    scene.feed(realtime.CallerTranscript("c1", "what does it cost?"))  # the question itself
    scene.wait(10)
    assert cancelled(scene) == []
    scene.caller_speaks("c2")
    scene.feed(realtime.ResponseStarted("r2", {"purpose": "notice"}))
    scene.feed(turn.ToolFinished("t1", "12"))
    scene.caller_stops("c2")
    scene.feed(realtime.CallerTranscript("c2", "and by train?"))
    assert cancelled(scene) == [], "it has its result"


def test_a_tool_that_began_after_the_words_is_not_cancelled_by_them(fickle_scene: Scene) -> None:
    scene = fickle_scene
    scene.caller_speaks("c2")
    scene.caller_stops("c2")
    scene.wait(0.5)
    scene.feed(realtime.ResponseStarted("r2", {}))
    scene.call_tool("r2", "t3", "quote")
    scene.feed(realtime.CallerTranscript("c2", "and by train?"))
    assert cancelled(scene) == [turn.CancelTool("t1")]


def test_speech_into_a_session_that_was_lost_cancels_nothing(fickle_scene: Scene) -> None:
    scene = fickle_scene
    scene.caller_speaks("c2")
    scene.caller_stops("c2")
    scene.feed(realtime.ConnectionLost(1006, "cut", False))
    scene.connect()
    scene.wait(10)
    assert cancelled(scene) == []


def test_turns_that_wait_for_their_words_are_bounded(fickle_scene: Scene) -> None:
    for number in range(SPEECHES + 5):
        fickle_scene.caller_speaks(f"c{number}")
    assert len(fickle_scene.machine._interruptions._speeches) == SPEECHES


def test_tool_call_of_a_discarded_response_is_answered_and_not_run(scene: Scene) -> None:
    scene.feed(realtime.ResponseStarted("r1", {}), turn.AudioStarted("r1", "item-r1"))
    scene.caller_speaks()
    assert scene.call_tool("r1") == [turn.SendOutput("t1", INTERRUPTED)]
