"""A provider that stalls or lies, in the turn machine: what is asked again, given up, said by us, and told."""

from __future__ import annotations

import pytest

from tests.worker.turns.test_machine import FILLERS, Scene, kinds, start_filler
from worker.realtime import base
from worker.turns import events as turn
from worker.turns.events import Purpose, Words
from worker.turns.expectations import TABLE, Expect
from worker.turns.floor import Floor, Slot
from worker.turns.machine import END_CALL
from worker.turns.remedies import OWN_WORDS_S
from worker.turns.responses import MORE, REFUSED_IN_A_ROW
from worker.turns.state import REQUESTS, REQUESTS_S
from worker.turns.tools import NO_TOOLS

RESUME = turn.RequestResponse(Purpose.RESUME, None)
TOOL_RESULT = turn.RequestResponse(Purpose.TOOL_RESULT, None)


def told(scene: Scene) -> list[tuple[str, str]]:
    return [(one.expected, one.then) for one in scene.unmet]


def sessions(scene: Scene) -> int:
    return kinds(scene.commands).count(turn.NewSession)


def own_words(scene: Scene) -> list[Words]:
    return [one.words for one in scene.commands if isinstance(one, turn.OwnWords)]


def pass_time(scene: Scene, seconds: float, *, reconnects: bool = True) -> None:
    """Let time pass for a caller who hears what is played, with a provider that begins sessions and says nothing."""
    end = scene.now + seconds
    while scene.now < end and not scene.machine.over:
        scene.wait(0.1)
        if not scene.machine.state.connected and reconnects:
            scene.feed(base.SessionReady("s", "pcm24k", "pcm24k"))
        if scene.machine.state.playing is not None:
            scene.played()


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.connect()
    return scene


@pytest.fixture
def asked(scene: Scene) -> Scene:
    """The caller has said something."""
    scene.caller_speaks()
    scene.caller_stops()
    return scene


# --- what does not come -----------------------------------------------------------------------------------------------


def test_a_request_without_an_answer_is_asked_again_then_in_two_new_sessions_then_apologised_for(asked: Scene) -> None:
    pass_time(asked, 60)
    assert [then for _, then in told(asked)] == ["asked again", "new session", "new session", "apology"]
    assert {expected for expected, _ in told(asked)} == {"response begun"}
    assert kinds(asked.commands)[-1] is turn.Apologise and sessions(asked) == 2
    assert own_words(asked)[0] is Words.MOMENT
    assert asked.commands.count(RESUME) == 3


def test_the_first_words_of_ours_come_within_the_time_that_is_promised(asked: Scene) -> None:
    assert own_words(asked) == [] and turn.OwnWords not in kinds(asked.wait(OWN_WORDS_S - 0.01))
    assert turn.OwnWords in kinds(asked.wait(0.02))
    assert asked.machine.floor is Floor.FILLER
    assert asked.caller_speaks("c2")[0] == turn.StopPlayout(barge_in=True), "one may speak into them"


def test_where_no_session_begins_the_apology_ends_in_time(asked: Scene) -> None:
    began = asked.now
    pass_time(asked, 60, reconnects=False)
    assert isinstance(asked.commands[-1], turn.Apologise) and asked.now - began + 6.2 <= 20


@pytest.mark.parametrize(
    ("how", "expected"),
    [("created", "audio begun"), ("half", "audio going on"), ("taken", "active response ended")],
)
def test_a_response_that_stalls_is_cancelled_and_asked_for_again(asked: Scene, how: str, expected: str) -> None:
    if how == "taken":
        asked.feed(base.ProviderError("conversation_already_has_active_response", "busy"))
    else:
        asked.feed(base.ResponseStarted("r1", {}))
    if how == "half":
        asked.feed(turn.AudioStarted("r1", "i1"))
        asked.wait(2)
        asked.played()
    asked.commands.clear()
    pass_time(asked, 7)
    cancelled = next(one for one in asked.commands if isinstance(one, turn.CancelResponse))
    assert cancelled.response_id == ("" if how == "taken" else "r1")
    assert RESUME in asked.commands and told(asked)[0] == (expected, "asked again")
    assert not asked.machine.wants_audio("r1") or how == "taken"


def test_a_response_whose_end_does_not_come_counts_as_said(asked: Scene) -> None:
    asked.feed(base.ResponseStarted("r1", {}), turn.AudioStarted("r1", "i1"), base.AudioDone("r1", "i1"))
    asked.played()
    pass_time(asked, TABLE[Expect.RESPONSE_ENDED].seconds + 0.2)
    assert told(asked) == [("response ended", "goes on without")] and asked.machine.slot.free
    pass_time(asked, 30)
    assert not any(isinstance(one, turn.RequestResponse) for one in asked.commands)


def test_a_tool_call_whose_response_does_not_end_is_run_and_told(asked: Scene) -> None:
    asked.feed(base.ResponseStarted("r1", {}))
    asked.call_tool()
    asked.feed(turn.ToolFinished("t1", "1"))
    assert TOOL_RESULT in asked.wait(TABLE[Expect.AUDIO_BEGUN].seconds + 0.1)


def test_a_whole_response_makes_the_strikes_forgotten(asked: Scene) -> None:
    for number in range(6):
        pass_time(asked, TABLE[Expect.RESPONSE_BEGUN].seconds + 0.3)
        asked.respond(f"r{number}")
        asked.played()
        asked.caller_speaks(f"c{number}")
        asked.caller_stops(f"c{number}")
    assert {then for _, then in told(asked)} == {"asked again"} and sessions(asked) == 0


def test_a_caller_who_asks_hello_does_not_begin_the_wait_anew(asked: Scene) -> None:
    for number in range(12):
        pass_time(asked, 2.5)
        if asked.machine.over:
            break
        asked.caller_speaks(f"h{number}")
        asked.wait(0.5)
        asked.caller_stops(f"h{number}")
    assert told(asked)[-1] == ("answer", "apology")


def test_a_turn_after_which_nothing_is_due_is_no_place_to_stay() -> None:
    scene = Scene(server_responds=False)
    scene.connect()
    scene.caller_speaks()
    scene.caller_stops()
    scene.machine.state.owed.drop(Purpose.RESUME)
    scene.feed(base.ResponseStarted("r1", {"purpose": "resume"}))
    scene.machine.slot.discard("r1")  # given up by somebody, and not asked for again
    scene.feed(base.ResponseDone("r1", "cancelled"))
    assert scene.machine.idle and scene.machine.state.turn_over
    assert RESUME in scene.wait(TABLE[Expect.TURN].seconds + 0.1)
    assert told(scene) == [("something due", "asked again")]


# --- the caller's speech ----------------------------------------------------------------------------------------------


def test_speech_without_an_end_is_ended_by_our_own_ears(scene: Scene) -> None:
    scene.feed(turn.CallerSounds(True))
    scene.caller_speaks()
    assert scene.wait(20) == [], "they talk"
    scene.feed(turn.CallerSounds(False))
    assert RESUME in scene.wait(TABLE[Expect.SPEECH_ENDED].seconds + 0.01)
    assert told(scene) == [("end of speech", "asked again")]


def test_speech_that_goes_on_after_a_pause_is_not_ended(scene: Scene) -> None:
    scene.caller_speaks()
    for _ in range(5):
        scene.feed(turn.CallerSounds(False))
        scene.wait(TABLE[Expect.SPEECH_ENDED].seconds - 0.1)
        scene.feed(turn.CallerSounds(True))
        scene.wait(1)
    assert scene.machine.floor is Floor.CALLER and told(scene) == []


def test_speech_without_an_end_on_a_loud_line_has_a_bound_too(scene: Scene) -> None:
    scene.feed(turn.CallerSounds(True))
    scene.caller_speaks()
    assert RESUME in scene.wait(TABLE[Expect.SPEECH_BOUNDED].seconds + 0.01)


# --- what comes and is not as it should be ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reason"),
    [("completed", ""), ("incomplete", "content_filter"), ("cancelled", "server"), ("incomplete", "max_output_tokens")],
)
def test_a_response_without_sound_is_asked_for_again_once_then_the_caller_is(
    asked: Scene, status: base.ResponseStatus, reason: str
) -> None:
    asked.feed(base.ResponseStarted("r1", {}))
    assert asked.feed(base.ResponseDone("r1", status, reason)) == [RESUME]
    asked.feed(base.ResponseStarted("r2", {"purpose": "resume"}))
    asked.feed(base.ResponseDone("r2", status, reason))
    assert own_words(asked) == [Words.AGAIN]
    asked.played()
    assert asked.wait(30) == [], "it is the caller's turn"
    assert told(asked) == [("response with sound", "asked again"), ("response with sound", "words of ours")]
    assert all(one.detail.startswith(status) for one in asked.unmet)


def test_a_model_that_never_speaks_gets_new_sessions_then_an_apology(asked: Scene) -> None:
    number = 0
    while not asked.machine.over and number < 20:
        number += 1
        asked.feed(base.ResponseStarted(f"r{number}", {}), base.ResponseDone(f"r{number}", "completed"))
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
    assert greeting in scene.feed(base.SessionReady("s", "pcm24k", "pcm24k"))


@pytest.mark.parametrize("reason", ["max_output_tokens", "content_filter"])
def test_a_sentence_that_is_cut_off_goes_on_where_it_may(asked: Scene, reason: str) -> None:
    commands: list[turn.Command] = []
    for number in range(MORE + 2):
        asked.feed(base.ResponseStarted(f"r{number}", {}), turn.AudioStarted(f"r{number}", f"i{number}"))
        commands += asked.feed(base.ResponseDone(f"r{number}", "incomplete", reason))
        asked.played()
    assert commands.count(RESUME) == (MORE if reason == "max_output_tokens" else 0)
    assert {expected for expected, _ in told(asked)} == {"whole response"}
    assert asked.unmet[0].detail == f"incomplete ({reason})"


def test_what_the_caller_cut_off_is_no_fault(asked: Scene) -> None:
    asked.feed(base.ResponseStarted("r1", {}), turn.AudioStarted("r1", "i1"))
    asked.caller_speaks("c2")
    asked.feed(base.ResponseDone("r1", "cancelled", "turn_detected"))
    assert told(asked) == []


# --- refusals ---------------------------------------------------------------------------------------------------------


def refuse(scene: Scene, code: str, message: str = "") -> list[turn.Command]:
    return scene.feed(base.ProviderError(code, message, request="create_response"))


def test_a_rate_limit_is_waited_out_with_words_meanwhile(asked: Scene) -> None:
    asked.feed(base.ResponseStarted("r1", {}))
    asked.feed(base.ResponseDone("r1", "failed", "Please try again in 6.2s.", "rate_limit_exceeded"))
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
        commands = scene.feed(base.ProviderError("response_failed", "Function call output pending."))
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
            base.ProviderError("conversation_already_has_active_response", "no", request="create_response"),
            base.ResponseStarted(f"r{number}", {}),
            turn.AudioStarted(f"r{number}", f"i{number}"),
            turn.PlayoutChanged(None),
            base.ResponseDone(f"r{number}", "failed", "no", "server_error"),
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
    refusal = base.ProviderError("conversation_already_has_active_response", "busy", request="create_response")
    theirs = base.ResponseStarted("theirs", {})
    scene.feed(*((theirs, refusal) if order == "theirs first" else (refusal, theirs)))
    scene.feed(turn.AudioStarted("theirs", "i1"))
    assert turn.ResultsTold(("t1",)) not in scene.commands
    assert scene.feed(base.ResponseDone("theirs", "completed")) == [TOOL_RESULT]
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
        asked.feed(base.ResponseDone(f"theirs{number}", "completed"))
        pass_time(asked, 1)
    assert ("response granted", "asked again") in told(asked)
    assert sessions(asked) + asked.machine.over >= 1


# --- tools ------------------------------------------------------------------------------------------------------------


def test_an_output_that_is_refused_is_told_as_a_message_once(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.feed(turn.ToolFinished("t1", '{"a":1}'))
    refused = base.ProviderError("bad_item", "no", request="tool_output", metadata={"tool_call_id": "t1"})
    assert scene.feed(refused) == [turn.SendResult("t1", "order_status", '{"a":1}')]
    assert scene.feed(refused) == []
    assert scene.feed(base.ResponseStarted("r2", {"purpose": "tool_result"})) == [turn.CancelResponse("r2")]
    assert scene.feed(base.ResponseDone("r2", "cancelled", metadata={"purpose": "tool_result"})) == [TOOL_RESULT]
    assert scene.respond("r3", "tool_result") == [turn.ResultsTold(("t1",))]
    assert ("output accepted", "sent as a message") in told(scene)


def test_two_results_that_are_due_are_one_message() -> None:
    scene = Scene(talks_while_call_pending=False)
    scene.connect()
    scene.feed(base.ResponseStarted("r1", {}))
    scene.call_tool(call="t1")
    scene.call_tool(call="t2", name="clock")
    scene.feed(base.ResponseDone("r1", "completed"))
    scene.wait(0.5)
    scene.caller_speaks("c2")
    scene.feed(turn.ToolFinished("t1", "1"), turn.ToolFinished("t2", "2"))
    scene.caller_stops("c2")
    scene.feed(base.ResponseStarted("r2", {}))
    results = [one for one in scene.commands if isinstance(one, turn.SendResult)]
    assert results == [turn.SendResult("t1", "order_status", "1", also=(("t2", "clock", "2"),))]


def test_a_result_that_is_not_told_yet_is_in_the_next_message_too() -> None:
    scene = Scene(talks_while_call_pending=False)
    scene.connect()
    scene.feed(base.ResponseStarted("r1", {}))
    scene.call_tool(call="t1")
    scene.call_tool(call="t2", name="clock")
    scene.feed(base.ResponseDone("r1", "completed"))
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
        scene.feed(base.ResponseStarted("r1", {"purpose": "greeting"}))
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
    assert kinds(scene.feed(base.ProviderError("no", "no", metadata=command.metadata))) == [turn.OwnWords]


def test_outputs_that_nobody_acknowledges_hold_up_nothing(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.feed(turn.ToolFinished("t1", "1"))
    scene.respond("r2", "tool_result")
    scene.played()
    scene.wait(30)
    assert told(scene) == [("output acknowledged", "goes on without")]
    assert scene.commands.count(turn.ResultsTold(("t1",))) == scene.commands.count(TOOL_RESULT) == 1


# --- the end ----------------------------------------------------------------------------------------------------------


def test_a_goodbye_that_the_provider_does_not_say_is_said_by_us(scene: Scene) -> None:
    scene.feed(turn.GoodbyeWanted("We close.", "drain"))
    pass_time(scene, 8)
    assert own_words(scene) == [Words.GOODBYE]
    assert scene.commands[-1] == turn.HangUp("drain")


def test_end_call_in_a_response_that_stalls_ends_the_call(asked: Scene) -> None:
    asked.feed(base.ResponseStarted("r1", {}))
    asked.call_tool("r1", "t1", END_CALL)
    pass_time(asked, 16)
    assert own_words(asked) == [Words.GOODBYE] and asked.commands[-1] == turn.HangUp("agent")
    assert asked.machine.slot.state in Slot
