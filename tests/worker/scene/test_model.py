"""A scene's model behaves as the service does where a session depends on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from worker.realtime import base
from worker.realtime import events as realtime
from worker.realtime.openai.codec import OpenAICodec
from worker.scene.clock import SceneLoop
from worker.scene.model import Asked, SceneModel, speech_s

CODEC = OpenAICodec()


def play(body: Callable[[SceneModel, list[Any]], Any]) -> list[Any]:
    """Run it against a model that is connected; returns the model's events."""
    loop, events = SceneLoop(), list[Any]()

    async def main() -> None:
        model = SceneModel(0.4, lambda call, text: events.append((call, text)), lambda tool, arguments: None)
        model.connect(events.append)
        await body(model, events)

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    return events


def kinds(events: list[Any]) -> list[str]:
    return [type(event).__name__ for event in events]


def ask(model: SceneModel, **request: Any) -> None:
    for frame in CODEC.create_response(base.ResponseRequest(**request)):
        model.take(frame)


def test_the_callers_turn_begins_a_response_that_waits_for_its_words() -> None:
    async def body(model: SceneModel, events: list[Any]) -> None:
        model.caller_begins()
        model.caller_ends("Hello?")
        assert model.waits_for_words
        await asyncio.sleep(10)
        assert kinds(events)[-1] == "ResponseStarted"
        model.say("Hi.", (Asked("look", "look", "{}"),))
        assert model.about_to_speak and not model.waits_for_words
        await asyncio.sleep(1)

    events = play(body)
    assert kinds(events) == [
        *("SpeechStarted", "SpeechStopped", "ItemCreated", "CallerTranscript", "ResponseStarted"),
        *("AgentTranscript", "AudioDelta", "AudioDone", "ToolCallRequested", "ResponseDone"),
    ]
    assert len(events[6].audio) == 48_000 * speech_s("Hi.")


def test_what_is_to_be_said_word_for_word_is_said_also_beside_a_response() -> None:
    async def body(model: SceneModel, events: list[Any]) -> None:
        ask(model, metadata={"purpose": "resume"})
        ask(model, instructions="Say exactly: One moment.", out_of_band=True, metadata={"purpose": "filler"})
        await asyncio.sleep(1)
        assert model.waits_for_words

    events = play(body)
    assert [event.text for event in events if isinstance(event, realtime.AgentTranscript)] == ["One moment."]
    assert [event.metadata["purpose"] for event in events if isinstance(event, realtime.ResponseDone)] == ["filler"]


def test_a_second_response_in_the_conversation_is_refused() -> None:
    async def body(model: SceneModel, events: list[Any]) -> None:
        ask(model, metadata={"purpose": "resume"})
        ask(model, metadata={"purpose": "tool_result"})
        await asyncio.sleep(1)

    error = play(body)[-1]
    assert isinstance(error, realtime.ProviderError) and error.request == "create_response"
    assert (error.code, error.metadata) == ("conversation_already_has_active_response", {"purpose": "tool_result"})


@pytest.mark.parametrize("interrupts", [True, False])
def test_the_callers_voice_interrupts_a_response_where_it_is_to(interrupts: bool) -> None:
    async def body(model: SceneModel, events: list[Any]) -> None:
        model.interrupts = interrupts
        ask(model)
        await asyncio.sleep(0)
        model.say("It arrives on Thursday.", ())
        model.caller_begins()
        await asyncio.sleep(1)

    events = play(body)
    (done,) = [event for event in events if isinstance(event, realtime.ResponseDone)]
    assert done.status == ("cancelled" if interrupts else "completed")
    assert ("AudioDelta" in kinds(events)) is not interrupts


def test_what_is_cancelled_says_nothing_more_and_what_it_is_given_is_told() -> None:
    async def body(model: SceneModel, events: list[Any]) -> None:
        ask(model, instructions="Say exactly: Hello.")
        model.take(*CODEC.cancel_response())
        model.take(*CODEC.tool_output("call_1", '{"a":1}'))
        model.take(*CODEC.message("user", "The caller typed 4."))
        await asyncio.sleep(1)

    events = play(body)
    assert "AudioDelta" not in kinds(events)
    assert [event for event in events if isinstance(event, tuple)] == [
        ("call_1", '{"a":1}'),
        ("", "[user] The caller typed 4."),
    ]
