"""Who is asked whether they take a call: what they are told, and how they answer."""

from __future__ import annotations

import pytest

from worker.agent.agent import Agent
from worker.call.consult import FUNCTIONS, KEYS, Consult, caller_gone_words, consult_agent
from worker.turns.events import StartTool

DESK = Agent(
    name="desk",
    greeting="Hello.",
    instructions="Sell shoes.",
    voice="cedar",
    transfer=({"label": "boss", "uri": "sip:1@pbx.example.com"},),
    provider={"temperature": 0.8},
)


def test_they_are_told_the_summary_in_the_agents_voice() -> None:
    agent = consult_agent(DESK, None, "Ann wants red shoes")
    assert agent.greeting.startswith("Hello, I have a caller for you. Ann wants red shoes. Press 1 or say that")
    assert agent.greeting in agent.instructions, "who answers with a word speaks over it"
    assert "Ann wants red shoes" in agent.instructions and "Sell shoes" not in agent.instructions
    assert (agent.voice, agent.provider) == ("cedar", {"temperature": 0.8})


def test_they_can_neither_hand_it_on_nor_use_the_callers_tools() -> None:
    agent = consult_agent(DESK, None, "")
    assert (agent.transfer, agent.tools.allow, agent.tools.end_call, agent.later.ways) == ((), (), False, ())


@pytest.mark.parametrize(
    ("language", "begins"), [("de-AT", "Guten Tag"), ("fr", "Bonjour"), ("es-MX", "Hola"), ("pl", "Hello")]
)
def test_in_the_agents_language(language: str, begins: str) -> None:
    assert consult_agent(DESK.model_copy(update={"language": language}), None, "x").greeting.startswith(begins)
    assert caller_gone_words(language).endswith(("Auf Wiederhören.", "Au revoir.", "Adiós.", "Goodbye."))


def test_the_operators_words_come_first() -> None:
    agent = consult_agent(DESK, "A call: {summary} Press one.", "Is it red? {summary}")
    assert agent.greeting == "A call: Is it red? {summary}. Press one."


def test_without_a_summary_it_is_still_a_sentence() -> None:
    assert consult_agent(DESK, None, "").greeting.startswith("Hello, I have a caller for you. Press 1")


async def test_voice_and_keys_say_the_same() -> None:
    said: list[bool] = []
    functions = Consult(said.append).functions
    assert [one["name"] for one in FUNCTIONS] == list(functions)
    for name in functions:
        assert await functions[name](StartTool("t1", name, "{}")) is None
    assert said == [True, False] and dict(KEYS) == {"1": True, "2": False}
