"""Scenes as the author of a tool would write them, and what a scene says that goes wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import pytest

from tools import Needs, ToolContext, ToolDefinitionError, ToolError, tool
from worker.agent.agent import Agent
from worker.agent.agent_file import AgentFileError
from worker.scene.scene import Call, Scene, SceneFailed

done: list[str] = []


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


@tool(mode="queued", timeout=20, filler="Let me look that order up.", on_hangup="cancel")
def order_status(order: str, context: ToolContext) -> dict[str, str]:
    """Look up an order."""
    context.progress("I am in the archive.")
    if not order.isdigit():
        raise ToolError("That is no order number.")
    context.progress("I have found it.")
    return {"order": order, "arrives": "Thursday"}


@tool(mode="queued", effects="once", filler="I am paying it back.")
def refund(order: str) -> str:
    """Pay an order back."""
    done.append(order)
    return "done"


@tool
async def stock(article: str) -> int:
    """Count an article."""
    await asyncio.sleep(5)
    done.append(article)
    return 7


@tool
def breaks() -> None:
    """Break."""
    raise KeyError("secret")


@tool(secrets=["KEY"])
def arrival(found: Annotated[dict[str, str], Needs("order_status")], order: str, context: ToolContext) -> str:
    """Tell when an order arrives."""
    return f"{found['arrives']} {context.secrets['KEY']}"


def asked(scene: Scene, seconds: float = 12.0) -> None:
    scene.takes(order_status, 2, 2, seconds - 4)
    scene.caller_says("Where is my order 427?")
    scene.model_calls(order_status, order="427")


def test_a_question_a_filler_an_answer_in_that_order_and_at_these_seconds() -> None:
    with Scene(order_status, agent=Agent(greeting="Hello, this is the order desk.")) as scene:
        hello = scene.hears("order desk")
        scene.takes(order_status, 2, 3, 7)
        question = scene.caller_says("Where is my order 427?")
        scene.model_calls(order_status, order="427")
        called = scene.now
        look = scene.hears("Let me look that order up.")
        scene.hears("in the archive")
        scene.hears("found it")
        told = scene.model_is_told(order_status)
        scene.model_says("It arrives on Thursday.")
        answer = scene.hears("Thursday")
    assert hello.at == pytest.approx(0.4, abs=0.03) and question.at >= (hello.until or 99)
    assert called == pytest.approx((question.until or 0) + 0.4, abs=0.03)
    assert look.who == "filler" and look.at == pytest.approx(called + 0.5 + 0.4, abs=0.05)  # grace and latency
    assert told.at == pytest.approx(called + 12, abs=0.05)
    assert (told.status, told.value["arrives"]) == ("ok", "Thursday")
    assert answer.who == "agent" and answer.at == pytest.approx(told.at + 0.4, abs=0.05)
    (run,) = scene.runs(order_status)
    assert run.arguments == {"order": "427"} and run.how == "returned" and run.until == pytest.approx(told.at, abs=0.03)
    assert scene.record.longest_tool_silence_ms <= 1200
    assert [call.fillers for call in scene.record.tool_calls] == [3]


def test_a_scene_of_minutes_waits_for_no_real_time_and_is_the_same_each_time() -> None:
    def play() -> str:
        with Scene(order_status, stock, agent=Agent(limits={"tool_seconds": 600})) as scene:
            asked(scene, 19.5)
            scene.caller_says("Do you still have it?")
            scene.model_says("I am at it.")
            scene.model_is_told(order_status)
            scene.model_says("It arrives on Thursday.")
            scene.waits(600)
        return str(scene.script)

    scripts = {play() for _ in range(2)}
    assert len(scripts) == 1


def test_who_interrupts_the_answer_hears_no_more_of_it() -> None:
    with Scene(order_status) as scene:
        asked(scene, 5)
        scene.model_is_told(order_status)
        scene.model_says("It was shipped from our store on Monday and arrives on Thursday.")
        answer = scene.hears("from our store")
        scene.caller_says("Stop, please.", interrupting=True)
        scene.model_says("Yes?")
        scene.hears("yes?")
        assert answer.cut and "Thursday" not in answer.text
    assert len(scene.record.barge_ins) == 1


def test_a_barge_in_does_not_cancel_the_tool_and_its_result_is_told_after_it() -> None:
    with Scene(order_status) as scene:
        asked(scene, 6)
        scene.hears("Let me look")
        scene.caller_says("Oh, and what is the weather like?", interrupting=True)
        scene.model_says("I can't tell you that.")
        scene.model_is_told(order_status)
        scene.model_says("It arrives on Thursday.")
        scene.hears("Thursday")
    assert [run.how for run in scene.runs(order_status)] == ["returned"]


def test_two_tools_at_once_are_answered_together() -> None:
    with Scene(order_status, stock) as scene:
        scene.takes(order_status, 0, 0, 3)
        scene.caller_says("Where is my order, and do you have twelve?")
        scene.model_calls(Call(order_status, order="427"), Call(stock, article="12"))
        scene.model_is_told(order_status)
        told = scene.model_is_told(stock)
        assert told.value == {"result": 7}
        scene.model_says("Thursday, and seven.")
        assert scene.hears("seven").at > told.at
    assert [run.at for run in scene.runs(stock)] == pytest.approx(
        [run.at for run in scene.runs(order_status)], abs=0.02
    )


def test_the_caller_has_a_tool_cancelled_by_voice() -> None:
    with Scene(stock, order_status) as scene:
        scene.caller_says("Do you have article twelve?")
        scene.model_calls(stock, article="12")
        scene.caller_says("Never mind.")
        scene.model_calls("cancel_job", job="stock")
        scene.model_is_told("cancel_job")
        assert scene.model_is_told(stock).status == "cancelled"
        scene.model_says("All right.")
        scene.hears("all right")
    assert done == [] and [run.how for run in scene.runs(stock)] == ["cancelled"]


def test_a_tool_whose_effect_counts_is_unknown_when_its_time_is_up_and_done_once() -> None:
    with Scene(refund) as scene:
        scene.takes(refund, 30)
        scene.caller_says("I want my money back.")
        scene.model_calls(refund, order="427")
        told = scene.model_is_told(refund)
        assert told.status == "unknown" and told.at == pytest.approx(scene.runs(refund)[0].at + 20, abs=0.05)
        scene.model_says("I can't tell whether it was done.")
        scene.hears("can't tell")
    assert done == ["427"] and len(scene.runs(refund)) == 1


def test_what_the_model_gets_wrong_never_reaches_the_function() -> None:
    with Scene(order_status) as scene:
        scene.caller_says("Where is my order?")
        scene.model_calls(order_status, number="427")
        assert "order" in scene.model_is_told(order_status).value["error"]
        scene.model_calls(Call(order_status, "{"))
        assert scene.model_is_told(order_status).status == "invalid"
        scene.model_calls("order_stauts", order="1")
        assert "Did you mean 'order_status'" in scene.model_is_told("Did you mean").text
        scene.model_calls(order_status, order="abc")
        assert scene.model_is_told(order_status).value["error"] == "That is no order number."
    assert len(scene.runs(order_status)) == 1


def test_what_breaks_is_told_without_its_words_and_stands_in_the_script() -> None:
    with Scene(breaks) as scene:
        scene.caller_says("Do it.")
        scene.model_calls(breaks)
        assert "secret" not in scene.model_is_told(breaks).output
    assert "breaks raised KeyError('secret')" in str(scene.script)


def test_hanging_up_cancels_what_is_of_no_use_then_and_leaves_the_rest() -> None:
    with Scene(order_status, refund) as scene:
        scene.takes(order_status, 0, 0, 12)
        scene.takes(refund, 15)
        scene.caller_says("Both, please.")
        scene.model_calls(Call(order_status, order="427"), Call(refund, order="427"))
        scene.waits(2)
        scene.caller_hangs_up()
        assert [run.how for run in scene.runs(order_status)] == ["cancelled"]
        scene.waits(20)
        assert [run.how for run in scene.runs(refund)] == ["returned"]
        with pytest.raises(SceneFailed, match="the caller can't speak: the call is over"):
            scene.caller_says("Hello?", interrupting=True)
    assert scene.record.outcome == "completed"


def test_keys_reach_the_model_as_one_item_and_want_an_answer() -> None:
    with Scene(order_status) as scene:
        scene.caller_types("427#")
        scene.model_is_told("on the keypad: 427")
        scene.model_calls(order_status, order="427")
        typed = scene.caller_types("9")
        told = scene.model_is_told("on the keypad: 9")
        assert told.at == pytest.approx(typed.at + 2, abs=0.1)


def test_who_says_nothing_is_asked_and_then_let_go() -> None:
    with Scene() as scene:
        asked = scene.hears("Are you still there?")
        assert asked.at == pytest.approx(20.4, abs=0.1)
        scene.hears("Goodbye")
        scene.agent_hangs_up()
    assert scene.record.outcome == "completed"


def test_the_agent_hangs_up_after_its_goodbye_was_heard() -> None:
    with Scene() as scene:
        scene.caller_says("Goodbye.")
        scene.model_says("Goodbye, and thank you for calling.", Call("end_call"))
        goodbye = scene.hears("thank you for calling")
        assert scene.agent_hangs_up().at >= (goodbye.until or 99)


def test_the_agent_file_counts(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "from tools import tool\n\n@tool\ndef opening_hours(day: str) -> str:\n"
        '    """Tell when the shop is open."""\n    return "from nine to five"\n'
    )
    (tmp_path / "agent.toml").write_text(
        'greeting = "Welcome."\n[fillers]\ntone = false\ngrace_ms = 2000\n'
        '[tools]\nmodules = ["shop.py"]\nexposure = "registry"\nmax_runs_of = {opening_hours = 1}\n'
    )
    with Scene(agent=tmp_path / "agent.toml") as scene:
        scene.hears("Welcome")
        scene.takes("opening_hours", 10)
        scene.caller_says("When are you open?")
        scene.model_calls("list_tools")
        assert scene.model_is_told("list_tools").value["tools"][0]["name"] == "opening_hours"
        scene.model_calls("opening_hours", day="Monday")
        called = scene.now
        assert scene.hears("One moment").at == pytest.approx(called + 2.4, abs=0.1)
        assert scene.model_is_told("opening_hours").value == {"result": "from nine to five"}
        scene.model_calls("opening_hours", day="Sunday")
        assert scene.model_is_told("opening_hours").status == "unavailable"
    assert not any(line.who == "tone" for line in scene.script.lines)


def test_a_lost_connection_loses_no_tool() -> None:
    with Scene(order_status) as scene:
        asked(scene, 6)
        scene.model_is_lost()
        scene.model_is_told("Where is my order 427?")  # the conversation so far, for the new session
        scene.model_is_told(order_status)
        scene.model_says("It arrives on Thursday.")
        scene.hears("Thursday")
    assert len(scene.runs(order_status)) == 1


def test_tools_that_need_each_other_and_secrets() -> None:
    with Scene(arrival, order_status, secrets={"KEY": "k"}) as scene:
        scene.caller_says("When does it come?")
        scene.model_calls(arrival, order="427")
        assert scene.model_is_told(arrival).value == {"result": "Thursday k"}


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_what_is_not_heard_fails_with_the_whole_dialogue() -> None:
    with pytest.raises(SceneFailed) as failed, Scene(order_status) as scene:
        asked(scene)
        scene.hears("Let me look")
        scene.hears("an elephant", within=10)
    text = str(failed.value)
    assert text.startswith("in vain for 10 s: the caller to hear 'an elephant'\n")
    for part in (
        "0.00  caller  Where is my order 427?",
        'model   order_status({"order": "427"})',
        "filler  Let me look",
    ):
        assert part in text


def test_what_came_before_does_not_count() -> None:
    with pytest.raises(SceneFailed, match="the caller to hear 'Where'|Let me look"), Scene(order_status) as scene:
        asked(scene, 5)
        scene.model_is_told(order_status)
        scene.hears("Let me look", within=5)


def test_a_model_without_words_is_said_so() -> None:
    with pytest.raises(SceneFailed, match="the model has its turn, and the scene no words for it"), Scene() as scene:
        scene.caller_says("Hello?")
        scene.hears("Hello", within=3)


def test_a_model_whose_turn_does_not_come_is_said_so() -> None:
    with pytest.raises(SceneFailed, match="in vain for 3 s: the model's turn"), Scene() as scene:
        scene.model_says("I was not asked.", within=3)


def test_a_plain_assertion_has_the_dialogue_with_it() -> None:
    with pytest.raises(AssertionError) as failed, Scene() as scene:
        scene.caller_says("Hello?")
        assert not scene.script.lines
    assert "0.00  caller  Hello?" in failed.value.__notes__[0]


async def test_in_an_async_test_it_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="write the test as `def`"):
        Scene().__enter__()


def test_what_is_no_tool_is_refused_with_words() -> None:
    with pytest.raises(ToolDefinitionError, match="is no tool: put @tool"):
        Scene(print)


def test_an_agent_that_can_not_begin_leaves_nothing_open() -> None:
    with pytest.raises(AgentFileError, match='write "module:function"'):
        Scene(agent=Agent(tools={"hook": "nonsense"})).__enter__()
