"""Whether an agent's barge-ins may be withdrawn: what its session is asked for, and what the turn machine goes by."""

from __future__ import annotations

from typing import Any

import pytest

from tools.run.catalog import Catalog
from tools.run.inline import InlineRunner
from worker.agent.agent import Agent
from worker.call.config import session_config, turn_config
from worker.call.interruption import hindrance
from worker.call_tools.exposure import view_of
from worker.realtime.base import SERVER_VAD, Codec
from worker.realtime.gemini.codec import GeminiCodec
from worker.realtime.openai.codec import OpenAICodec
from worker.realtime.openai.wire import session_object

OURS = {"type": "server_vad", "create_response": False, "interrupt_response": False}


def detection(agent: Agent, *, flat: bool = False) -> Any:
    session = session_object(session_config(agent, view_of((), "direct", most_tokens=1000)), flat_turn_detection=flat)
    return session["turn_detection"] if flat else session["audio"]["input"]["turn_detection"]


def turns(agent: Agent, codec: Codec) -> tuple[bool, bool, bool]:
    config = turn_config(agent, Catalog((), inline=InlineRunner()), codec)
    return config.reversible, config.server_responds, config.server_interrupts


def reversible(**provider: Any) -> Agent:
    return Agent(interruption="reversible", provider=provider)


def test_an_agent_is_exact_unless_its_file_says_otherwise() -> None:
    assert detection(Agent()) == SERVER_VAD
    assert turns(Agent(), OpenAICodec()) == (False, True, True)


def test_a_reversible_one_asks_the_server_for_neither() -> None:
    assert detection(reversible()) == OURS
    assert detection(reversible(), flat=True) == OURS
    assert turns(reversible(), OpenAICodec()) == (True, False, False)


def test_other_options_of_turn_detection_stand_beside_it() -> None:
    agent = reversible(audio={"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "low"}}})
    assert detection(agent) == {**OURS, "type": "semantic_vad", "eagerness": "low"}
    assert turns(agent, OpenAICodec()) == (True, False, False)


@pytest.mark.parametrize("key", ["create_response", "interrupt_response"])
def test_one_whose_options_ask_for_it_stays_exact(key: str) -> None:
    agent = reversible(audio={"input": {"turn_detection": {key: True}}})
    assert detection(agent) == SERVER_VAD
    assert turns(agent, OpenAICodec()) == (False, True, True)
    assert key in hindrance(agent, OpenAICodec().capabilities)


def test_gemini_is_interrupted_by_every_activity_and_stays_exact() -> None:
    codec = GeminiCodec("models/gemini-3.8-live")
    assert turns(reversible(), codec)[0] is False
    assert "this provider" in hindrance(reversible(), codec.capabilities)
