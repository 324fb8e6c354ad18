"""The turn machine at the end of a call."""

from __future__ import annotations

from tests.worker.turns.scene import Scene, kinds
from worker.realtime import events as realtime
from worker.turns import events as turn
from worker.turns.ending import GOODBYE_BOUND_S, HANG_UP_PAD_S
from worker.turns.events import Purpose
from worker.turns.machine import END_CALL
from worker.turns.tools import INTERRUPTED


def end_call(scene: Scene, *, audio: bool = True) -> list[turn.Command]:
    scene.feed(realtime.ResponseStarted("r9", {}))
    if audio:
        scene.feed(turn.AudioStarted("r9", "item-r9"))
    commands = scene.call_tool("r9", "t9", END_CALL)
    return commands + scene.feed(realtime.ResponseDone("r9", "completed"))


def test_end_call_hangs_up_once_after_the_goodbye_was_heard(scene: Scene) -> None:
    assert kinds(end_call(scene)) == [turn.SendOutput]
    assert scene.wait(5) == []
    scene.played()
    assert scene.wait(HANG_UP_PAD_S - 0.01) == []
    assert scene.wait(0.02) == [turn.HangUp("agent")]
    assert scene.wait(60) == [] and scene.feed(turn.GoodbyeWanted("Bye.", "drain")) == []


def test_long_goodbye_is_not_cut_off(scene: Scene) -> None:
    end_call(scene)
    assert scene.wait(GOODBYE_BOUND_S + 10) == []  # it still plays
    scene.played()
    assert scene.wait(HANG_UP_PAD_S + 0.01) == [turn.HangUp("agent")]


def test_end_call_without_a_word_says_goodbye_first(scene: Scene) -> None:
    commands = end_call(scene, audio=False)
    assert commands[-1] == turn.RequestResponse(Purpose.GOODBYE, "Say exactly: Goodbye.")
    scene.respond("r10", "goodbye")
    scene.played()
    assert scene.wait(1) == [turn.HangUp("agent")]


def test_model_that_has_no_words_for_a_goodbye_is_asked_for_them_once(scene: Scene) -> None:
    end_call(scene, audio=False)
    scene.feed(realtime.ResponseStarted("r10", {"purpose": "goodbye"}))
    scene.call_tool("r10", "t10", END_CALL)  # once more, instead of words
    commands = scene.feed(realtime.ResponseDone("r10", "completed", metadata={"purpose": "goodbye"}))
    assert turn.RequestResponse not in kinds(commands)
    assert scene.wait(HANG_UP_PAD_S + 0.1) == [turn.HangUp("agent")]


def test_end_call_of_a_discarded_generation_does_not_hang_up(scene: Scene) -> None:
    scene.feed(realtime.ResponseStarted("r9", {}), turn.AudioStarted("r9", "item-r9"))
    scene.caller_speaks()
    assert scene.call_tool("r9", "t9", END_CALL) == [turn.SendOutput("t9", INTERRUPTED)]
    scene.feed(realtime.ResponseDone("r9", "cancelled", "turn_detected"))
    scene.caller_stops()
    assert turn.HangUp not in kinds(scene.wait(GOODBYE_BOUND_S + 5))


def test_speech_into_the_goodbye_takes_it_back(scene: Scene) -> None:
    end_call(scene)
    assert scene.caller_speaks() == [turn.StopPlayout(barge_in=True)]
    scene.caller_stops()
    scene.respond("r10")
    scene.played()
    assert turn.HangUp not in kinds(scene.wait(GOODBYE_BOUND_S + 5))


def test_our_own_goodbye_is_said_and_not_taken_back(scene: Scene) -> None:
    assert scene.feed(turn.GoodbyeWanted("We close.", "drain")) == [
        turn.RequestResponse(Purpose.GOODBYE, "Say exactly: We close.")
    ]
    scene.respond("r10", "goodbye")
    scene.caller_speaks()
    scene.caller_stops()
    scene.respond("r11")
    scene.played()
    assert turn.HangUp("drain") in scene.wait(GOODBYE_BOUND_S)


def test_our_own_goodbye_is_said_again_when_the_caller_spoke_into_it(scene: Scene) -> None:
    scene.feed(turn.GoodbyeWanted("We close.", "drain"))
    scene.respond("r10", "goodbye")
    scene.caller_speaks()
    scene.caller_stops()
    scene.respond("r11")
    commands = scene.played() + scene.wait(HANG_UP_PAD_S + 0.1)
    assert turn.HangUp not in kinds(commands), "nothing of the goodbye was heard"
    assert turn.RequestResponse(Purpose.GOODBYE, "Say exactly: Goodbye.") in scene.commands
    scene.respond("r12", "goodbye")
    scene.played()
    assert scene.wait(HANG_UP_PAD_S + 0.1) == [turn.HangUp("drain")]


def test_speech_after_the_whole_goodbye_does_not_hold_the_call(scene: Scene) -> None:
    scene.feed(turn.GoodbyeWanted("We close.", "drain"))
    scene.respond("r10", "goodbye")
    scene.played()
    scene.caller_speaks()
    scene.caller_stops()
    assert scene.wait(HANG_UP_PAD_S + 0.1) == [turn.HangUp("drain")]


def test_goodbye_nobody_can_say_ends_the_call_all_the_same(scene: Scene) -> None:
    scene.feed(realtime.ConnectionLost(1006, "cut", False))
    scene.feed(turn.GoodbyeWanted("We close.", "drain"))
    assert turn.HangUp("drain") in scene.wait(GOODBYE_BOUND_S + 0.1)
