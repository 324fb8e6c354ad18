"""A provider from which something does not come, in the turn machine: asked again, given up, said by us, and told."""

from __future__ import annotations

import pytest

from tests.worker.turns.scene import (
    RESUME,
    TOOL_RESULT,
    Scene,
    kinds,
    own_words,
    pass_time,
    sessions,
    told,
)
from worker.realtime import events as realtime
from worker.turns import events as turn
from worker.turns.events import Purpose, Words
from worker.turns.expectations import TABLE, Expect
from worker.turns.floor import Floor, Slot
from worker.turns.machine import END_CALL
from worker.turns.remedies import OWN_WORDS_S

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
        asked.feed(realtime.ProviderError("conversation_already_has_active_response", "busy"))
    else:
        asked.feed(realtime.ResponseStarted("r1", {}))
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
    asked.feed(realtime.ResponseStarted("r1", {}), turn.AudioStarted("r1", "i1"), realtime.AudioDone("r1", "i1"))
    asked.played()
    pass_time(asked, TABLE[Expect.RESPONSE_ENDED].seconds + 0.2)
    assert told(asked) == [("response ended", "goes on without")] and asked.machine.slot.free
    pass_time(asked, 30)
    assert not any(isinstance(one, turn.RequestResponse) for one in asked.commands)


def test_a_tool_call_whose_response_does_not_end_is_run_and_told(asked: Scene) -> None:
    asked.feed(realtime.ResponseStarted("r1", {}))
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
    scene.feed(realtime.ResponseStarted("r1", {"purpose": "resume"}))
    scene.machine.slot.discard("r1")  # given up by somebody, and not asked for again
    scene.feed(realtime.ResponseDone("r1", "cancelled"))
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


def sounds(scene: Scene, seconds: float = 1.5) -> list[turn.Command]:
    """The caller says something; the provider tells of nothing. Returns what is done about it at once."""
    commands = scene.feed(turn.CallerSounds(True)) + scene.wait(seconds)
    return commands + scene.feed(turn.CallerSounds(False))


def test_a_provider_that_tells_of_no_speech_is_asked_once_whether_it_is_there(scene: Scene) -> None:
    assert sounds(scene) == []
    assert scene.wait(TABLE[Expect.SPEECH_BEGUN].seconds - 1.51) == []
    assert scene.wait(0.02) == [turn.ProbeSession()]
    assert scene.wait(15) == [] and told(scene) == [], "it is, and the line was noisy"
    assert sounds(scene) + scene.wait(3) == [turn.ProbeSession()], "the next sound may be speech"


def test_speech_that_is_told_of_and_sounds_over_the_agent_ask_nothing(scene: Scene) -> None:
    scene.feed(turn.CallerSounds(True))
    scene.wait(0.4)
    scene.caller_speaks()
    scene.wait(1)
    scene.caller_stops()
    scene.respond("r1", "resume")
    scene.feed(turn.CallerSounds(False))
    scene.wait(1)
    assert turn.ProbeSession not in kinds(sounds(scene) + scene.wait(10)), "it speaks"
    scene.played()
    assert scene.wait(3.1) == [turn.ProbeSession()], "and now it is the caller's turn"


def test_who_spoke_into_a_session_that_was_gone_hears_words_at_once_and_is_asked_in_the_next(scene: Scene) -> None:
    sounds(scene)
    scene.wait(1.5)
    scene.wait(3)  # for its sign of life
    commands = scene.feed(realtime.ConnectionLost(1011, "no answer to a ping within 3 s", False))
    assert turn.OwnWords in kinds(commands)
    scene.wait(1)
    scene.played()
    assert RESUME in scene.feed(realtime.SessionReady("s2", "pcm24k", "pcm24k"))


def test_a_session_that_is_replaced_as_planned_owes_nothing_for_a_cough(scene: Scene) -> None:
    sounds(scene, 0.3)
    scene.wait(4)
    scene.feed(realtime.ConnectionLost(1000, realtime.RECYCLED, False))
    assert RESUME not in scene.feed(realtime.SessionReady("s2", "pcm24k", "pcm24k")) + scene.wait(3)


def test_a_loss_long_after_a_sound_has_nothing_to_do_with_it(scene: Scene) -> None:
    sounds(scene)
    scene.wait(12)
    scene.feed(realtime.ConnectionLost(1006, "cut", False))
    assert turn.OwnWords not in kinds(scene.wait(OWN_WORDS_S - 0.1))
    assert RESUME not in scene.feed(realtime.SessionReady("s2", "pcm24k", "pcm24k"))


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


# --- the end ----------------------------------------------------------------------------------------------------------


def test_a_goodbye_that_the_provider_does_not_say_is_said_by_us(scene: Scene) -> None:
    scene.feed(turn.GoodbyeWanted("We close.", "drain"))
    pass_time(scene, 8)
    assert own_words(scene) == [Words.GOODBYE]
    assert scene.commands[-1] == turn.HangUp("drain")


def test_end_call_in_a_response_that_stalls_ends_the_call(asked: Scene) -> None:
    asked.feed(realtime.ResponseStarted("r1", {}))
    asked.call_tool("r1", "t1", END_CALL)
    pass_time(asked, 16)
    assert own_words(asked) == [Words.GOODBYE] and asked.commands[-1] == turn.HangUp("agent")
    assert asked.machine.slot.state in Slot
