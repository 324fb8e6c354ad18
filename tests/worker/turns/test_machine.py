"""The turn machine, scene by scene: events in, commands out, time by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.realtime import base
from worker.turns import events as turn
from worker.turns import pending
from worker.turns.ending import GOODBYE_BOUND_S, HANG_UP_PAD_S
from worker.turns.events import Purpose
from worker.turns.filler_voice import FillerConfig, Waiting
from worker.turns.floor import Floor, Slot
from worker.turns.interruptions import SPEECHES, WORDS_S
from worker.turns.machine import END_CALL, TONE, TurnConfig, TurnMachine
from worker.turns.silence import SilenceConfig
from worker.turns.state import REMEMBERED
from worker.turns.tools import INTERRUPTED, PLACEHOLDER, PLACEHOLDER_S, TOO_MANY

FILLERS = FillerConfig(
    texts=("One moment.", "Still looking."),
    grace_s=0.5,
    interval_s=4.0,
    tone_after_s=0.9,
    tool_texts={"order_status": ("Let me look.",)},
)


class Scene:
    """A machine with a clock that is moved by hand."""

    def __init__(self, **config: Any) -> None:
        self.machine = TurnMachine(TurnConfig(**{"fillers": FILLERS, **config}))
        self.now = 100.0
        self.commands: list[turn.Command] = []
        self.unmet: list[turn.Unmet] = []
        """What was told of the provider's faults; not among the commands."""

    def feed(self, *events: object) -> list[turn.Command]:
        found = [command for event in events for command in self.machine.handle(event, self.now)]
        commands = [command for command in found if not isinstance(command, turn.Unmet)]
        self.unmet += [command for command in found if isinstance(command, turn.Unmet)]
        self.commands += commands
        return commands

    def wait(self, seconds: float) -> list[turn.Command]:
        """Let time pass, with a tick at each moment that the machine asked for."""
        end, commands = self.now + seconds, []
        while self.machine.wake is not None and self.machine.wake <= end:
            self.now = max(self.now, self.machine.wake)
            commands += self.feed(turn.Tick())
        self.now = end
        return commands

    def connect(self) -> list[turn.Command]:
        return self.feed(base.SessionReady("s", "pcm24k", "pcm24k"), turn.MediaReady())

    def respond(self, response_id: str, purpose: str | None = None, *, audio: bool = True) -> list[turn.Command]:
        """A whole response of the provider's: created, its first audio queued, done. It plays on."""
        metadata = {"purpose": purpose} if purpose else {}
        commands = self.feed(base.ResponseStarted(response_id, metadata))
        if audio:
            commands += self.feed(turn.AudioStarted(response_id, f"item-{response_id}"))
        return commands + self.feed(base.ResponseDone(response_id, "completed", metadata=metadata))

    def played(self) -> list[turn.Command]:
        return self.feed(turn.PlayoutChanged(None))

    def caller_speaks(self, item: str = "c1") -> list[turn.Command]:
        return self.feed(base.SpeechStarted(item, 0))

    def caller_stops(self, item: str = "c1") -> list[turn.Command]:
        return self.feed(base.SpeechStopped(item, 900))

    def call_tool(self, response_id: str = "r1", call: str = "t1", name: str = "order_status") -> list[turn.Command]:
        return self.feed(base.ToolCallRequested(response_id, f"fc-{call}", call, name, "{}"))

    def turn_with_tool(self) -> list[turn.Command]:
        """The caller asks; the model answers with a tool call and no words."""
        self.caller_speaks()
        self.caller_stops()
        commands = self.feed(base.ResponseStarted("r1", {}))
        commands += self.call_tool()
        return commands + self.feed(base.ResponseDone("r1", "completed"))


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.connect()
    return scene


def kinds(commands: list[turn.Command]) -> list[type]:
    return [type(command) for command in commands]


# --- greeting and turns ---------------------------------------------------------------------------------------------


def test_greeting_is_asked_for_once_session_and_media_are_there() -> None:
    scene = Scene(greeting="Hello.")
    assert scene.feed(base.SessionReady("s", "pcm24k", "pcm24k")) == []
    assert scene.feed(turn.MediaReady()) == [turn.RequestResponse(Purpose.GREETING, "Say exactly: Hello.")]
    assert scene.feed(turn.Tick()) == []


def test_greeting_falls_away_when_the_caller_speaks_first() -> None:
    scene = Scene(greeting="Hello.")
    scene.feed(turn.MediaReady(), base.SpeechStarted("c1", 0), base.SessionReady("s", "pcm24k", "pcm24k"))
    assert scene.machine.slot.free
    scene.feed(base.SpeechStarted("c1", 0))
    assert scene.caller_stops() == []
    assert scene.machine.slot.state is Slot.REQUESTED  # the server answers the caller's turn by itself


@pytest.mark.parametrize("server_responds", [True, False])
@pytest.mark.parametrize("fault", ["lost", "refused"])
def test_a_greeting_that_the_caller_spoke_into_is_never_asked_for_again(server_responds: bool, fault: str) -> None:
    scene = Scene(greeting="Hello.", server_responds=server_responds)
    scene.connect()
    scene.caller_speaks()  # asked for, not yet created
    if fault == "lost":
        scene.feed(base.ConnectionLost(1006, "cut", False))
        scene.connect()
    else:
        error = base.ProviderError("conversation_already_has_active_response", "busy", request="create_response")
        scene.feed(error)
        scene.caller_stops()
        scene.feed(base.ResponseDone("other", "completed"))
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
    scene.feed(base.ResponseStarted("r2", {}))
    scene.feed(base.ConnectionLost(1006, "cut", False))
    assert scene.connect() == [turn.RequestResponse(Purpose.RESUME, None)]


def test_a_notice_that_was_said_is_not_said_again_in_place_of_an_answer(scene: Scene) -> None:
    scene.feed(turn.NoticeWanted("One minute left."))
    scene.respond("r1", "notice")
    scene.played()
    scene.feed(base.ResponseStarted("r2", {}))  # the provider's own idea
    scene.feed(base.ConnectionLost(1006, "cut", False))
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


# --- barge-in -------------------------------------------------------------------------------------------------------


def test_barge_in_stops_playout_and_drops_what_still_comes(scene: Scene) -> None:
    scene.feed(base.ResponseStarted("r1", {}), turn.AudioStarted("r1", "item-r1"))
    assert scene.caller_speaks() == [turn.StopPlayout(barge_in=True)]
    assert scene.machine.slot.state is Slot.CANCELLING
    assert not scene.machine.wants_audio("r1")
    scene.feed(base.ResponseDone("r1", "cancelled", "turn_detected"))
    assert scene.machine.slot.free


def test_late_audio_of_a_cut_response_is_unwanted_when_the_caller_has_stopped_too(scene: Scene) -> None:
    scene.feed(base.ResponseStarted("r1", {}), turn.AudioStarted("r1", "item-r1"))
    scene.caller_speaks()
    scene.caller_stops()
    assert not scene.machine.wants_audio("r1")
    scene.feed(base.ResponseDone("r1", "cancelled", "turn_detected"), base.ResponseStarted("r2", {}))
    assert not scene.machine.wants_audio("r1") and scene.machine.wants_audio("r2")


def test_barge_in_cancels_by_itself_where_the_server_does_not() -> None:
    scene = Scene(server_interrupts=False)
    scene.connect()
    scene.feed(base.ResponseStarted("r1", {}), turn.AudioStarted("r1", "item-r1"))
    assert turn.CancelResponse("r1") in scene.caller_speaks()


def test_barge_in_after_generation_still_stops_playout(scene: Scene) -> None:
    scene.respond("r1")
    assert scene.caller_speaks() == [turn.StopPlayout(barge_in=True)]


def test_barge_in_into_a_gap_of_an_item_truncates_it_all_the_same(scene: Scene) -> None:
    scene.feed(base.ResponseStarted("r1", {}), turn.AudioStarted("r1", "item-r1"))
    scene.played()  # playout ran dry: the provider is slow
    assert scene.caller_speaks() == [turn.StopPlayout(barge_in=False)]


def test_speech_into_silence_stops_nothing(scene: Scene) -> None:
    assert scene.caller_speaks() == []


def test_response_created_while_the_caller_speaks_is_cancelled(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.feed(turn.ToolFinished("t1", "{}"))  # asks for a response
    scene.caller_speaks()
    assert scene.feed(base.ResponseStarted("r2", {"purpose": "tool_result"})) == [turn.CancelResponse("r2")]
    assert not scene.machine.wants_audio("r2")


# --- tools ----------------------------------------------------------------------------------------------------------


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
    scene.feed(base.ResponseStarted("r1", {}))
    scene.call_tool(call="t1")
    scene.call_tool(call="t2")
    assert scene.feed(turn.ToolFinished("t1", "1")) == [turn.SendOutput("t1", "1")]
    scene.feed(base.ResponseDone("r1", "completed"))
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
    scene.feed(base.ResponseStarted("r1", {}))
    calls = ["t1", "t2", "t3", "t4"]
    for call in calls:
        scene.call_tool(call=call)
    for number, (event, pause) in enumerate(zip(order, pauses, strict=True)):
        scene.wait(pause)
        commands = scene.feed(
            base.ResponseDone("r1", "completed") if event == "done" else turn.ToolFinished(event, "1")
        )
        asked = [c for c in commands if isinstance(c, turn.RequestResponse)]
        assert asked == ([] if number < 4 else [turn.RequestResponse(Purpose.TOOL_RESULT, None)])
    scene.feed(*(base.ItemCreated("i", "function_call_output", "") for _ in range(8)))
    scene.respond("r2", "tool_result")
    scene.played()
    scene.wait(60)
    assert kinds(scene.commands).count(turn.RequestResponse) == 1


def test_past_the_limit_a_tool_call_is_answered_once_and_not_run(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "MOST_CALLS", 2)
    scene.feed(base.ResponseStarted("r1", {}))
    for call in ("t1", "t2"):
        assert kinds(scene.call_tool(call=call)) == [turn.StartTool]
        scene.feed(turn.ToolFinished(call, "1"))
    assert scene.call_tool(call="t3") == [turn.SendOutput("t3", TOO_MANY)]
    assert [scene.call_tool(call=call) for call in ("t1", "t2", "t3")] == [[], [], []], "hours later, too"


def test_result_before_the_end_of_its_response_waits_for_the_slot(scene: Scene) -> None:
    scene.feed(base.ResponseStarted("r1", {}))
    scene.call_tool()
    assert scene.feed(turn.ToolFinished("t1", "1")) == [turn.SendOutput("t1", "1")]
    assert scene.feed(base.ResponseDone("r1", "completed")) == [turn.RequestResponse(Purpose.TOOL_RESULT, None)]


def test_result_while_the_caller_speaks_waits_for_the_answer_to_them_and_is_told_after_it(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.caller_speaks()
    assert scene.feed(turn.ToolFinished("t1", "1")) == []
    assert scene.caller_stops() == [], "the server's own answer must not be taken for the telling"
    assert scene.feed(base.ResponseStarted("r2", {})) == [turn.SendOutput("t1", "1")]
    scene.feed(turn.AudioStarted("r2", "i2"), base.ItemCreated("i", "function_call_output", ""))
    assert scene.feed(base.ResponseDone("r2", "completed")) == [turn.RequestResponse(Purpose.TOOL_RESULT, None)]
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
    scene.feed(base.ResponseStarted("r1", {}))
    scene.call_tool(call="t1", name="quote")
    scene.call_tool(call="t2")
    scene.feed(base.ResponseDone("r1", "completed"))
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
    assert turn.CancelTool("t1") in scene.feed(base.CallerTranscript("c2", "and by train?"))
    scene.feed(base.CallerTranscript("c2", "and by train?"))
    scene.caller_speaks("c3")
    scene.caller_stops("c3")
    scene.feed(base.CallerTranscript("c3", "or by bus?"))
    assert cancelled(scene) == [turn.CancelTool("t1")], "once"
    scene.feed(turn.ToolFinished("t1", "cancelled"))
    assert turn.SendOutput("t1", "cancelled") in scene.feed(base.ResponseStarted("r3", {}))


def test_a_cough_cancels_nothing(fickle_scene: Scene) -> None:
    scene = fickle_scene
    scene.caller_speaks("c2")
    scene.caller_stops("c2")
    scene.feed(base.CallerTranscript("c2", " ..."))
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
        scene.feed(base.CallerTranscriptFailed("c2", "no"))
    else:
        scene.wait(WORDS_S - 0.01)
        assert cancelled(scene) == []
        scene.wait(0.02)
    assert cancelled(scene) == [turn.CancelTool("t1")]


def test_only_what_was_said_while_it_ran_counts(fickle_scene: Scene) -> None:
    scene = fickle_scene
    scene.feed(base.CallerTranscript("c1", "what does it cost?"))  # the question itself
    scene.wait(10)
    assert cancelled(scene) == []
    scene.caller_speaks("c2")
    scene.feed(base.ResponseStarted("r2", {"purpose": "notice"}))
    scene.feed(turn.ToolFinished("t1", "12"))
    scene.caller_stops("c2")
    scene.feed(base.CallerTranscript("c2", "and by train?"))
    assert cancelled(scene) == [], "it has its result"


def test_a_tool_that_began_after_the_words_is_not_cancelled_by_them(fickle_scene: Scene) -> None:
    scene = fickle_scene
    scene.caller_speaks("c2")
    scene.caller_stops("c2")
    scene.wait(0.5)
    scene.feed(base.ResponseStarted("r2", {}))
    scene.call_tool("r2", "t3", "quote")
    scene.feed(base.CallerTranscript("c2", "and by train?"))
    assert cancelled(scene) == [turn.CancelTool("t1")]


def test_speech_into_a_session_that_was_lost_cancels_nothing(fickle_scene: Scene) -> None:
    scene = fickle_scene
    scene.caller_speaks("c2")
    scene.caller_stops("c2")
    scene.feed(base.ConnectionLost(1006, "cut", False))
    scene.connect()
    scene.wait(10)
    assert cancelled(scene) == []


def test_turns_that_wait_for_their_words_are_bounded(fickle_scene: Scene) -> None:
    for number in range(SPEECHES + 5):
        fickle_scene.caller_speaks(f"c{number}")
    assert len(fickle_scene.machine._interruptions._speeches) == SPEECHES


def test_tool_call_of_a_discarded_response_is_answered_and_not_run(scene: Scene) -> None:
    scene.feed(base.ResponseStarted("r1", {}), turn.AudioStarted("r1", "item-r1"))
    scene.caller_speaks()
    assert scene.call_tool("r1") == [turn.SendOutput("t1", INTERRUPTED)]


# --- the response slot ----------------------------------------------------------------------------------------------


def test_active_response_error_is_waited_out(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.feed(turn.ToolFinished("t1", "1"))
    error = base.ProviderError("conversation_already_has_active_response", "busy", request="create_response")
    assert scene.feed(error) == []
    assert scene.machine.slot.state is Slot.ACTIVE
    assert scene.feed(base.ResponseDone("other", "completed")) == [turn.RequestResponse(Purpose.TOOL_RESULT, None)]


def test_silent_provider_frees_the_slot_and_is_asked_again(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.feed(turn.ToolFinished("t1", "1"))
    assert turn.RequestResponse(Purpose.TOOL_RESULT, None) in scene.wait(9)


def test_a_long_answer_is_not_given_up_while_it_is_heard(scene: Scene) -> None:
    scene.feed(base.ResponseStarted("r1", {}), turn.AudioStarted("r1", "item-r1"))
    assert scene.wait(200) == []
    assert scene.machine.wants_audio("r1")
    scene.feed(turn.PlayoutChanged(None))
    assert turn.CancelResponse("r1") in scene.wait(100)


def test_failed_response_is_tried_again_and_then_apologised_for(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.feed(turn.ToolFinished("t1", "1"))
    for number in range(2):
        scene.feed(base.ResponseStarted(f"f{number}", {}))
        scene.feed(base.ResponseDone(f"f{number}", "failed", "boom", "server_error"))
        assert turn.RequestResponse(Purpose.TOOL_RESULT, None) in scene.wait(3)
    scene.feed(base.ResponseStarted("f3", {}))
    assert scene.feed(base.ResponseDone("f3", "failed", "boom", "server_error")) == [turn.Apologise("server_error")]
    assert scene.feed(turn.Tick()) == []


def test_memory_of_what_was_heard_is_bounded(scene: Scene) -> None:
    for number in range(REMEMBERED + 20):
        scene.respond(f"r{number}")
        scene.played()
    assert len(scene.machine.state.spoke) == REMEMBERED


# --- fillers --------------------------------------------------------------------------------------------------------


def start_filler(scene: Scene, response_id: str = "f1", *, audio: bool = True) -> turn.SpeakFiller:
    command = next(c for c in reversed(scene.commands) if isinstance(c, turn.SpeakFiller))
    scene.feed(base.ResponseStarted(response_id, command.metadata))
    if audio:
        scene.feed(turn.AudioStarted(response_id, f"item-{response_id}"))
        scene.feed(base.ResponseDone(response_id, "completed", metadata=command.metadata))
    return command


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
    scene.feed(base.ResponseStarted("r1", {}), turn.AudioStarted("r1", "item-r1"))
    scene.call_tool()
    scene.feed(base.ResponseDone("r1", "completed"))
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
    scene.feed(base.ResponseStarted("r1", {}))
    scene.call_tool(call="t1")
    scene.wait(0.2)
    scene.call_tool(call="t2", name="clock")
    scene.feed(base.ResponseDone("r1", "completed"))
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
    scene.feed(base.ResponseStarted("f1", command.metadata), turn.AudioStarted("f1", "item-f1"))
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
    assert scene.feed(base.ResponseStarted("f1", command.metadata)) == [turn.CancelResponse("f1")]


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
    scene.feed(base.ResponseStarted("f1", command.metadata), turn.AudioStarted("f1", "item-f1"))
    scene.played()  # but its response.done never comes
    for _ in range(30):
        scene.wait(1.0)
        scene.played()
    assert kinds(scene.commands).count(turn.SpeakFiller) > 1
    assert turn.CancelResponse("f1") in scene.commands


# --- reconnect ------------------------------------------------------------------------------------------------------


def test_outcome_without_a_session_is_held_and_sent_to_the_next_one(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.feed(base.ConnectionLost(1006, "cut", False))
    assert scene.feed(turn.ToolFinished("t1", "1")) == []
    assert scene.connect()[:2] == [turn.SendOutput("t1", "1"), turn.RequestResponse(Purpose.TOOL_RESULT, None)]


def test_response_lost_with_the_session_is_asked_for_again(scene: Scene) -> None:
    scene.turn_with_tool()
    scene.feed(turn.ToolFinished("t1", "1"))
    scene.feed(base.ConnectionLost(1006, "cut", False))
    assert turn.RequestResponse(Purpose.TOOL_RESULT, None) in scene.connect()


def test_tone_while_there_is_no_session(scene: Scene) -> None:
    scene.feed(base.ConnectionLost(1006, "cut", False))
    assert kinds(scene.wait(1.0)) == [turn.PlayTone]


# --- placeholders, progress, notices, silence -----------------------------------------------------------------------


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
    scene.feed(base.ConnectionLost(1006, "cut", False))
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


# --- the end --------------------------------------------------------------------------------------------------------


def end_call(scene: Scene, *, audio: bool = True) -> list[turn.Command]:
    scene.feed(base.ResponseStarted("r9", {}))
    if audio:
        scene.feed(turn.AudioStarted("r9", "item-r9"))
    commands = scene.call_tool("r9", "t9", END_CALL)
    return commands + scene.feed(base.ResponseDone("r9", "completed"))


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
    scene.feed(base.ResponseStarted("r10", {"purpose": "goodbye"}))
    scene.call_tool("r10", "t10", END_CALL)  # once more, instead of words
    commands = scene.feed(base.ResponseDone("r10", "completed", metadata={"purpose": "goodbye"}))
    assert turn.RequestResponse not in kinds(commands)
    assert scene.wait(HANG_UP_PAD_S + 0.1) == [turn.HangUp("agent")]


def test_end_call_of_a_discarded_generation_does_not_hang_up(scene: Scene) -> None:
    scene.feed(base.ResponseStarted("r9", {}), turn.AudioStarted("r9", "item-r9"))
    scene.caller_speaks()
    assert scene.call_tool("r9", "t9", END_CALL) == [turn.SendOutput("t9", INTERRUPTED)]
    scene.feed(base.ResponseDone("r9", "cancelled", "turn_detected"))
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
    scene.feed(base.ConnectionLost(1006, "cut", False))
    scene.feed(turn.GoodbyeWanted("We close.", "drain"))
    assert turn.HangUp("drain") in scene.wait(GOODBYE_BOUND_S + 0.1)
