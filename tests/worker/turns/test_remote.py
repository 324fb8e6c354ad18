"""Tools that the provider runs: covered with words, told once, bounded; and nothing is sent for them."""

from __future__ import annotations

from tests.worker.turns.scene import TOOL_RESULT, Scene, kinds, pass_time, start_filler, told
from worker.realtime import events as realtime
from worker.realtime import remote
from worker.turns import events as turn
from worker.turns.events import Purpose
from worker.turns.remote import LOST, NOBODY, TIMEOUT

ENDED = remote.RemoteToolEnded("m1", True)
GREETING = turn.RequestResponse(Purpose.GREETING, "Say exactly: Hello.")


def runs(scene: Scene, call: str = "m1", response: str = "r1", approval: str = "") -> list[turn.Command]:
    return scene.feed(remote.RemoteToolStarted(response, call, "crm", "find", "{}", approval))


def asked(scene: Scene) -> None:
    """The caller asks, and the model answers with a call that the provider runs."""
    scene.caller_speaks()
    scene.caller_stops()
    scene.feed(realtime.ResponseStarted("r1", {}))
    runs(scene)


def done(scene: Scene, response: str = "r1") -> list[turn.Command]:
    return scene.feed(realtime.ResponseDone(response, "completed"))


def results_told(scene: Scene) -> list[tuple[str, ...]]:
    return [one.tool_call_ids for one in scene.commands if isinstance(one, turn.ResultsTold)]


class TestACall:
    def test_that_takes_long_is_covered_by_fillers_though_its_response_is_not_over(self, scene: Scene) -> None:
        asked(scene)
        commands = scene.wait(0.6)
        assert kinds(commands) == [turn.SpeakFiller]
        start_filler(scene)
        assert kinds(scene.played() + scene.wait(1.0)) == [turn.PlayTone]
        pass_time(scene, 4.5)
        assert kinds(scene.commands).count(turn.SpeakFiller) == 2

    def test_nothing_is_sent_for_it_and_the_words_of_its_own_response_tell_it(self, scene: Scene) -> None:
        asked(scene)
        scene.wait(0.3)
        assert scene.feed(ENDED) == []
        assert scene.feed(turn.AudioStarted("r1", "item-r1")) == [turn.ResultsTold(("m1",))]
        assert done(scene) == []
        scene.played()
        scene.wait(5.0)
        assert not {turn.SendOutput, turn.RequestResponse, turn.SendResult} & set(kinds(scene.commands))
        assert scene.machine.idle

    def test_a_filler_that_was_not_heard_yet_is_no_second_voice(self, scene: Scene) -> None:
        asked(scene)
        scene.wait(0.6)
        start_filler(scene, audio=False)
        assert scene.feed(ENDED) == [turn.CancelResponse("f1")]
        assert not scene.machine.wants_audio("f1")

    def test_after_which_its_response_has_no_words_is_told_when_asked(self, scene: Scene) -> None:
        asked(scene)
        scene.feed(ENDED)
        assert done(scene) == [TOOL_RESULT]
        scene.respond("r2", Purpose.TOOL_RESULT)
        assert results_told(scene) == [("m1",)]

    def test_words_before_it_do_not_tell_it(self, scene: Scene) -> None:
        scene.feed(realtime.ResponseStarted("r1", {}), turn.AudioStarted("r1", "item-r1"))
        runs(scene)
        scene.played()
        scene.feed(ENDED)
        assert done(scene) == [TOOL_RESULT]

    def test_that_ends_after_its_response_is_told_when_the_model_does_not_go_on(self, scene: Scene) -> None:
        asked(scene)
        assert done(scene) == [] and not scene.machine.idle
        assert turn.SpeakFiller in kinds(scene.wait(0.6))
        start_filler(scene)
        scene.played()
        assert scene.feed(ENDED) == []
        assert not scene.machine.idle
        assert TOOL_RESULT in scene.wait(0.6)
        scene.respond("r2", Purpose.TOOL_RESULT)
        assert results_told(scene) == [("m1",)] and scene.commands.count(TOOL_RESULT) == 1

    def test_after_which_the_model_goes_on_in_a_response_of_its_own_is_not_asked_for(self, scene: Scene) -> None:
        asked(scene)
        done(scene)
        scene.feed(ENDED)
        scene.wait(0.2)
        scene.respond("r2")
        scene.played()
        scene.wait(3.0)
        assert results_told(scene) == [("m1",)] and TOOL_RESULT not in scene.commands

    def test_an_answer_to_what_the_caller_says_meanwhile_is_not_taken_for_the_telling(self, scene: Scene) -> None:
        asked(scene)
        done(scene)
        scene.caller_speaks("c2")
        scene.feed(ENDED)
        scene.wait(1.0)
        scene.caller_stops("c2")
        scene.respond("r2")
        assert results_told(scene) == []
        assert TOOL_RESULT in scene.commands

    def test_that_the_caller_spoke_into_goes_on_and_is_told(self, scene: Scene) -> None:
        asked(scene)
        commands = scene.caller_speaks("c2")
        assert turn.CancelTool not in kinds(commands)
        scene.feed(realtime.ResponseDone("r1", "cancelled", "turn_detected"))
        scene.caller_stops("c2")
        scene.respond("r2")
        scene.played()
        scene.feed(ENDED)
        assert TOOL_RESULT in scene.wait(0.6)

    def test_our_own_calls_beside_it_are_answered_together_with_it(self, scene: Scene) -> None:
        asked(scene)
        scene.call_tool(call="t1")
        scene.feed(turn.ToolFinished("t1", "{}"))
        assert done(scene) == []
        scene.feed(ENDED)
        assert TOOL_RESULT in scene.wait(0.6)
        scene.respond("r2", Purpose.TOOL_RESULT)
        assert sorted(results_told(scene)[0]) == ["m1", "t1"]

    def test_a_model_that_must_not_talk_with_calls_open_needs_no_placeholder_for_it(self) -> None:
        scene = Scene(talks_while_call_pending=False)
        scene.connect()
        asked(scene)
        done(scene)
        assert turn.SendOutput not in kinds(scene.wait(2.0))
        assert turn.SpeakFiller in kinds(scene.commands)

    def test_a_tool_of_that_name_is_not_cancelled_by_the_callers_words(self) -> None:
        scene = Scene(cancelled_by_barge_in=frozenset({"crm__find"}))
        scene.connect()
        asked(scene)
        scene.caller_speaks("c2")
        scene.caller_stops("c2")
        assert turn.CancelTool not in kinds(scene.feed(realtime.CallerTranscript("c2", "and by train?")))


class TestACallThatNeverEnds:
    def test_is_given_up_with_its_response_and_the_model_says_so(self) -> None:
        scene = Scene(remote_s=lambda tool: 6.0)
        scene.connect()
        asked(scene)
        scene.wait(0.6)
        start_filler(scene)
        scene.played()
        commands = scene.wait(6.0)
        given_up = turn.RemoteGivenUp("m1", TIMEOUT)
        assert given_up in commands and turn.CancelResponse("r1") in commands
        [note] = [one for one in commands if isinstance(one, turn.TellModel)]
        assert "crm__find" in note.text and "not known" in note.text
        assert told(scene) == [("end of the provider's tool call", "goes on without")]
        assert TOOL_RESULT in scene.feed(realtime.ResponseDone("r1", "cancelled", "client_cancelled"))
        assert scene.feed(ENDED) == [], "what comes too late is nobody's business"
        scene.respond("r2", Purpose.TOOL_RESULT)
        assert results_told(scene) == [("m1",)]

    def test_whose_response_is_over_is_told_at_once(self) -> None:
        scene = Scene(remote_s=lambda tool: 6.0)
        scene.connect()
        asked(scene)
        done(scene)
        assert TOOL_RESULT in scene.wait(6.2)

    def test_holds_no_hang_up_for_ever(self, scene: Scene) -> None:
        asked(scene)
        done(scene)
        scene.feed(turn.GoodbyeWanted("We close.", "drain"))
        scene.respond("r2", Purpose.GOODBYE)
        scene.played()
        assert turn.HangUp not in kinds(scene.wait(2.5)), "the call ends with its session: it is waited for"
        assert turn.HangUp in kinds(scene.wait(4.0))

    def test_one_that_ends_meanwhile_lets_the_call_go(self, scene: Scene) -> None:
        asked(scene)
        done(scene)
        scene.feed(turn.GoodbyeWanted("We close.", "drain"))
        scene.respond("r2", Purpose.GOODBYE)
        scene.played()
        scene.wait(1.0)
        scene.feed(ENDED)
        assert turn.HangUp in kinds(scene.wait(0.5))


class TestASessionThatIsLost:
    def test_takes_its_calls_with_it_and_the_next_one_says_so_once(self, scene: Scene) -> None:
        asked(scene)
        assert scene.feed(realtime.ConnectionLost(1006, "cut", False)) == [turn.RemoteGivenUp("m1", LOST)]
        assert not scene.machine.pending.remote
        assert scene.feed(realtime.SessionReady("s2", "pcm24k", "pcm24k")) == [TOOL_RESULT]
        scene.respond("r2", Purpose.TOOL_RESULT)
        scene.played()
        scene.wait(5.0)
        assert [one for one in scene.commands if isinstance(one, turn.RequestResponse)] == [TOOL_RESULT]

    def test_of_our_own_will_takes_them_too(self, scene: Scene) -> None:
        asked(scene)
        done(scene)
        scene.caller_speaks("c2")
        scene.caller_stops("c2")
        scene.wait(30.0)
        commands = kinds(scene.commands)
        assert commands.index(turn.NewSession) < commands.index(turn.RemoteGivenUp)

    def test_a_result_that_was_not_told_is_owed_by_the_next(self, scene: Scene) -> None:
        asked(scene)
        done(scene)
        scene.feed(ENDED)
        scene.feed(realtime.ConnectionLost(1006, "cut", False))
        assert scene.feed(realtime.SessionReady("s2", "pcm24k", "pcm24k")) == [TOOL_RESULT]


class TestLists:
    def start(self, *labels: str) -> Scene:
        return Scene(greeting="Hello.", remote=labels)

    def test_the_greeting_waits_for_them_a_moment(self) -> None:
        scene = self.start("crm", "shop")
        assert scene.connect() == []
        assert scene.feed(remote.RemoteToolsListed("crm", ("find",))) == []
        assert scene.feed(remote.RemoteToolsListed("shop", ())) == [GREETING]

    def test_and_no_longer(self) -> None:
        scene = self.start("crm")
        scene.connect()
        assert GREETING not in scene.wait(0.9) and GREETING in scene.wait(0.2)

    def test_it_does_not_wait_where_they_came_while_it_rang(self) -> None:
        scene = self.start("crm")
        scene.feed(realtime.SessionReady("s", "pcm24k", "pcm24k"), remote.RemoteToolsListed("crm", ("find",)))
        assert scene.feed(turn.MediaReady()) == [GREETING]

    def test_a_server_that_fails_is_told_to_the_operator_each_time_and_to_the_model_once(self) -> None:
        scene = self.start("crm")
        scene.connect()
        commands = scene.feed(remote.RemoteToolsFailed("crm", "http_error 401"))
        assert kinds(commands) == [turn.TellModel, turn.RequestResponse]
        scene.feed(realtime.ConnectionLost(1006, "cut", False), realtime.SessionReady("s2", "pcm24k", "pcm24k"))
        scene.feed(remote.RemoteToolsFailed("crm", "http_error 401"))
        assert kinds(scene.commands).count(turn.TellModel) == 1
        assert told(scene) == [("provider's tools listed", "goes on without")] * 2
        assert scene.unmet[0].detail == "crm: http_error 401"

    def test_a_failure_without_a_name_is_the_one_that_is_waited_for(self) -> None:
        scene = self.start("crm")
        scene.connect()
        scene.feed(remote.RemoteToolsFailed(""))
        assert scene.unmet[0].detail.startswith("crm: ")

    def test_a_list_that_never_comes_is_told_too(self) -> None:
        scene = self.start("crm")
        scene.connect()
        scene.wait(1.1)
        scene.respond("r1", Purpose.GREETING)
        scene.played()
        commands = scene.wait(9.0)
        assert turn.TellModel in kinds(commands)
        assert ("provider's tools listed", "goes on without") in told(scene)


class TestApprovals:
    def wanted(self, scene: Scene) -> list[turn.Command]:
        scene.caller_speaks()
        scene.caller_stops()
        scene.feed(realtime.ResponseStarted("r1", {}))
        return scene.feed(remote.ApprovalWanted("r1", "a1", "crm", "find", "{}"))

    def test_are_asked_for_and_the_response_that_wants_one_is_whole(self, scene: Scene) -> None:
        assert self.wanted(scene) == [turn.AskApproval("a1", "crm", "find", "{}")]
        assert done(scene) == []
        assert scene.unmet == [] and turn.SpeakFiller in kinds(scene.wait(1.0))

    def test_none_within_the_bound_is_a_no_and_the_model_says_so(self, scene: Scene) -> None:
        self.wanted(scene)
        done(scene)
        commands = scene.wait(19.0)
        assert turn.AnswerApproval not in kinds(commands)
        scene.played()
        commands = scene.wait(1.6)
        assert turn.AnswerApproval("a1", False, NOBODY) in commands
        assert ("approval", "declined") in told(scene)
        assert TOOL_RESULT in scene.commands
        assert scene.feed(turn.ApprovalGiven("a1", True)) == [], "too late"

    def test_a_yes_lets_the_call_begin_whose_time_is_its_own(self) -> None:
        scene = Scene(remote_s=lambda tool: 6.0, approval_s=10.0)
        scene.connect()
        self.wanted(scene)
        done(scene)
        scene.wait(5.0)
        assert scene.feed(turn.ApprovalGiven("a1", True)) == [turn.AnswerApproval("a1", True)]
        assert scene.feed(turn.ApprovalGiven("a1", False)) == [], "once"
        runs(scene, response="", approval="a1")
        scene.wait(4.0)
        assert scene.machine.pending.names == ["crm__find"]
        scene.played()
        scene.feed(ENDED)
        assert TOOL_RESULT in scene.wait(0.6)

    def test_a_no_is_told(self, scene: Scene) -> None:
        self.wanted(scene)
        done(scene)
        assert scene.feed(turn.ApprovalGiven("a1", False, "No.")) == [turn.AnswerApproval("a1", False, "No.")]
        assert TOOL_RESULT in scene.wait(0.6)

    def test_an_approved_call_that_does_not_begin_by_itself_is_asked_for(self, scene: Scene) -> None:
        self.wanted(scene)
        done(scene)
        scene.feed(turn.ApprovalGiven("a1", True))
        scene.wait(1.9)
        scene.played()
        assert TOOL_RESULT in scene.wait(0.2)

    def test_are_gone_with_their_session(self, scene: Scene) -> None:
        self.wanted(scene)
        assert turn.RemoteGivenUp("a1", LOST) in scene.feed(realtime.ConnectionLost(1006, "cut", False))
        assert scene.feed(turn.ApprovalGiven("a1", True)) == []
