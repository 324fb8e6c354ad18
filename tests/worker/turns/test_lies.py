"""A provider that says what is not as it should be, in the turn machine: no sound, refusals, calls out of place."""

from __future__ import annotations

import pytest

from tests.worker.turns.scene import (
    FILLERS,
    RESUME,
    TOOL_RESULT,
    Scene,
    kinds,
    own_words,
    pass_time,
    sessions,
    start_filler,
    told,
)
from worker.realtime import events as realtime
from worker.turns import events as turn
from worker.turns.events import Purpose, Words
from worker.turns.expectations import TABLE, Expect
from worker.turns.responses import MORE, REFUSED_IN_A_ROW
from worker.turns.state import REQUESTS, REQUESTS_S
from worker.turns.tools import NO_TOOLS

# --- what comes and is not as it should be ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reason"),
    [("completed", ""), ("incomplete", "content_filter"), ("cancelled", "server"), ("incomplete", "max_output_tokens")],
)
def test_a_response_without_sound_is_asked_for_again_once_then_the_caller_is(
    asked: Scene, status: realtime.ResponseStatus, reason: str
) -> None:
    asked.feed(realtime.ResponseStarted("r1", {}))
    assert asked.feed(realtime.ResponseDone("r1", status, reason)) == [RESUME]
    asked.feed(realtime.ResponseStarted("r2", {"purpose": "resume"}))
    asked.feed(realtime.ResponseDone("r2", status, reason))
    assert own_words(asked) == [Words.AGAIN]
    asked.played()
    assert asked.wait(30) == [], "it is the caller's turn"
    assert told(asked) == [("response with sound", "asked again"), ("response with sound", "words of ours")]
    assert all(one.detail.startswith(status) for one in asked.unmet)


def test_a_model_that_never_speaks_gets_new_sessions_then_an_apology(asked: Scene) -> None:
    number = 0
    while not asked.machine.over and number < 20:
        number += 1
        asked.feed(realtime.ResponseStarted(f"r{number}", {}), realtime.ResponseDone(f"r{number}", "completed"))
        pass_time(asked, 0.2)
        if asked.machine.slot.free and not asked.machine.over:
            asked.caller_speaks(f"c{number}")
            asked.caller_stops(f"c{number}")
    assert sessions(asked) == 2 and isinstance(asked.commands[-1], turn.Apologise)


def test_a_greeting_without_sound_is_asked_for_again_and_then_in_a_new_session() -> None:
    scene = Scene(greeting="Hello.")
    scene.connect()
    greeting = turn.RequestResponse(Purpose.GREETING, "Say exactly: Hello.")
    assert scene.respond("r1", "greeting", audio=False) == [greeting]
    assert turn.NewSession in kinds(scene.respond("r2", "greeting", audio=False))
    assert greeting in scene.feed(realtime.SessionReady("s", "pcm24k", "pcm24k"))


@pytest.mark.parametrize("reason", ["max_output_tokens", "content_filter"])
def test_a_sentence_that_is_cut_off_goes_on_where_it_may(asked: Scene, reason: str) -> None:
    commands: list[turn.Command] = []
    for number in range(MORE + 2):
        asked.feed(realtime.ResponseStarted(f"r{number}", {}), turn.AudioStarted(f"r{number}", f"i{number}"))
        commands += asked.feed(realtime.ResponseDone(f"r{number}", "incomplete", reason))
        asked.played()
    assert commands.count(RESUME) == (MORE if reason == "max_output_tokens" else 0)
    assert {expected for expected, _ in told(asked)} == {"whole response"}
    assert asked.unmet[0].detail == f"incomplete ({reason})"


def test_what_the_caller_cut_off_is_no_fault(asked: Scene) -> None:
    asked.feed(realtime.ResponseStarted("r1", {}), turn.AudioStarted("r1", "i1"))
    asked.caller_speaks("c2")
    asked.feed(realtime.ResponseDone("r1", "cancelled", "turn_detected"))
    assert told(asked) == []


# --- refusals ---------------------------------------------------------------------------------------------------------


def refuse(scene: Scene, code: str, message: str = "") -> list[turn.Command]:
    return scene.feed(realtime.ProviderError(code, message, request="create_response"))


def test_a_rate_limit_is_waited_out_with_words_meanwhile(asked: Scene) -> None:
    asked.feed(realtime.ResponseStarted("r1", {}))
    asked.feed(realtime.ResponseDone("r1", "failed", "Please try again in 6.2s.", "rate_limit_exceeded"))
    asked.commands.clear()
    pass_time(asked, 6.0)
    assert kinds(asked.commands) == [turn.OwnWords]
    pass_time(asked, 0.4)
    assert RESUME in asked.commands
    assert told(asked) == [("response granted", "waits as told")] and asked.unmet[0].waited_s == pytest.approx(6.2)


def test_many_short_limits_are_no_failures_and_one_that_is_too_long_is_the_end(asked: Scene) -> None:
    refuse(asked, "server_error")  # the first of three that count
    asked.wait(1)
    for _ in range(4):
        assert turn.Apologise not in kinds(refuse(asked, "rate_limit_exceeded", "try again in 500ms"))
        asked.wait(0.6)
    assert turn.Apologise in kinds(refuse(asked, "rate_limit_exceeded", "try again in 1m"))


@pytest.mark.parametrize("by", ["server", "us"])
def test_a_provider_that_wants_an_output_first_gets_placeholders_from_then_on(scene: Scene, by: str) -> None:
    scene.turn_with_tool()
    scene.wait(1)
    if by == "us":
        scene.feed(turn.NoticeWanted("One minute left."))
        commands = refuse(scene, "function_call_output_pending")
    else:
        scene.caller_speaks("c2")
        scene.caller_stops("c2")
        commands = scene.feed(realtime.ProviderError("response_failed", "Function call output pending."))
    assert turn.SendOutput("t1", '{"status":"pending"}') in commands
    assert any(isinstance(one, turn.RequestResponse) for one in commands), "and is asked again at once"
    assert ("response granted", "placeholders from now on") in told(scene)
    for _ in range(2):  # that refusal does not count towards the three that end a call
        assert turn.Apologise not in kinds(refuse(scene, "server_error"))
        scene.wait(3)
    assert turn.SendResult("t1", "order_status", "1") in scene.feed(turn.ToolFinished("t1", "1"))


def test_what_a_provider_can_make_us_ask_is_bounded(asked: Scene) -> None:
    """A spurious refusal of each request, and then the answer, as fast as the wire carries it."""
    began, requests, number = asked.now, 0, 0
    while asked.now < began + 60 and not asked.machine.over:
        number += 1
        for event in (
            realtime.ProviderError("conversation_already_has_active_response", "no", request="create_response"),
            realtime.ResponseStarted(f"r{number}", {}),
            turn.AudioStarted(f"r{number}", f"i{number}"),
            turn.PlayoutChanged(None),
            realtime.ResponseDone(f"r{number}", "failed", "no", "server_error"),
        ):
            requests += kinds(asked.feed(event)).count(turn.RequestResponse)
        asked.wait(0.01)
    assert requests <= (asked.now - began) / REQUESTS_S * REQUESTS + REQUESTS


def test_a_response_that_was_refused_and_comes_all_the_same_is_not_asked_for_again() -> None:
    scene = Scene(greeting="Hello.")
    scene.connect()
    refuse(scene, "server_error")
    scene.respond("r1", "greeting")
    scene.played()
    scene.wait(30)
    assert [one.purpose for one in scene.commands if isinstance(one, turn.RequestResponse)] == [Purpose.GREETING]


@pytest.mark.parametrize("order", ["theirs first", "refused first"])
def test_a_response_of_theirs_that_began_in_the_same_moment_is_not_taken_for_ours(scene: Scene, order: str) -> None:
    scene.turn_with_tool()
    scene.feed(turn.ToolFinished("t1", "1"))  # asks for a response, and they have created one
    refusal = realtime.ProviderError("conversation_already_has_active_response", "busy", request="create_response")
    theirs = realtime.ResponseStarted("theirs", {})
    scene.feed(*((theirs, refusal) if order == "theirs first" else (refusal, theirs)))
    scene.feed(turn.AudioStarted("theirs", "i1"))
    assert turn.ResultsTold(("t1",)) not in scene.commands
    assert scene.feed(realtime.ResponseDone("theirs", "completed")) == [TOOL_RESULT]
    assert scene.respond("r2", "tool_result") == [turn.ResultsTold(("t1",))]


def test_a_gateway_that_leaves_the_metadata_out_tells_results_all_the_same(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.feed(turn.ToolFinished("t1", "1"))
    assert scene.respond("r2") == [turn.ResultsTold(("t1",))]
    scene.played()
    assert scene.wait(30) == []


def test_a_slot_that_is_always_taken_is_given_up(asked: Scene) -> None:
    for number in range(3 * REFUSED_IN_A_ROW):
        refuse(asked, "conversation_already_has_active_response")
        asked.feed(realtime.ResponseDone(f"theirs{number}", "completed"))
        pass_time(asked, 1)
    assert ("response granted", "asked again") in told(asked)
    assert sessions(asked) + asked.machine.over >= 1


# --- tools ------------------------------------------------------------------------------------------------------------


def test_an_output_that_is_refused_is_told_as_a_message_once(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.feed(turn.ToolFinished("t1", '{"a":1}'))
    refused = realtime.ProviderError("bad_item", "no", request="tool_output", metadata={"tool_call_id": "t1"})
    assert scene.feed(refused) == [turn.SendResult("t1", "order_status", '{"a":1}')]
    assert scene.feed(refused) == []
    assert scene.feed(realtime.ResponseStarted("r2", {"purpose": "tool_result"})) == [turn.CancelResponse("r2")]
    assert scene.feed(realtime.ResponseDone("r2", "cancelled", metadata={"purpose": "tool_result"})) == [TOOL_RESULT]
    assert scene.respond("r3", "tool_result") == [turn.ResultsTold(("t1",))]
    assert ("output accepted", "sent as a message") in told(scene)


def test_two_results_that_are_due_are_one_message() -> None:
    scene = Scene(talks_while_call_pending=False)
    scene.connect()
    scene.feed(realtime.ResponseStarted("r1", {}))
    scene.call_tool(call="t1")
    scene.call_tool(call="t2", name="clock")
    scene.feed(realtime.ResponseDone("r1", "completed"))
    scene.wait(0.5)
    scene.caller_speaks("c2")
    scene.feed(turn.ToolFinished("t1", "1"), turn.ToolFinished("t2", "2"))
    scene.caller_stops("c2")
    scene.feed(realtime.ResponseStarted("r2", {}))
    results = [one for one in scene.commands if isinstance(one, turn.SendResult)]
    assert results == [turn.SendResult("t1", "order_status", "1", also=(("t2", "clock", "2"),))]


def test_a_result_that_is_not_told_yet_is_in_the_next_message_too() -> None:
    scene = Scene(talks_while_call_pending=False)
    scene.connect()
    scene.feed(realtime.ResponseStarted("r1", {}))
    scene.call_tool(call="t1")
    scene.call_tool(call="t2", name="clock")
    scene.feed(realtime.ResponseDone("r1", "completed"))
    scene.wait(0.5)
    scene.feed(turn.ToolFinished("t1", "1"))
    assert scene.feed(turn.ToolFinished("t2", "2"))[0] == turn.SendResult(
        "t2", "clock", "2", also=(("t1", "order_status", "1"),)
    )
    assert scene.respond("r2", "tool_result") == [turn.ResultsTold(("t1", "t2"))]


@pytest.mark.parametrize("purpose", ["greeting", "filler"])
def test_a_tool_call_in_a_response_that_was_given_none_is_not_run(purpose: str) -> None:
    scene = Scene(greeting="Hello.")
    scene.connect()
    if purpose == "filler":
        scene.respond("r0", "greeting")
        scene.played()
        scene.turn_with_tool()
        scene.wait(0.6)
        start_filler(scene, "f1", audio=False)
        commands = scene.call_tool("f1", "t9", "pay")
        assert commands == [], "beside the conversation, where an output would answer nothing"
    else:
        scene.feed(realtime.ResponseStarted("r1", {"purpose": "greeting"}))
        assert scene.call_tool("r1", "t9", "pay") == [turn.SendOutput("t9", NO_TOOLS)]
    assert ("no tool call", "goes on without") in told(scene)
    assert not any(isinstance(one, turn.StartTool) and one.name == "pay" for one in scene.commands)


def test_a_filler_that_does_not_come_is_said_by_us(scene: Scene) -> None:
    scene.turn_with_tool()
    pass_time(scene, FILLERS.grace_s + TABLE[Expect.FILLER_BEGUN].seconds + 1.0)
    assert ("filler begun", "words of ours") in told(scene) and own_words(scene) == [Words.MOMENT]


def test_a_filler_that_is_refused_is_said_by_us(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.wait(0.6)
    command = next(one for one in scene.commands if isinstance(one, turn.SpeakFiller))
    assert kinds(scene.feed(realtime.ProviderError("no", "no", metadata=command.metadata))) == [turn.OwnWords]


def test_outputs_that_nobody_acknowledges_hold_up_nothing(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.feed(turn.ToolFinished("t1", "1"))
    scene.respond("r2", "tool_result")
    scene.played()
    scene.wait(30)
    assert told(scene) == [("output acknowledged", "goes on without")]
    assert scene.commands.count(turn.ResultsTold(("t1",))) == scene.commands.count(TOOL_RESULT) == 1
