from __future__ import annotations

import json
from typing import Any

import pytest

from worker.local.brain import Ask, Call, Plan, Say, exact_words
from worker.local.conversation import Item
from worker.local.dialogue import load_dialogue, read_dialogue
from worker.local.script import Script, fill

TOOLS = ("order_status", "current_time", "end_call")


def user(text: str) -> Item:
    return Item("u", "message", "user", content=[{"type": "input_audio", "transcript": text}])


def output(result: Any, call_id: str = "c") -> Item:
    text = result if isinstance(result, str) else json.dumps(result)
    return Item("o", "function_call_output", call_id=call_id, output=text)


def call(name: str = "order_status", arguments: str = '{"order": "427"}', call_id: str = "c") -> Item:
    return Item("f", "function_call", name=name, call_id=call_id, arguments=arguments)


def words(plan: Plan) -> str:
    return " ".join(part.text for part in plan.output if isinstance(part, Say))


@pytest.fixture
def script() -> Script:
    return Script(load_dialogue())


@pytest.mark.parametrize(
    ("template", "values", "text"),
    [
        ("Order {order:digits}.", {"order": "427"}, "Order four two seven."),
        ("Order {order}.", {"order": 427}, "Order 427."),
        ("It is {time:clock}.", {"time": "09:05"}, "It is nine oh five."),
        ("{result.day}", {"result": {"day": "Monday"}}, "Monday"),
        ("{day}", {}, None),
        ("{day}", {"day": None}, None),
    ],
)
def test_templates(template: str, values: dict[str, Any], text: str | None) -> None:
    assert fill(template, values) == text


def test_words_to_be_said_exactly(script: Script) -> None:
    assert words(script.answer(Ask(instructions="Be kind.\nSay exactly: One moment: please."))) == "One moment: please."
    assert exact_words(Ask(items=[user("Say exactly: x")], in_band=False)) == "x"
    assert exact_words(Ask(items=[user("Say exactly: x")])) is None  # a caller does not script us
    assert exact_words(Ask(instructions="Never say exactly: x")) is None


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (
            {"order": "427", "status": "shipped", "carrier": "DHL", "arrives": "Thursday"},
            "Order four two seven is shipped with DHL, and arrives on Thursday.",
        ),
        (
            {"order": "427", "status": "delivered", "arrives": "yesterday"},
            "Order four two seven was delivered yesterday.",
        ),
        ({"order": "427", "status": "cancelled"}, "Order four two seven is cancelled."),
        ({"found": False, "order": "427"}, "I can not find order four two seven. Please check the number."),
        (
            {"status": "timeout", "error": "It took too long."},
            "I am sorry, I could not look up order four two seven. Please try again later.",
        ),
        ("no JSON", "I am sorry, I could not find that out. Please try again later."),
        ([1, 2], "I am sorry, I could not find that out. Please try again later."),
        ({"status": "pending"}, "I am still looking."),
    ],
)
def test_results_in_words(script: Script, result: Any, said: str) -> None:
    asked = script.answer(Ask(items=[user("what is the status of order four two seven")], tools=TOOLS))
    assert asked.output == (Call("order_status", '{"order": "427"}'),)
    plan = script.answer(Ask(items=[call(), output(result)]))
    assert words(plan) == said


def test_a_result_after_a_reconnect_is_worded_by_the_functions_name(script: Script) -> None:
    result = {"status": "shipped", "carrier": "DHL", "arrives": "Thursday"}
    plan = script.answer(Ask(items=[call(), output(result)]))
    assert words(plan) == "Order four two seven is shipped with DHL, and arrives on Thursday."


def test_a_sentence_cut_in_two_by_a_pause_is_understood(script: Script) -> None:
    plan = script.answer(Ask(items=[user("what is the status of order"), user("four two seven")], tools=TOOLS))
    assert plan.output == (Call("order_status", '{"order": "427"}'),)
    assert len(plan.answers) == 2


def test_a_result_and_a_question_are_answered_together(script: Script) -> None:
    plan = script.answer(Ask(items=[call(), output({"found": False}), user("are you still there")]))
    assert words(plan) == "I can not find order four two seven. Please check the number. Yes, I am here."
    assert len(plan.output) == 1


def test_a_dialogue_may_answer_a_question_alone_and_tell_the_result_when_it_is_asked_for() -> None:
    dialogue = read_dialogue('results_alone = true\n[[turn]]\nhears = ["hello"]\nsay = "Hello."\n')
    script, result, question = Script(dialogue), output({"found": False}), user("hello")
    plan = script.answer(Ask(items=[call(), result, question]))
    assert words(plan) == "Hello." and plan.answers == (question,)
    question.answered = True
    assert words(script.answer(Ask(items=[call(), result, question]))) == dialogue.failed[0]


def test_goodbye_hangs_up_only_where_that_is_on_offer(script: Script) -> None:
    plan = script.answer(Ask(items=[user("thank you goodbye")], tools=TOOLS))
    assert plan.output == (Say("Thank you for calling. Goodbye."), Call("end_call", "{}"))
    plan = script.answer(Ask(items=[user("thank you goodbye")]))
    assert plan.output == (Say("Thank you for calling. Goodbye."),)


def test_a_function_that_is_not_on_offer_is_not_called(script: Script) -> None:
    plan = script.answer(Ask(items=[user("what time is it")]))
    assert words(plan) == "I am sorry, I can't do that here."


def test_what_is_not_understood_is_asked_again_in_other_words(script: Script) -> None:
    first, second = (words(script.answer(Ask(items=[user(text)]))) for text in ("", "mumble"))
    assert first != second
    assert "sorry" in first
    assert "sorry" in second


def test_with_a_call_open_nothing_new_is_answered_with_patience(script: Script) -> None:
    assert words(script.answer(Ask(items=[user("mumble")], open_calls=[call()]))) == "I am still looking."
    assert words(script.answer(Ask(open_calls=[call()]))) == "It takes a moment longer."
    again = Ask(items=[user("where is my order four two seven")], open_calls=[call()], tools=TOOLS)
    assert words(script.answer(again)) == "I am still looking for order four two seven."
    other = Ask(items=[user("where is my order one two three")], open_calls=[call()], tools=TOOLS)
    assert script.answer(other).output == (Call("order_status", '{"order": "123"}'),)


def test_without_a_cue_it_greets_once(script: Script) -> None:
    assert words(script.answer(Ask())).startswith("Hello, this is the order desk.")
    spoken = Item("a", "message", "assistant", answered=True)
    assert words(script.answer(Ask(items=[spoken]))) == "Are you still there?"
    assert words(script.answer(Ask(idle=True))) == "Are you still there?"


def test_arguments_may_be_of_any_type() -> None:
    dialogue = read_dialogue(
        '[slots]\nday = ["monday"]\n[[turn]]\nhears = ["go [{day}]"]\n'
        + '[[turn.call]]\ntool = "a"\narguments = { day = "{day}", seats = 2, fast = true }\n'
    )
    plan = Script(dialogue).answer(Ask(items=[user("go monday")], tools=("a",)))
    assert plan.output == (Call("a", '{"day": "monday", "seats": 2, "fast": true}'),)
    plan = Script(dialogue).answer(Ask(items=[user("go")], tools=("a",)))
    assert plan.output == (Call("a", '{"seats": 2, "fast": true}'),)
