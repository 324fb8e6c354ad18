"""What the service says, as events; with hypothesis: it never raises, whatever comes."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from worker.realtime.base import ResponseRequest
from worker.realtime.events import (
    AgentTranscript,
    AgentTranscriptDelta,
    AudioDelta,
    AudioDone,
    CallerTranscript,
    GoingAway,
    ProviderError,
    ResponseDone,
    ResponseStarted,
    SessionReady,
    ToolCallRequested,
    ToolCallsWithdrawn,
    Unknown,
    Usage,
)
from worker.realtime.gemini.codec import GeminiCodec

PCM = b"\x01\x02" * 1200


class Wire:
    """A session that has begun."""

    def __init__(self) -> None:
        self.codec = GeminiCodec("models/gemini-3.8-live")
        self.codec.reset()
        assert self.says(setupComplete={"sessionId": "s1"}) == [SessionReady("s1", "pcm16k", "pcm24k")]

    def says(self, **message: Any) -> list[Any]:
        return self.codec.decode(json.dumps(message))

    def content(self, **content: Any) -> list[Any]:
        return self.says(serverContent=content)

    def audio(self, pcm: bytes = PCM) -> list[Any]:
        blob = {"mimeType": "audio/pcm;rate=24000", "data": base64.b64encode(pcm).decode()}
        return self.content(modelTurn={"parts": [{"inlineData": blob}]})


def test_a_turn_from_its_first_audio_to_generation_complete() -> None:
    wire = Wire()
    assert wire.audio() == [ResponseStarted("turn_1", {}), AudioDelta("turn_1", "turn_1", PCM)]
    assert wire.audio() == [AudioDelta("turn_1", "turn_1", PCM)]
    assert wire.content(outputTranscription={"text": "Hello "}) == [AgentTranscriptDelta("turn_1", "turn_1", "Hello ")]
    wire.content(outputTranscription={"text": "there."})
    assert wire.content(generationComplete=True) == [
        AudioDone("turn_1", "turn_1"),
        AgentTranscript("turn_1", "turn_1", "Hello there."),
        ResponseDone("turn_1", "completed"),
    ]
    assert wire.content(turnComplete=True) == []
    assert wire.audio()[0] == ResponseStarted("turn_2", {})


def test_words_that_come_after_the_end_belong_to_what_was_said() -> None:
    wire = Wire()
    wire.audio()
    wire.content(outputTranscription={"text": "Hel"}, generationComplete=True)
    assert wire.content(outputTranscription={"text": "lo"}) == [
        AgentTranscriptDelta("turn_1", "turn_1", "lo"),
        AgentTranscript("turn_1", "turn_1", "Hello"),
    ]


def test_an_interruption_cancels_and_one_of_nothing_is_no_event() -> None:
    wire = Wire()
    assert wire.content(interrupted=True) == []
    wire.audio()
    assert wire.content(interrupted=True) == [
        AudioDone("turn_1", "turn_1"),
        ResponseDone("turn_1", "cancelled", "turn_detected"),
    ]


def test_the_request_s_metadata_comes_back_unless_the_caller_spoke_meanwhile() -> None:
    wire = Wire()
    wire.codec.create_response(ResponseRequest(instructions="Hello", metadata={"purpose": "greeting"}))
    assert wire.audio()[0] == ResponseStarted("turn_1", {"purpose": "greeting"})
    (done,) = [one for one in wire.content(generationComplete=True) if isinstance(one, ResponseDone)]
    assert done.metadata == {"purpose": "greeting"}
    wire.codec.create_response(ResponseRequest(instructions="Hm", metadata={"purpose": "silence"}))
    wire.codec.activity_started("caller_1")
    wire.codec.activity_ended()
    assert wire.audio()[0] == ResponseStarted("turn_2", {})


def test_a_turn_that_says_nothing_begins_and_ends() -> None:
    wire = Wire()
    assert wire.content(turnComplete=True) == [], "nothing was asked"
    wire.codec.activity_started("caller_1")
    wire.codec.activity_ended()
    assert wire.content(turnComplete=True) == [ResponseStarted("turn_1", {}), ResponseDone("turn_1", "completed")]
    refused = wire.content(turnComplete=True, turnCompleteReason="PROHIBITED_INPUT_CONTENT")
    assert refused[-1] == ResponseDone("turn_2", "incomplete", "prohibited_input_content")
    assert wire.content(turnComplete=True, turnCompleteReason="MALFORMED_FUNCTION_CALL")[-1].status == "failed"


def test_thoughts_are_not_spoken() -> None:
    wire = Wire()
    assert wire.content(modelTurn={"parts": [{"text": "I think", "thought": True}]}) == []


def test_half_a_sample_waits_for_the_next_piece() -> None:
    wire = Wire()
    assert wire.audio(b"\x01\x02\x03")[-1] == AudioDelta("turn_1", "turn_1", b"\x01\x02")
    assert wire.audio(b"\x04")[-1] == AudioDelta("turn_1", "turn_1", b"\x03\x04")


def test_tool_calls_end_their_turn_and_come_once() -> None:
    wire = Wire()
    wire.audio()
    call = {"id": "f1", "name": "order_status", "args": {"order": "427"}}
    assert wire.says(toolCall={"functionCalls": [call]}) == [
        ToolCallRequested("turn_1", "item_f1", "f1", "order_status", '{"order":"427"}'),
        AudioDone("turn_1", "turn_1"),
        ResponseDone("turn_1", "completed"),
    ]
    assert wire.says(toolCall={"functionCalls": [call]}) == []
    assert wire.content(generationComplete=True, turnComplete=True) == []


def test_calls_without_an_id_get_one_that_no_other_call_of_the_phone_call_has() -> None:
    wire = Wire()
    ids = set()
    for _ in range(2):
        for _ in range(2):
            events = wire.says(toolCall={"functionCalls": [{"name": "a"}, {"name": "a"}]})
            ids |= {one.tool_call_id for one in events if isinstance(one, ToolCallRequested)}
        wire.codec.closed(1006, "")
        wire.codec.reset()
    assert len(ids) == 8


def test_withdrawn_calls_are_those_that_were_open() -> None:
    wire = Wire()
    wire.says(toolCall={"functionCalls": [{"id": "f1", "name": "a"}]})
    assert wire.says(toolCallCancellation={"ids": ["f1", "f9"]}) == [ToolCallsWithdrawn(("f1",))]
    assert wire.says(toolCallCancellation={"ids": ["f1"]}) == []


def test_the_caller_s_words_come_when_the_answer_begins() -> None:
    wire = Wire()
    wire.codec.activity_started("caller_1")
    assert wire.content(inputTranscription={"text": "where is "}) == []
    wire.codec.activity_ended()
    assert wire.content(inputTranscription={"text": "my order"}) == []
    assert wire.audio()[0] == CallerTranscript("caller_1", "where is my order")
    assert wire.content(inputTranscription={"text": "?"}) == [CallerTranscript("caller_1", "where is my order?")]


def test_usage_by_modality_in_either_spelling() -> None:
    wire = Wire()
    wire.audio()
    gemini = {
        "promptTokenCount": 100,
        "responseTokenCount": 40,
        "thoughtsTokenCount": 2,
        "cachedContentTokenCount": 10,
        "promptTokensDetails": [
            {"modality": "AUDIO", "tokenCount": 60},
            {"modality": "TEXT", "tokenCount": 40},
        ],
        "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 40}],
    }
    assert wire.says(usageMetadata=gemini) == [Usage("turn_1", 100, 42, 10, 60, 40)]
    vertex = {"promptTokenCount": 7, "candidatesTokenCount": 3}
    assert wire.says(usageMetadata=vertex) == [Usage("turn_1", 7, 3)]


def test_going_away_and_what_nobody_knows() -> None:
    wire = Wire()
    assert wire.says(goAway={"timeLeft": "49.5s"}) == [GoingAway(49.5)]
    assert wire.says(surprise={}) == [Unknown("surprise")]
    assert wire.says(voiceActivity={"type": "ACTIVITY_START"}) == []
    assert wire.says(setupComplete={}) == [], "once"


def test_one_message_may_say_several_things() -> None:
    wire = Wire()
    blob = {"data": base64.b64encode(PCM).decode()}
    kinds = [
        type(one)
        for one in wire.content(
            modelTurn={"parts": [{"inlineData": blob}]},
            outputTranscription={"text": "Yes."},
            generationComplete=True,
            turnComplete=True,
        )
    ]
    assert kinds == [ResponseStarted, AudioDelta, AgentTranscriptDelta, AudioDone, AgentTranscript, ResponseDone]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "serverContent toolCall toolCallCancellation goAway sessionResumptionUpdate usageMetadata "
                "setupComplete "
                "modelTurn parts inlineData data functionCalls id name args ids timeLeft newHandle resumable text "
                "inputTranscription outputTranscription interrupted generationComplete turnComplete".split()
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(JSON | st.binary(max_size=20), max_size=5))
def test_nothing_that_comes_makes_it_raise(messages: list[Any]) -> None:
    codec = GeminiCodec("models/gemini-3.8-live")
    codec.reset()
    for message in messages:
        raw = message if isinstance(message, bytes) else json.dumps(message).encode()
        for event in codec.decode(raw):
            assert not (isinstance(event, ProviderError) and event.fatal)
