"""The turn machine while tools run: fillers, placeholders, notices; prompts to a silent caller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.worker.turns.scene import FILLERS, Scene, kinds, start_filler
from worker.realtime import events as realtime
from worker.turns import events as turn
from worker.turns.events import Purpose
from worker.turns.filler_voice import Waiting
from worker.turns.floor import Floor
from worker.turns.machine import TONE
from worker.turns.silence import SilenceConfig
from worker.turns.tools import PLACEHOLDER, PLACEHOLDER_S

# --- fillers ----------------------------------------------------------------------------------------------------------


def test_filler_after_the_grace_then_in_other_words_at_intervals(scene: Scene) -> None:
    scene.turn_with_tool()
    assert scene.wait(0.49) == []
    assert kinds(scene.wait(0.02)) == [turn.SpeakFiller]
    first = start_filler(scene)
    assert (first.text, first.tool_call_ids) == ("Let me look.", ("t1",))
    assert scene.machine.floor is Floor.FILLER
    scene.wait(1.0)
    scene.played()
    said = [first.text]
    for number in range(3):
        while not (said_now := [c for c in scene.wait(0.1) if isinstance(c, turn.SpeakFiller)]):
            scene.played() if scene.machine.state.playing == TONE else None
        said.append(start_filler(scene, f"g{number}").text)
        scene.played()
        assert said_now[0].text == said[-1]
    assert all(a != b for a, b in zip(said, said[1:], strict=False))


def test_no_filler_for_a_fast_tool_nor_over_anyone(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.wait(0.3)
    scene.feed(turn.ToolFinished("t1", "1"))
    assert turn.SpeakFiller not in kinds(scene.wait(7))
    scene.caller_speaks()
    assert turn.SpeakFiller not in kinds(scene.wait(7))


def test_no_filler_while_the_model_speaks(scene: Scene) -> None:
    scene.feed(realtime.ResponseStarted("r1", {}), turn.AudioStarted("r1", "item-r1"))
    scene.call_tool()
    scene.feed(realtime.ResponseDone("r1", "completed"))
    assert scene.wait(3) == []
    scene.played()
    assert turn.SpeakFiller in kinds(scene.wait(0.6))


def test_fillers_are_told_how_long_the_caller_has_waited_for_each_tool() -> None:
    told: list[list[tuple[str, int, float]]] = []

    def fill(text: str, waiting: Sequence[Waiting]) -> str:
        told.append([(tool.tool, tool.had, round(tool.waited_s, 3)) for tool in waiting])
        return text

    scene = Scene(fillers=replace(FILLERS, fill=fill, tool_texts={}, tone=False))
    scene.connect()
    scene.feed(realtime.ResponseStarted("r1", {}))
    scene.call_tool(call="t1")
    scene.wait(0.2)
    scene.call_tool(call="t2", name="clock")
    scene.feed(realtime.ResponseDone("r1", "completed"))
    scene.wait(0.5)
    start_filler(scene)
    scene.played()
    scene.wait(4.0)
    assert told == [[("order_status", 0, 0.7), ("clock", 0, 0.5)], [("order_status", 1, 4.7), ("clock", 1, 4.5)]]


def test_tone_bridges_the_silence_between_sentences(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.wait(0.6)
    start_filler(scene)
    scene.played()
    assert kinds(scene.wait(0.95)) == [turn.PlayTone]
    scene.wait(0.3)
    scene.played()
    assert kinds(scene.wait(0.95)) == [turn.PlayTone]


def test_barge_in_stops_a_filler_and_takes_it_back(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.wait(0.6)
    command = next(c for c in scene.commands if isinstance(c, turn.SpeakFiller))
    scene.feed(realtime.ResponseStarted("f1", command.metadata), turn.AudioStarted("f1", "item-f1"))
    assert scene.caller_speaks() == [turn.StopPlayout(barge_in=True), turn.CancelResponse("f1")]
    assert not scene.machine.wants_audio("f1")


def test_filler_not_yet_heard_gives_way_to_the_answer(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.wait(0.6)
    start_filler(scene, audio=False)
    assert kinds(scene.feed(turn.ToolFinished("t1", "1"))) == [
        turn.SendOutput,
        turn.CancelResponse,
        turn.RequestResponse,
    ]


def test_filler_created_after_it_was_given_up_is_cancelled(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.wait(0.6)
    command = next(c for c in scene.commands if isinstance(c, turn.SpeakFiller))
    scene.caller_speaks()
    assert scene.feed(realtime.ResponseStarted("f1", command.metadata)) == [turn.CancelResponse("f1")]


def test_filler_being_heard_is_spoken_to_its_end_before_the_answer(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.wait(0.6)
    start_filler(scene)
    commands = scene.feed(turn.ToolFinished("t1", "1"))
    assert kinds(commands) == [turn.SendOutput, turn.RequestResponse]


def test_filler_without_an_end_does_not_silence_all_later_ones(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.wait(0.6)
    command = next(c for c in scene.commands if isinstance(c, turn.SpeakFiller))
    scene.feed(realtime.ResponseStarted("f1", command.metadata), turn.AudioStarted("f1", "item-f1"))
    scene.played()  # but its response.done never comes
    for _ in range(30):
        scene.wait(1.0)
        scene.played()
    assert kinds(scene.commands).count(turn.SpeakFiller) > 1
    assert turn.CancelResponse("f1") in scene.commands


# --- placeholders, progress, notices, silence -------------------------------------------------------------------------


@pytest.fixture
def closed_scene() -> Scene:
    """A provider whose model can't speak while a call is open."""
    scene = Scene(talks_while_call_pending=False)
    scene.connect()
    return scene


def test_placeholder_answers_a_slow_tool_and_its_result_follows(closed_scene: Scene) -> None:
    scene = closed_scene
    scene.turn_with_tool()
    assert scene.wait(0.39) == []
    assert turn.SendOutput("t1", PLACEHOLDER) in scene.wait(0.02)
    assert turn.SendOutput not in kinds(scene.wait(0.2))
    commands = scene.feed(turn.ToolFinished("t1", '{"a":1}'))
    assert commands[0] == turn.SendResult("t1", "order_status", '{"a":1}')
    assert commands[-1] == turn.RequestResponse(Purpose.TOOL_RESULT, None)


def test_placeholder_of_a_lost_session_is_none_in_the_next(closed_scene: Scene) -> None:
    scene = closed_scene
    scene.turn_with_tool()
    scene.wait(0.5)
    scene.feed(realtime.ConnectionLost(1006, "cut", False))
    scene.feed(turn.ToolFinished("t1", "1"))
    # The session tells the next one of the call, which is open there: it gets its output and no mere message.
    assert scene.connect()[0] == turn.SendOutput("t1", "1")


def test_nothing_is_asked_of_a_closed_mouth_before_the_placeholder(closed_scene: Scene) -> None:
    scene = closed_scene
    scene.turn_with_tool()
    assert scene.feed(turn.NoticeWanted("One minute left.")) == []
    commands = scene.wait(0.5)
    assert kinds(commands) == [turn.SendOutput, turn.RequestResponse]
    assert commands[0] == turn.SendOutput("t1", PLACEHOLDER)


def test_impatient_filler_waits_for_the_placeholder() -> None:
    impatient = replace(FILLERS, tool_grace_s={"order_status": 0.1})
    scene = Scene(talks_while_call_pending=False, fillers=impatient)
    scene.connect()
    scene.turn_with_tool()
    assert scene.wait(PLACEHOLDER_S - 0.01) == []
    assert kinds(scene.wait(0.02)) == [turn.SendOutput, turn.SpeakFiller]


@pytest.mark.parametrize("seconds", [0.2, 0.45, 3.0, 12.0])
def test_the_caller_hears_the_same_with_and_without_placeholders(seconds: float) -> None:
    heard = []
    for talks in (True, False):
        scene = Scene(talks_while_call_pending=talks)
        scene.connect()
        scene.turn_with_tool()
        end = scene.now + seconds
        number = 0
        while scene.now < end:
            commands = scene.wait(0.1)
            for command in commands:
                if isinstance(command, turn.SpeakFiller):
                    number += 1
                    start_filler(scene, f"f{number}")
            if scene.machine.state.playing is not None:
                scene.played()
        scene.feed(turn.ToolFinished("t1", "1"))
        voices = (turn.SpeakFiller, turn.PlayTone, turn.RequestResponse)
        heard.append([command for command in scene.commands if isinstance(command, voices)])
    assert heard[0] == heard[1]


def test_fast_tool_needs_no_placeholder(closed_scene: Scene) -> None:
    closed_scene.turn_with_tool()
    assert closed_scene.feed(turn.ToolFinished("t1", "1"))[0] == turn.SendOutput("t1", "1")
    assert turn.SendOutput not in kinds(closed_scene.wait(3))


def test_news_of_a_tool_is_spoken_before_other_words(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.wait(0.6)
    start_filler(scene)
    scene.played()
    scene.feed(turn.ToolProgress("t1", "Two of three."))
    said = [c for c in scene.wait(0.95) if isinstance(c, turn.SpeakFiller)]
    scene.played()
    said += [c for c in scene.wait(0.3) if isinstance(c, turn.SpeakFiller)]
    assert [filler.text for filler in said] == ["Two of three."]
    scene.feed(turn.ToolProgress("unknown", "No matter."))


def test_notice_is_said_when_the_floor_is_free(scene: Scene) -> None:
    scene.caller_speaks()
    assert scene.feed(turn.NoticeWanted("One minute left.")) == []
    scene.caller_stops()
    scene.respond("r1")
    notice = turn.RequestResponse(Purpose.NOTICE, "Say exactly: One minute left.")
    assert notice in scene.commands


def test_the_greeting_comes_before_a_notice_of_before_the_call() -> None:
    scene = Scene(greeting="Hello.")
    assert scene.feed(turn.NoticeWanted("It is busy.")) == []
    assert scene.connect() == [turn.RequestResponse(Purpose.GREETING, "Say exactly: Hello.")]
    notice = turn.RequestResponse(Purpose.NOTICE, "Say exactly: It is busy.")
    assert notice in scene.respond("r1", Purpose.GREETING)


@pytest.fixture
def patient_scene() -> Scene:
    scene = Scene(silence=SilenceConfig(seconds=10.0, prompts=("Still there?", "Hello?")))
    scene.connect()
    return scene


def prompt(scene: Scene, response_id: str) -> str | None:
    """The next thing that is asked of a silent caller, spoken to its end."""
    asked = next((c for c in scene.wait(10.1) if isinstance(c, turn.RequestResponse)), None)
    if asked is None:
        return None
    scene.respond(response_id, asked.purpose.value)
    scene.played()
    return asked.instructions


def test_silent_caller_is_asked_twice_and_then_taken_leave_of(patient_scene: Scene) -> None:
    scene = patient_scene
    assert [prompt(scene, f"p{n}") for n in range(3)] == [
        "Say exactly: Still there?",
        "Say exactly: Hello?",
        "Say exactly: Goodbye.",
    ]
    assert scene.wait(1) == [turn.HangUp("silence")]


def test_a_word_begins_the_patience_anew_and_takes_the_goodbye_back(patient_scene: Scene) -> None:
    scene = patient_scene
    for number in range(2):
        prompt(scene, f"p{number}")
    scene.caller_speaks()
    scene.caller_stops()
    scene.respond("r1")
    scene.played()
    assert prompt(scene, "p3") == "Say exactly: Still there?"


def test_no_prompt_while_a_tool_runs_nor_without_a_limit(patient_scene: Scene, scene: Scene) -> None:
    patient_scene.turn_with_tool()
    assert turn.RequestResponse not in kinds(patient_scene.wait(30))
    assert turn.RequestResponse not in kinds(scene.wait(300))
