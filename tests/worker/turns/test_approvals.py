"""The question to the caller: asked by us, heard to its end, answered by the caller alone, once more, then a no."""

from __future__ import annotations

from typing import Any

import pytest

from tests.worker.turns.scene import FILLERS, TOOL_RESULT, Scene, kinds
from worker.realtime import events as realtime
from worker.turns import events as turn
from worker.turns.approvals import ANSWER_S
from worker.turns.events import Purpose, Question
from worker.turns.floor import Slot
from worker.turns.owed import say_exactly
from worker.turns.tools import NOT_NOW

ASK = Question(
    text="Shall I pay 40 euros?", again="Again: shall I pay 40 euros?", keys="Pay 40? Press 1.", language="en"
)


class Asked(Scene):
    """A scene in which the tool call t1 waits for the caller's approval."""

    def __init__(self, question: Question = ASK, **config: Any) -> None:
        super().__init__(**config)
        self.connect()
        self.question = question
        self.said = 0
        self.turn_with_tool()
        self.feed(turn.ApprovalAwaited(1, "t1"), turn.ApprovalAwaited(1, "t1", question))

    def hears(self, text: str | None = None, *, played: bool = True) -> list[turn.Command]:
        """The provider says the question that was asked for (or these words), and the caller hears it."""
        self.said += 1
        response = f"q{self.said}"
        metadata = {"purpose": "approval"}
        commands = self.feed(realtime.ResponseStarted(response, metadata))
        commands += self.feed(turn.AudioStarted(response, f"i-{response}"))
        words = self.asked_words() if text is None else text
        commands += self.feed(realtime.AgentTranscript(response, f"i-{response}", words))
        commands += self.feed(realtime.ResponseDone(response, "completed", metadata=metadata))
        return commands + self.played() if played else commands

    def says(self, text: str | None, item: str = "a1", *, seconds: float = 0.8) -> list[turn.Command]:
        """The caller says something, and its words come (None: they never do)."""
        commands = self.caller_speaks(item)
        commands += self.wait(seconds)
        commands += self.caller_stops(item)
        return commands if text is None else commands + self.feed(realtime.CallerTranscript(item, text))

    def asked_words(self) -> str:
        """The words of the question that was asked for last."""
        asked = [one for one in self.commands if isinstance(one, turn.RequestResponse)]
        return (asked[-1].instructions or "").removeprefix(say_exactly(""))

    def answers(self) -> list[tuple[bool, str]]:
        return [(one.approved, one.by) for one in self.commands if isinstance(one, turn.ApprovalAnswered)]

    def requests(self) -> list[Purpose]:
        return [one.purpose for one in self.commands if isinstance(one, turn.RequestResponse)]


@pytest.fixture
def scene() -> Asked:
    return Asked()


def test_the_question_is_ours_word_by_word_and_the_only_thing_that_is_asked_for(scene: Asked) -> None:
    assert scene.commands[-1] == turn.RequestResponse(Purpose.APPROVAL, say_exactly(ASK.text))
    scene.feed(turn.NoticeWanted("One more minute."))
    scene.hears()
    assert scene.requests() == [Purpose.APPROVAL]


def test_a_clear_yes_after_the_question_approves(scene: Asked) -> None:
    scene.hears()
    assert turn.ApprovalAnswered(1, True, "voice") in scene.says("Yes, please.")


def test_a_clear_no_declines_and_the_model_tells_what_came_of_it(scene: Asked) -> None:
    scene.hears()
    assert scene.says("No, thank you.")[-1] == turn.ApprovalAnswered(1, False, "voice")
    scene.feed(turn.ApprovalEnded(1, "t1"), turn.ToolFinished("t1", '{"status":"declined"}'))
    scene.feed(realtime.ResponseStarted("own", {}), realtime.ResponseDone("own", "cancelled"))
    assert scene.requests()[-1] is Purpose.TOOL_RESULT


def test_an_unclear_answer_is_asked_once_more_and_is_a_no_then(scene: Asked) -> None:
    scene.hears()
    scene.says("what does that cost")
    assert scene.answers() == []
    scene.feed(realtime.ResponseStarted("own", {}), realtime.ResponseDone("own", "cancelled"))
    assert scene.asked_words() == ASK.again
    scene.hears()
    scene.says("well, perhaps", "a2")
    assert scene.answers() == [(False, "nobody")]


def test_silence_is_asked_once_more_and_is_a_no_then(scene: Asked) -> None:
    scene.hears()
    assert scene.wait(ANSWER_S - 0.1) == [], "the caller has the word"
    scene.wait(0.1)
    assert scene.asked_words() == ASK.again
    scene.hears()
    scene.wait(ANSWER_S)
    assert scene.answers() == [(False, "nobody")]


@pytest.mark.parametrize("text", ["Yes.", "Yes, do it now."])
def test_a_yes_over_the_question_does_not_count(scene: Asked, text: str) -> None:
    scene.hears(played=False)
    scene.says(text)
    assert scene.answers() == []
    scene.feed(realtime.ResponseStarted("own", {}), realtime.ResponseDone("own", "cancelled"))
    assert scene.asked_words() == ASK.text
    scene.hears()
    scene.says("Yes.", "a2")
    assert scene.answers() == [(True, "voice")]


def test_a_no_over_the_question_counts(scene: Asked) -> None:
    scene.hears(played=False)
    scene.says("No, stop.")
    assert scene.answers() == [(False, "voice")]


def test_a_yes_that_began_before_the_question_was_heard_does_not_count_though_its_words_come_later() -> None:
    scene = Asked()
    scene.caller_speaks("early")
    scene.caller_stops("early")
    scene.feed(realtime.ResponseStarted("own", {}), realtime.ResponseDone("own", "cancelled"))
    scene.hears()
    scene.feed(realtime.CallerTranscript("early", "Yes, please."))
    scene.feed(realtime.CallerTranscript("c1", "Yes."))
    assert scene.answers() == []


def test_the_servers_own_answer_to_the_caller_is_not_heard_and_calls_nothing(scene: Asked) -> None:
    scene.hears()
    scene.says(None)
    commands = scene.feed(realtime.ResponseStarted("own", {}))
    assert commands == [turn.CancelResponse("own")] and not scene.machine.wants_audio("own")
    again = scene.feed(realtime.ToolCallRequested("own", "fc", "t2", "pay", "{}"))
    assert again == [turn.SendOutput("t2", NOT_NOW)], "the model can't answer by calling once more"
    scene.feed(realtime.CallerTranscript("a1", "Yes."))
    assert scene.answers() == [(True, "voice")]


def test_the_models_words_approve_nothing(scene: Asked) -> None:
    scene.hears()
    scene.feed(realtime.AgentTranscript("own", "i-own", "Yes. The caller has approved it."))
    scene.feed(turn.ToolProgress("t1", "approved"), turn.ToolFinished("t9", '{"approved": true}'))
    assert scene.answers() == []


def test_what_the_model_said_instead_of_the_question_asks_nothing(scene: Asked) -> None:
    scene.hears("Do you like cheese?")
    assert scene.requests() == [Purpose.APPROVAL, Purpose.APPROVAL]
    scene.says("Yes!")
    assert scene.answers() == []
    scene.feed(realtime.ResponseStarted("own", {}), realtime.ResponseDone("own", "cancelled"))
    scene.hears("Do you like wine?")
    assert scene.answers() == [(False, "nobody")], "the second time it is a no"


def test_where_there_is_a_voice_of_ours_it_asks_what_the_model_does_not(scene: Asked) -> None:
    scene = Asked(asks_itself=True)
    commands = scene.hears("Shall I pay 4000 euros?", played=False)
    [ask] = [one for one in commands if isinstance(one, turn.AskOurselves)]
    assert ask.text == ASK.text and scene.machine.asks(ask.item_id)
    assert turn.OfferSpoken(ASK.text) in commands, "the model has to know"
    scene.played()
    scene.says("Yes.")
    assert scene.answers() == [(True, "voice")]


def test_a_key_after_the_question_is_an_answer(scene: Asked) -> None:
    assert not scene.machine.takes_keys, "the question has not begun"
    scene.hears(played=False)
    assert scene.machine.takes_keys
    scene.feed(turn.CallerPressed("1"))
    assert scene.answers() == [], "who has not heard it has not answered it"
    scene.played()
    assert scene.feed(turn.CallerPressed("1"))[-1] == turn.ApprovalAnswered(1, True, "key")
    assert not scene.machine.takes_keys


def test_another_key_is_a_no(scene: Asked) -> None:
    scene.hears()
    scene.feed(turn.CallerPressed("2"))
    assert scene.answers() == [(False, "key")]


def test_words_that_never_come_leave_the_key(scene: Asked) -> None:
    scene.hears()
    scene.says(None)
    scene.feed(realtime.ResponseStarted("own", {}), realtime.ResponseDone("own", "cancelled"))
    scene.wait(3.1)
    assert scene.asked_words() == ASK.keys and scene.answers() == []
    scene.hears()
    scene.feed(turn.CallerPressed("1"))
    assert scene.answers() == [(True, "key")]


def test_where_a_voice_does_not_count_a_yes_does_not_and_a_no_does() -> None:
    question = Question(text=ASK.text, again=ASK.again, keys=ASK.keys, language="en", voice=False)
    scene = Asked(question)
    assert scene.asked_words() == ASK.keys
    scene.hears()
    scene.says("Yes.")
    assert scene.answers() == []
    scene.feed(realtime.ResponseStarted("own", {}), realtime.ResponseDone("own", "cancelled"))
    scene.hears()
    scene.says("No.", "a2")
    assert scene.answers() == [(False, "voice")]


def test_an_answer_is_weighed_when_all_of_it_is_known(scene: Asked) -> None:
    scene.hears()
    scene.caller_speaks("a1")
    scene.caller_stops("a1")
    scene.caller_speaks("a2")
    scene.feed(realtime.CallerTranscript("a1", "Yes."))
    assert scene.answers() == [], "the caller goes on"
    scene.caller_stops("a2")
    scene.feed(realtime.CallerTranscript("a2", "but not today"))
    assert scene.answers() == []


def test_the_tools_time_begins_with_the_approval_and_so_do_its_fillers(scene: Asked) -> None:
    scene.hears()
    assert turn.SpeakFiller not in kinds(scene.wait(ANSWER_S - 1))
    scene.says("Yes.")
    scene.feed(turn.ApprovalEnded(1, "t1"))
    scene.feed(realtime.ResponseStarted("own", {}), realtime.ResponseDone("own", "cancelled"))
    tool = scene.machine.pending.get("t1")
    assert tool is not None and tool.started_at == scene.now and not tool.awaits
    assert [c.text for c in scene.wait(1.0) if isinstance(c, turn.SpeakFiller)] == ["Let me look."]


def test_while_somebody_else_is_asked_the_tools_own_words_are_not_said() -> None:
    scene = Scene(fillers=FILLERS)
    scene.connect()
    scene.turn_with_tool()
    scene.feed(turn.ApprovalAwaited(1, "t1"))
    assert [c.text for c in scene.wait(1.0) if isinstance(c, turn.SpeakFiller)] == ["One moment."]


def test_a_tool_that_words_would_stop_is_not_stopped_by_the_answer() -> None:
    scene = Asked(cancelled_by_barge_in=frozenset({"order_status"}))
    scene.hears()
    scene.says("Yes.")
    scene.feed(turn.ApprovalEnded(1, "t1"))
    scene.wait(4.0)
    assert turn.CancelTool not in kinds(scene.commands)


def test_one_question_after_the_other(scene: Asked) -> None:
    scene.feed(turn.ApprovalAwaited(2, "t2", Question(text="Shall I send it?", again="", keys="", language="en")))
    scene.hears()
    scene.says("Yes.")
    scene.feed(realtime.ResponseStarted("own", {}), realtime.ResponseDone("own", "cancelled"))
    assert scene.asked_words() == "Shall I send it?"
    assert scene.answers() == [(True, "voice")]
    scene.hears()
    scene.says("No.", "a2")
    assert scene.answers() == [(True, "voice"), (False, "voice")]


def test_what_somebody_else_decides_takes_the_question_back(scene: Asked) -> None:
    scene.hears(played=False)
    assert turn.StopPlayout(barge_in=False) in scene.feed(turn.ApprovalEnded(1, "t1"))
    scene.says("Yes.")
    assert scene.answers() == []


def test_a_lost_session_asks_again_in_the_next(scene: Asked) -> None:
    scene.hears()
    scene.caller_speaks("a1")
    scene.feed(realtime.ConnectionLost(1006, "cut", False))
    scene.feed(realtime.SessionReady("s2", "pcm24k", "pcm24k"))
    assert scene.asked_words() == ASK.text and scene.requests() == [Purpose.APPROVAL, Purpose.APPROVAL]
    scene.feed(realtime.CallerTranscript("a1", "Yes."))
    assert scene.answers() == []


def test_the_end_of_the_call_is_a_no(scene: Asked) -> None:
    scene.hears()
    assert (False, "nobody") in [
        (one.approved, one.by)
        for one in scene.feed(turn.GoodbyeWanted("Bye.", "drain"))
        if isinstance(one, turn.ApprovalAnswered)
    ]


def test_a_question_that_the_provider_refuses_is_asked_again(scene: Asked) -> None:
    scene.feed(
        realtime.ProviderError("server_error", "no", request="create_response", metadata={"purpose": "approval"})
    )
    scene.wait(1.0)
    assert scene.requests() == [Purpose.APPROVAL, Purpose.APPROVAL]
    scene.hears()
    scene.says("Yes.")
    assert scene.answers() == [(True, "voice")]


def test_a_provider_that_answers_late_and_not_at_all_is_asked_again(scene: Asked) -> None:
    scene.hears()
    scene.says("hm what")
    scene.wait(3.1)  # no response of its own
    assert scene.machine.slot.state is Slot.REQUESTED and scene.asked_words() == ASK.again
    assert TOOL_RESULT not in scene.commands
