"""The turn machine, scene by scene: events in, commands out, time by hand."""

from __future__ import annotations

import pytest

from tests.worker.turns.scene import Scene, kinds
from worker.realtime import events as realtime
from worker.turns import events as turn
from worker.turns.events import Purpose
from worker.turns.floor import Floor, Slot
from worker.turns.state import REMEMBERED

# --- greeting and turns -----------------------------------------------------------------------------------------------


def test_greeting_is_asked_for_once_session_and_media_are_there() -> None:
    scene = Scene(greeting="Hello.")
    assert scene.feed(realtime.SessionReady("s", "pcm24k", "pcm24k")) == []
    assert scene.feed(turn.MediaReady()) == [turn.RequestResponse(Purpose.GREETING, "Say exactly: Hello.")]
    assert scene.feed(turn.Tick()) == []


def test_greeting_falls_away_when_the_caller_speaks_first() -> None:
    scene = Scene(greeting="Hello.")
    scene.feed(turn.MediaReady(), realtime.SpeechStarted("c1", 0), realtime.SessionReady("s", "pcm24k", "pcm24k"))
    assert scene.machine.slot.free
    scene.feed(realtime.SpeechStarted("c1", 0))
    assert scene.caller_stops() == []
    assert scene.machine.slot.state is Slot.REQUESTED  # the server answers the caller's turn by itself


@pytest.mark.parametrize("server_responds", [True, False])
@pytest.mark.parametrize("fault", ["lost", "refused"])
def test_a_greeting_that_the_caller_spoke_into_is_never_asked_for_again(server_responds: bool, fault: str) -> None:
    scene = Scene(greeting="Hello.", server_responds=server_responds)
    scene.connect()
    scene.caller_speaks()  # asked for, not yet created
    if fault == "lost":
        scene.feed(realtime.ConnectionLost(1006, "cut", False))
        scene.connect()
    else:
        error = realtime.ProviderError("conversation_already_has_active_response", "busy", request="create_response")
        scene.feed(error)
        scene.caller_stops()
        scene.feed(realtime.ResponseDone("other", "completed"))
    scene.respond("r1")
    scene.played()
    scene.wait(30)
    asked = [c.purpose for c in scene.commands if isinstance(c, turn.RequestResponse)]
    assert asked.count(Purpose.GREETING) == 1


def test_a_greeting_that_was_heard_is_not_said_for_the_fault_of_a_later_answer() -> None:
    scene = Scene(greeting="Hello.")
    scene.connect()
    scene.respond("r1", "greeting")
    scene.played()
    scene.caller_speaks()
    scene.caller_stops()
    scene.feed(realtime.ResponseStarted("r2", {}))
    scene.feed(realtime.ConnectionLost(1006, "cut", False))
    assert scene.connect() == [turn.RequestResponse(Purpose.RESUME, None)]


def test_a_notice_that_was_said_is_not_said_again_in_place_of_an_answer(scene: Scene) -> None:
    scene.feed(turn.NoticeWanted("One minute left."))
    scene.respond("r1", "notice")
    scene.played()
    scene.feed(realtime.ResponseStarted("r2", {}))  # the provider's own idea
    scene.feed(realtime.ConnectionLost(1006, "cut", False))
    assert scene.connect() == [turn.RequestResponse(Purpose.RESUME, None)]


def test_machine_asks_for_the_response_itself_where_the_server_does_not() -> None:
    scene = Scene(server_responds=False)
    scene.connect()
    scene.caller_speaks()
    assert scene.caller_stops() == [turn.RequestResponse(Purpose.RESUME, None)]


def test_generation_done_is_not_silence(scene: Scene) -> None:
    scene.respond("r1")
    assert scene.machine.slot.free and scene.machine.floor is Floor.AGENT
    scene.played()
    assert scene.machine.floor is Floor.NOBODY


# --- barge-in ---------------------------------------------------------------------------------------------------------


def test_barge_in_stops_playout_and_drops_what_still_comes(scene: Scene) -> None:
    scene.feed(realtime.ResponseStarted("r1", {}), turn.AudioStarted("r1", "item-r1"))
    assert scene.caller_speaks() == [turn.StopPlayout(barge_in=True)]
    assert scene.machine.slot.state is Slot.CANCELLING
    assert not scene.machine.wants_audio("r1")
    scene.feed(realtime.ResponseDone("r1", "cancelled", "turn_detected"))
    assert scene.machine.slot.free


def test_late_audio_of_a_cut_response_is_unwanted_when_the_caller_has_stopped_too(scene: Scene) -> None:
    scene.feed(realtime.ResponseStarted("r1", {}), turn.AudioStarted("r1", "item-r1"))
    scene.caller_speaks()
    scene.caller_stops()
    assert not scene.machine.wants_audio("r1")
    scene.feed(realtime.ResponseDone("r1", "cancelled", "turn_detected"), realtime.ResponseStarted("r2", {}))
    assert not scene.machine.wants_audio("r1") and scene.machine.wants_audio("r2")


def test_barge_in_cancels_by_itself_where_the_server_does_not() -> None:
    scene = Scene(server_interrupts=False)
    scene.connect()
    scene.feed(realtime.ResponseStarted("r1", {}), turn.AudioStarted("r1", "item-r1"))
    assert turn.CancelResponse("r1") in scene.caller_speaks()


def test_barge_in_after_generation_still_stops_playout(scene: Scene) -> None:
    scene.respond("r1")
    assert scene.caller_speaks() == [turn.StopPlayout(barge_in=True)]


def test_barge_in_into_a_gap_of_an_item_truncates_it_all_the_same(scene: Scene) -> None:
    scene.feed(realtime.ResponseStarted("r1", {}), turn.AudioStarted("r1", "item-r1"))
    scene.played()  # playout ran dry: the provider is slow
    assert scene.caller_speaks() == [turn.StopPlayout(barge_in=False)]


def test_speech_into_silence_stops_nothing(scene: Scene) -> None:
    assert scene.caller_speaks() == []


def test_response_created_while_the_caller_speaks_is_cancelled(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.feed(turn.ToolFinished("t1", "{}"))  # asks for a response
    scene.caller_speaks()
    assert scene.feed(realtime.ResponseStarted("r2", {"purpose": "tool_result"})) == [turn.CancelResponse("r2")]
    assert not scene.machine.wants_audio("r2")


# --- the response slot ------------------------------------------------------------------------------------------------


def test_active_response_error_is_waited_out(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.feed(turn.ToolFinished("t1", "1"))
    error = realtime.ProviderError("conversation_already_has_active_response", "busy", request="create_response")
    assert scene.feed(error) == []
    assert scene.machine.slot.state is Slot.ACTIVE
    assert scene.feed(realtime.ResponseDone("other", "completed")) == [turn.RequestResponse(Purpose.TOOL_RESULT, None)]


def test_silent_provider_frees_the_slot_and_is_asked_again(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.feed(turn.ToolFinished("t1", "1"))
    assert turn.RequestResponse(Purpose.TOOL_RESULT, None) in scene.wait(9)


def test_a_long_answer_is_not_given_up_while_it_is_heard(scene: Scene) -> None:
    scene.feed(realtime.ResponseStarted("r1", {}), turn.AudioStarted("r1", "item-r1"))
    assert scene.wait(200) == []
    assert scene.machine.wants_audio("r1")
    scene.feed(turn.PlayoutChanged(None))
    assert turn.CancelResponse("r1") in scene.wait(100)


def test_failed_response_is_tried_again_and_then_apologised_for(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.feed(turn.ToolFinished("t1", "1"))
    for number in range(2):
        scene.feed(realtime.ResponseStarted(f"f{number}", {}))
        scene.feed(realtime.ResponseDone(f"f{number}", "failed", "boom", "server_error"))
        assert turn.RequestResponse(Purpose.TOOL_RESULT, None) in scene.wait(3)
    scene.feed(realtime.ResponseStarted("f3", {}))
    assert scene.feed(realtime.ResponseDone("f3", "failed", "boom", "server_error")) == [turn.Apologise("server_error")]
    assert scene.feed(turn.Tick()) == []


def test_memory_of_what_was_heard_is_bounded(scene: Scene) -> None:
    for number in range(REMEMBERED + 20):
        scene.respond(f"r{number}")
        scene.played()
    assert len(scene.machine.state.spoke) == REMEMBERED


# --- reconnect --------------------------------------------------------------------------------------------------------


def test_outcome_without_a_session_is_held_and_sent_to_the_next_one(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.feed(realtime.ConnectionLost(1006, "cut", False))
    assert scene.feed(turn.ToolFinished("t1", "1")) == []
    assert scene.connect()[:2] == [turn.SendOutput("t1", "1"), turn.RequestResponse(Purpose.TOOL_RESULT, None)]


def test_response_lost_with_the_session_is_asked_for_again(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.feed(turn.ToolFinished("t1", "1"))
    scene.feed(realtime.ConnectionLost(1006, "cut", False))
    assert turn.RequestResponse(Purpose.TOOL_RESULT, None) in scene.connect()


def test_tone_while_there_is_no_session(scene: Scene) -> None:
    scene.feed(realtime.ConnectionLost(1006, "cut", False))
    assert kinds(scene.wait(1.0)) == [turn.PlayTone]
