"""The turn machine where the model hands the call on."""

from __future__ import annotations

import json

import pytest

from tests.worker.turns.scene import FILLERS, TOOL_RESULT, Scene, kinds, start_filler
from worker.realtime import events as realtime
from worker.turns import events as turn
from worker.turns.ending import GOODBYE_BOUND_S, HANG_UP_PAD_S, HEARD_BOUND_S
from worker.turns.machine import END_CALL
from worker.turns.state import TRANSFER_CALL
from worker.turns.tools import INTERRUPTED
from worker.turns.transfer import ENDING, STAYS, UNDER_WAY

STARTED = turn.StartTool("t9", TRANSFER_CALL, "{}")


@pytest.fixture
def scene() -> Scene:
    scene = Scene(transfers=True)
    scene.connect()
    return scene


def transfer(scene: Scene, *, audio: bool = True) -> list[turn.Command]:
    """The model says what it does, and does it, in one response."""
    commands = scene.feed(realtime.ResponseStarted("r9", {}))
    if audio:
        commands += scene.feed(turn.AudioStarted("r9", "item-r9"))
    commands += scene.call_tool("r9", "t9", TRANSFER_CALL)
    return commands + scene.feed(realtime.ResponseDone("r9", "completed"))


def test_it_begins_once_after_the_words_were_heard(scene: Scene) -> None:
    assert transfer(scene) == []
    assert scene.wait(5) == []
    scene.played()
    assert scene.wait(HANG_UP_PAD_S - 0.01) == []
    assert scene.wait(0.02) == [STARTED]
    assert STARTED not in scene.wait(60)


def test_without_a_word_it_begins_at_once(scene: Scene) -> None:
    transfer(scene, audio=False)
    assert scene.wait(HANG_UP_PAD_S + 0.01) == [STARTED]


def test_words_that_come_after_it_in_the_same_response_are_heard_too(scene: Scene) -> None:
    scene.feed(realtime.ResponseStarted("r9", {}))
    scene.call_tool("r9", "t9", TRANSFER_CALL)
    assert STARTED not in scene.wait(2)
    scene.feed(turn.AudioStarted("r9", "item-r9"), realtime.ResponseDone("r9", "completed"))
    assert STARTED not in scene.wait(3)
    scene.played()
    assert STARTED in scene.wait(HANG_UP_PAD_S + 0.01)


def test_a_response_that_never_ends_does_not_hold_it_for_ever(scene: Scene) -> None:
    scene.feed(realtime.ResponseStarted("r9", {}), turn.AudioStarted("r9", "item-r9"))
    scene.call_tool("r9", "t9", TRANSFER_CALL)
    assert STARTED in scene.wait(GOODBYE_BOUND_S + 0.1)


def test_nor_does_a_playout_that_stands_still(scene: Scene) -> None:
    transfer(scene)
    assert STARTED not in scene.wait(HEARD_BOUND_S - 1)
    assert STARTED in scene.wait(1.1)


@pytest.mark.parametrize("heard", [False, True])
def test_the_caller_takes_it_back_by_speaking(scene: Scene, heard: bool) -> None:
    transfer(scene)
    if heard:
        scene.played()
    scene.caller_speaks()
    scene.caller_stops()
    scene.respond("r10")
    commands = scene.wait(10)
    assert turn.SendOutput("t9", INTERRUPTED) in scene.commands
    assert STARTED not in scene.commands and TOOL_RESULT not in commands


def test_once_it_runs_the_caller_may_talk(scene: Scene) -> None:
    transfer(scene)
    scene.played()
    scene.wait(HANG_UP_PAD_S + 0.01)
    scene.caller_speaks()
    scene.caller_stops()
    scene.respond("r10")
    scene.played()
    scene.wait(2)
    assert "t9" not in {one.tool_call_id for one in scene.commands if isinstance(one, turn.SendOutput)}
    scene.feed(turn.ToolFinished("t9", '{"status":"busy"}'))
    scene.wait(1)
    assert turn.SendOutput("t9", '{"status":"busy"}') in scene.commands
    assert scene.commands[-1] == TOOL_RESULT


def test_who_waits_hears_something_meanwhile(scene: Scene) -> None:
    scene = Scene(transfers=True, fillers=FILLERS)
    scene.connect()
    transfer(scene)
    scene.played()
    scene.wait(HANG_UP_PAD_S + 1)
    assert turn.PlayTone in kinds(scene.commands) or turn.SpeakFiller in kinds(scene.commands)


def test_a_filler_does_not_put_it_off(scene: Scene) -> None:
    scene.call_tool("r1", "t1")
    scene.feed(realtime.ResponseDone("r1", "completed"))
    scene.wait(1)
    start_filler(scene)
    scene.feed(realtime.ResponseStarted("r9", {}))
    scene.call_tool("r9", "t9", TRANSFER_CALL)
    scene.feed(realtime.ResponseDone("r9", "completed"))
    assert STARTED in scene.wait(HANG_UP_PAD_S + 0.1)


def test_a_second_one_is_refused_while_the_first_is_under_way(scene: Scene) -> None:
    transfer(scene)
    scene.feed(realtime.ResponseStarted("r10", {}))
    assert turn.SendOutput("t10", UNDER_WAY) in scene.call_tool("r10", "t10", TRANSFER_CALL)
    scene.feed(realtime.ResponseDone("r10", "completed"))
    scene.played()
    assert scene.wait(1)[0] == STARTED
    assert turn.SendOutput("t11", UNDER_WAY) in scene.call_tool("r11", "t11", TRANSFER_CALL)
    scene.feed(realtime.ResponseDone("r11", "completed"))
    scene.feed(turn.ToolFinished("t9", '{"status":"busy"}'))
    scene.respond("r12", "tool_result", audio=False)
    scene.call_tool("r13", "t13", TRANSFER_CALL)
    scene.feed(realtime.ResponseDone("r13", "completed"))
    assert turn.StartTool("t13", TRANSFER_CALL, "{}") in scene.wait(5)


@pytest.mark.parametrize("first", [END_CALL, TRANSFER_CALL])
def test_a_model_that_hangs_up_as_well_transfers(scene: Scene, first: str) -> None:
    scene.feed(realtime.ResponseStarted("r9", {}), turn.AudioStarted("r9", "item-r9"))
    for name in (first, TRANSFER_CALL if first == END_CALL else END_CALL):
        scene.call_tool("r9", "t9" if name == TRANSFER_CALL else "t8", name)
    scene.feed(realtime.ResponseDone("r9", "completed"))
    scene.played()
    assert scene.wait(30)[0] == STARTED
    assert turn.HangUp not in kinds(scene.commands)
    outputs = {one.tool_call_id: one.output for one in scene.commands if isinstance(one, turn.SendOutput)}
    assert outputs["t8"] == (STAYS if first == TRANSFER_CALL else '{"status":"ending"}')


def test_a_call_that_has_to_end_is_not_handed_on(scene: Scene) -> None:
    transfer(scene)
    scene.feed(turn.GoodbyeWanted("We close.", "drain"))
    scene.played()
    scene.wait(1)
    scene.respond("r10", "goodbye")
    scene.call_tool("r11", "t11", TRANSFER_CALL)
    scene.played()
    scene.wait(30)
    assert STARTED not in scene.commands and scene.commands[-1] == turn.HangUp("drain")
    outputs = {one.tool_call_id: one.output for one in scene.commands if isinstance(one, turn.SendOutput)}
    assert outputs["t9"] == outputs["t11"] == ENDING
    assert all(json.loads(output) for output in outputs.values())


def test_a_lost_session_does_not_undo_it(scene: Scene) -> None:
    transfer(scene)
    scene.feed(realtime.ConnectionLost(1006, "gone", False))
    scene.played()
    assert STARTED in scene.wait(1)


def test_a_withdrawn_one_does_not_begin(scene: Scene) -> None:
    transfer(scene)
    scene.feed(realtime.ToolCallsWithdrawn(("t9",)))
    scene.played()
    scene.wait(5)
    assert STARTED not in scene.commands


def test_where_none_is_offered_it_is_a_tool_that_is_not_there() -> None:
    scene = Scene()
    scene.connect()
    scene.feed(realtime.ResponseStarted("r9", {}))
    assert scene.call_tool("r9", "t9", TRANSFER_CALL) == [STARTED]
