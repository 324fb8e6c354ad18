"""Which outcomes were told, in the turn machine: a result counts as told once the caller hears words that answer it."""

from __future__ import annotations

from tests.worker.turns.scene import Scene
from worker.realtime import events as realtime
from worker.turns import events as turn
from worker.turns.events import Purpose

ACKNOWLEDGED = realtime.ItemCreated("i", "function_call_output", "")
TOLD = turn.ResultsTold(("t1",))


def scene_with_result(**config: object) -> Scene:
    scene = Scene(**config)
    scene.connect()
    scene.turn_with_tool()
    scene.feed(turn.ToolFinished("t1", "1"), ACKNOWLEDGED)
    return scene


def test_it_is_told_at_the_first_sound_of_its_answer_and_once() -> None:
    scene = scene_with_result()
    assert scene.feed(realtime.ResponseStarted("r2", {"purpose": "tool_result"})) == []
    assert scene.feed(turn.AudioStarted("r2", "i2")) == [TOLD]
    assert scene.feed(turn.AudioStarted("r2", "i3")) == []
    scene.feed(realtime.ResponseDone("r2", "completed"))
    scene.played()
    scene.respond("r3")
    assert scene.commands.count(TOLD) == 1


def test_an_answer_without_a_sound_tells_nothing() -> None:
    scene = scene_with_result()
    scene.respond("r2", "tool_result", audio=False)
    assert TOLD not in scene.commands
    scene.caller_speaks()
    scene.caller_stops()
    scene.respond("r3")
    assert TOLD not in scene.commands, "the server's own answer may say nothing of it"
    scene.respond("r4", "tool_result")
    assert scene.commands.count(TOLD) == 1


def test_words_that_were_given_are_no_answer_to_a_result() -> None:
    scene = Scene()
    scene.connect()
    scene.turn_with_tool()
    scene.feed(turn.NoticeWanted("One minute left."))
    scene.feed(turn.ToolFinished("t1", "1"), ACKNOWLEDGED)
    scene.respond("r2", "notice")
    assert TOLD not in scene.commands
    scene.played()
    assert scene.commands[-1] == turn.RequestResponse(Purpose.TOOL_RESULT, None)
    scene.respond("r3", "tool_result")
    assert TOLD in scene.commands


def test_typed_digits_are_answered_although_a_notice_was_under_way() -> None:
    scene = Scene()
    scene.connect()
    scene.feed(turn.NoticeWanted("One minute left."))
    scene.feed(turn.CallerTyped())
    scene.respond("r1", "notice")
    scene.played()
    assert scene.commands[-1] == turn.RequestResponse(Purpose.RESUME, None)


def test_a_response_that_was_asked_for_before_the_output_was_sent_does_not_tell_it() -> None:
    scene = Scene()
    scene.connect()
    scene.turn_with_tool()
    scene.feed(realtime.ResponseStarted("r2", {}), turn.AudioStarted("r2", "i2"))
    scene.call_tool("r2", "t2")
    scene.feed(realtime.ResponseDone("r2", "completed"))
    scene.feed(turn.ToolFinished("t2", "2"))  # asks for a response
    scene.feed(turn.ToolFinished("t1", "1"))  # sent after that
    assert scene.respond("r3", "tool_result") == [
        turn.ResultsTold(("t2",)),
        turn.RequestResponse(Purpose.TOOL_RESULT, None),
    ]
    scene.played()
    assert TOLD in scene.respond("r4", "tool_result")


def test_what_a_lost_session_did_not_get_to_say_is_told_by_the_next() -> None:
    scene = scene_with_result()
    scene.feed(realtime.ResponseStarted("r2", {"purpose": "tool_result"}), realtime.ConnectionLost(1006, "cut", False))
    scene.connect()
    scene.respond("r3", "tool_result")
    assert TOLD in scene.commands


def test_what_is_brought_along_is_told_after_the_greeting() -> None:
    scene = Scene(greeting="Hello, I call back.")
    scene.machine.bring("t1", "order_status", '{"order":"427"}', '{"status":"shipped"}')
    assert [tool.tool_call_id for tool in scene.machine.pending.unanswered()] == ["t1"]  # what the session is told
    assert scene.connect() == [
        turn.SendOutput("t1", '{"status":"shipped"}'),
        turn.RequestResponse(Purpose.GREETING, "Say exactly: Hello, I call back."),
    ]
    scene.feed(ACKNOWLEDGED)
    scene.respond("r1", "greeting")
    assert TOLD not in scene.commands
    assert scene.commands[-1] == turn.RequestResponse(Purpose.TOOL_RESULT, None)
    scene.played()
    scene.respond("r2", "tool_result")
    assert scene.commands.count(TOLD) == 1
    assert scene.commands.count(turn.SendOutput("t1", '{"status":"shipped"}')) == 1


def test_who_answers_with_a_word_of_their_own_is_told_after_the_answer_to_it() -> None:
    scene = Scene(greeting="Hello, I call back.")
    scene.machine.bring("t1", "order_status", "{}", "1")
    scene.connect()
    scene.feed(ACKNOWLEDGED, realtime.ResponseStarted("r1", {"purpose": "greeting"}))
    scene.caller_speaks()  # "hello?"
    scene.feed(realtime.ResponseDone("r1", "cancelled", metadata={"purpose": "greeting"}))
    scene.caller_stops()
    assert turn.RequestResponse(Purpose.TOOL_RESULT, None) in scene.respond("r2")
    assert TOLD not in scene.commands
    scene.played()
    scene.respond("r3", "tool_result")
    assert scene.commands.count(TOLD) == scene.commands.count(turn.RequestResponse(Purpose.TOOL_RESULT, None)) == 1


def test_what_is_brought_along_outlives_a_session_that_is_lost_before() -> None:
    scene = Scene()
    scene.machine.bring("t1", "order_status", "{}", "1")
    scene.feed(turn.MediaReady(), realtime.ConnectionLost(1006, "cut", False))
    assert scene.commands == []
    assert scene.connect()[0] == turn.SendOutput("t1", "1")
