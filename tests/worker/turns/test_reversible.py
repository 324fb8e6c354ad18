"""Barge-ins that may be withdrawn: events in, commands out, time by hand."""

from __future__ import annotations

import pytest

from tests.worker.turns.scene import RESUME, Scene, kinds
from worker.realtime import events as realtime
from worker.turns import events as turn
from worker.turns.caller import ASSENT_S
from worker.turns.events import Purpose
from worker.turns.floor import Floor, Slot

PAUSED = [turn.PausePlayout()]


def reversible(**config: object) -> Scene:
    scene = Scene(reversible=True, server_responds=False, server_interrupts=False, **config)
    scene.connect()
    return scene


@pytest.fixture
def speaking() -> Scene:
    """The agent is in mid sentence, and its response in mid generation."""
    scene = reversible()
    scene.feed(realtime.ResponseStarted("r1", {}), turn.AudioStarted("r1", "i1"))
    return scene


def cough(scene: Scene, item: str = "c1", ms: int = 300, voiced_ms: int = 120) -> list[turn.Command]:
    """A sound of this length: our own ears are told of its end 200 ms later, the provider's 300 ms after that."""
    commands = scene.feed(turn.CallerHeard(True, 60), realtime.SpeechStarted(item, 0))
    commands += scene.wait(ms / 1000 + 0.14)
    commands += scene.feed(turn.CallerHeard(False, ms, voiced_ms))
    return commands


def transcript(scene: Scene, text: str, item: str = "c1") -> list[turn.Command]:
    return scene.feed(realtime.CallerTranscript(item, text))


# --- nothing ----------------------------------------------------------------------------------------------------------


def test_a_cough_pauses_the_voice_and_it_goes_on_within_the_bound(speaking: Scene) -> None:
    assert cough(speaking) == PAUSED
    assert speaking.machine.floor is Floor.CALLER and speaking.machine.wants_audio("r1")
    assert speaking.wait(0.35) == []
    assert speaking.wait(0.05) == [turn.ResumePlayout(800, "length")]
    assert speaking.machine.floor is Floor.AGENT and speaking.machine.slot.state is Slot.ACTIVE
    assert speaking.caller_stops() == []
    assert speaking.feed(realtime.ResponseDone("r1", "completed")) == []
    assert speaking.played() == [] and speaking.machine.idle, "nobody answers a cough"
    assert speaking.wait(5) == []


def test_a_cough_without_a_voice_is_not_waited_for_and_no_word_of_it_is_believed(speaking: Scene) -> None:
    assert cough(speaking, voiced_ms=20) == [*PAUSED, turn.ResumePlayout(440, "sound")]
    assert speaking.caller_stops() == []
    assert transcript(speaking, "That.") == [], "transcribers write words for noise"
    assert speaking.machine.floor is Floor.AGENT and speaking.machine.slot.state is Slot.ACTIVE


def test_an_mhm_goes_on_as_soon_as_it_is_known_for_one(speaking: Scene) -> None:
    cough(speaking)
    assert speaking.caller_stops() == []
    assert transcript(speaking, "Mhm.") == [turn.ResumePlayout(440, "words")]
    assert speaking.machine.floor is Floor.AGENT


def test_audio_that_comes_in_the_pause_is_wanted_and_takes_no_floor(speaking: Scene) -> None:
    cough(speaking)
    assert speaking.feed(turn.AudioStarted("r1", "i2")) == []
    assert speaking.machine.floor is Floor.CALLER
    assert speaking.wait(1) == [turn.ResumePlayout(800, "length")]


def test_a_response_that_ends_in_the_pause_is_heard_to_its_end(speaking: Scene) -> None:
    cough(speaking)
    assert speaking.feed(realtime.ResponseDone("r1", "completed")) == []
    assert speaking.wait(1) == [turn.ResumePlayout(800, "length")]
    assert speaking.machine.floor is Floor.AGENT
    assert speaking.played() == [] and speaking.machine.idle


def test_a_response_that_begins_in_the_pause_is_kept(speaking: Scene) -> None:
    speaking.feed(realtime.ResponseDone("r1", "completed"), turn.NoticeWanted("A minute is left."))
    assert speaking.machine.slot.state is Slot.REQUESTED
    cough(speaking)
    assert speaking.feed(realtime.ResponseStarted("r2", {"purpose": "notice"})) == []
    assert speaking.machine.wants_audio("r2")
    assert speaking.wait(1) == [turn.ResumePlayout(800, "length")]


def test_two_coughs_are_one_pause(speaking: Scene) -> None:
    cough(speaking)
    assert speaking.caller_stops() == []
    assert speaking.wait(0.2) == []
    assert cough(speaking, "c2", 200) == [turn.ResumePlayout(980, "length")], "no second pause, and time for its end"


def test_a_cough_after_a_cough_pauses_again(speaking: Scene) -> None:
    cough(speaking)
    speaking.wait(1)
    speaking.caller_stops()
    assert cough(speaking, "c2") == PAUSED
    assert speaking.wait(1) == [turn.ResumePlayout(800, "length")]


def test_a_filler_is_paused_and_goes_on() -> None:
    scene = reversible()
    scene.turn_with_tool()
    scene.wait(0.6)
    asked = next(one for one in scene.commands if isinstance(one, turn.SpeakFiller))
    scene.feed(realtime.ResponseStarted("f1", asked.metadata), turn.AudioStarted("f1", "if1"))
    assert scene.machine.floor is Floor.FILLER
    assert cough(scene, "c2") == PAUSED
    assert scene.wait(1) == [turn.ResumePlayout(800, "length")]
    assert scene.machine.floor is Floor.FILLER


def test_a_goodbye_that_is_coughed_into_is_heard_to_its_end_and_hung_up_after_it(speaking: Scene) -> None:
    speaking.call_tool(name="end_call")
    speaking.feed(realtime.ResponseDone("r1", "completed"))
    cough(speaking)
    speaking.wait(1)
    assert speaking.machine.ending is not None and not speaking.machine.over
    speaking.played()
    assert kinds(speaking.wait(1)) == [turn.HangUp]


def test_a_transfer_whose_sentence_is_coughed_into_still_comes_about() -> None:
    scene = reversible(transfers=True)
    scene.feed(realtime.ResponseStarted("r1", {}), turn.AudioStarted("r1", "i1"))
    scene.call_tool(name="transfer_call")
    scene.feed(realtime.ResponseDone("r1", "completed"))
    cough(scene)
    assert turn.StartTool not in kinds(scene.wait(1))
    scene.played()
    assert turn.StartTool in kinds(scene.wait(1))


def test_a_tool_that_speech_would_stop_is_not_stopped_by_an_mhm() -> None:
    scene = reversible(cancelled_by_barge_in=frozenset({"order_status"}))
    scene.feed(realtime.ResponseStarted("r1", {}), turn.AudioStarted("r1", "i1"))
    scene.call_tool()
    cough(scene)
    scene.caller_stops()
    assert transcript(scene, "Mhm.") == [turn.ResumePlayout(440, "words")]
    assert turn.CancelTool not in kinds(scene.commands)
    cough(scene, "c2")
    scene.caller_stops("c2")
    assert turn.CancelTool in kinds(transcript(scene, "No, forget it.", "c2"))


# --- an interruption --------------------------------------------------------------------------------------------------


def test_stop_wait_is_an_interruption_by_its_words(speaking: Scene) -> None:
    cough(speaking, ms=500)
    speaking.caller_stops()
    commands = transcript(speaking, "Stop, wait.")
    assert commands == [turn.StopPlayout(True), turn.CancelResponse("r1")]
    assert speaking.feed(realtime.ResponseDone("r1", "cancelled", "client_cancelled")) == [RESUME]


def test_long_speech_is_an_interruption_before_a_word_of_it_is_known(speaking: Scene) -> None:
    assert speaking.feed(turn.CallerHeard(True, 60), realtime.SpeechStarted("c1", 0)) == PAUSED
    assert speaking.wait(0.8) == []
    assert speaking.wait(0.05) == [turn.StopPlayout(True), turn.CancelResponse("r1")]
    assert speaking.machine.floor is Floor.CALLER and not speaking.machine.wants_audio("r1")
    speaking.feed(realtime.ResponseDone("r1", "cancelled"))
    assert speaking.caller_stops() == [RESUME]


def test_a_word_that_is_known_late_cuts_the_voice_that_went_on(speaking: Scene) -> None:
    cough(speaking)
    speaking.wait(1)
    speaking.caller_stops()
    assert transcript(speaking, "Stop!") == [turn.StopPlayout(True), turn.CancelResponse("r1")]
    assert speaking.feed(realtime.ResponseDone("r1", "cancelled")) == [RESUME]


def test_a_word_that_is_known_after_the_agent_has_ended_is_answered(speaking: Scene) -> None:
    cough(speaking)
    speaking.wait(1)
    speaking.feed(realtime.ResponseDone("r1", "completed"))
    speaking.caller_stops()
    speaking.played()
    assert transcript(speaking, "And by train?") == [RESUME]


def test_speech_after_a_cough_in_one_breath_pauses_again_and_interrupts(speaking: Scene) -> None:
    cough(speaking)
    speaking.wait(0.4)
    assert speaking.machine.floor is Floor.AGENT
    assert speaking.feed(turn.CallerHeard(True, 60)) == PAUSED, "for the provider it is the same speech"
    assert kinds(speaking.wait(0.9)) == [turn.StopPlayout, turn.CancelResponse]


def test_an_interruption_takes_the_goodbye_and_the_transfer_back() -> None:
    scene = reversible(transfers=True)
    scene.feed(realtime.ResponseStarted("r1", {}), turn.AudioStarted("r1", "i1"))
    scene.call_tool(name="transfer_call")
    scene.feed(realtime.ResponseDone("r1", "completed"))
    cough(scene)
    scene.caller_stops()
    commands = transcript(scene, "No, not yet.")
    assert commands[0] == turn.StopPlayout(True)
    assert turn.SendOutput in kinds(commands) and turn.StartTool not in kinds(scene.commands)


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_session_that_is_lost_in_the_pause_of_a_quiet_caller_lets_the_voice_go_on(speaking: Scene) -> None:
    cough(speaking)
    assert speaking.feed(realtime.ConnectionLost(1006, "cut", False)) == [turn.ResumePlayout(440, "session lost")]
    assert speaking.machine.floor is Floor.AGENT


def test_a_session_that_is_lost_while_the_caller_speaks_ends_the_pause_in_silence(speaking: Scene) -> None:
    speaking.feed(turn.CallerHeard(True, 60), realtime.SpeechStarted("c1", 0))
    assert speaking.feed(realtime.ConnectionLost(1006, "cut", False)) == [turn.StopPlayout(True)]
    assert speaking.feed(realtime.SessionReady("s2", "pcm24k", "pcm24k")) == [RESUME]


def test_a_server_that_cancels_all_the_same_is_asked_to_go_on(speaking: Scene) -> None:
    cough(speaking)
    speaking.feed(realtime.ResponseDone("r1", "cancelled", "turn_detected"))
    assert speaking.wait(0.4)[0] == turn.ResumePlayout(800, "length")
    assert Purpose.RESUME in [one.purpose for one in speaking.commands if isinstance(one, turn.RequestResponse)]


def test_a_transcriber_that_fails_leaves_it_to_the_length(speaking: Scene) -> None:
    cough(speaking)
    speaking.caller_stops()
    assert speaking.feed(realtime.CallerTranscriptFailed("c1", "no")) == []
    assert speaking.wait(1) == [turn.ResumePlayout(800, "length")]


def test_nothing_is_asked_for_and_no_filler_begins_in_the_pause(speaking: Scene) -> None:
    speaking.feed(realtime.ResponseDone("r1", "completed"))
    cough(speaking)
    assert speaking.feed(turn.NoticeWanted("A minute is left."), turn.CallerTyped()) == []
    assert kinds(speaking.wait(0.4))[0] is turn.ResumePlayout


def test_a_yes_just_before_the_end_of_a_question_is_its_answer(speaking: Scene) -> None:
    speaking.feed(realtime.ResponseDone("r1", "completed"))
    cough(speaking)
    speaking.caller_stops()
    assert transcript(speaking, "Yes.") == [turn.ResumePlayout(440, "words")]
    speaking.wait(0.4)
    assert speaking.played() == [RESUME]


def test_a_yes_long_before_the_end_is_a_sign_of_listening(speaking: Scene) -> None:
    speaking.feed(realtime.ResponseDone("r1", "completed"))
    cough(speaking)
    speaking.caller_stops()
    transcript(speaking, "Yes.")
    speaking.wait(ASSENT_S + 0.1)
    assert speaking.played() == [] and speaking.machine.idle


def test_while_nobody_speaks_the_caller_is_answered_as_ever() -> None:
    scene = reversible()
    assert scene.caller_speaks() == []
    assert scene.caller_stops() == [RESUME]


def test_a_question_of_ours_is_interrupted_at_once() -> None:
    scene = reversible()
    scene.feed(realtime.ResponseStarted("r1", {}))
    scene.call_tool()
    scene.feed(realtime.ResponseDone("r1", "completed"))
    question = turn.Question(text="Shall I?", again="Shall I now?", keys="Press 1.", language="en")
    scene.feed(turn.ApprovalAwaited(1, "t1", question))
    scene.feed(realtime.ResponseStarted("q1", {"purpose": "approval"}), turn.AudioStarted("q1", "iq1"))
    assert scene.machine.floor is Floor.AGENT
    assert turn.StopPlayout in kinds(scene.caller_speaks("c2"))
