"""Every frame that the codec sends is one that the SDK's own client types accept, with no field they don't know."""

import base64
import json

import openai.types.realtime as sdk
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.realtime.realtime_client_event import RealtimeClientEvent
from pydantic import BaseModel, TypeAdapter

from worker.realtime.base import OpenCall, ResponseRequest, SessionConfig
from worker.realtime.openai.codec import REMEMBERED, OpenAICodec

CLIENT_EVENT = TypeAdapter(RealtimeClientEvent)
TOOL = {
    "type": "function",
    "name": "order_status",
    "description": "Look up an order.",
    "parameters": {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]},
}


def valid(frames: list[bytes] | bytes) -> BaseModel:
    """The one frame as the SDK's type of that name; fails on a wrong, missing or unknown field."""
    [frame] = [frames] if isinstance(frames, bytes) else frames
    kind = json.loads(frame)["type"]
    event = CLIENT_EVENT.validate_json(frame, strict=True)
    assert event.type == kind
    assert unknown_fields(event) == []
    return event


def unknown_fields(value: object, path: str = "") -> list[str]:
    """The SDK's models keep fields that they don't know: find them."""
    if isinstance(value, BaseModel):
        found = [f"{path}.{name}" for name in value.model_extra or {}]
        for name in type(value).model_fields:
            found += unknown_fields(getattr(value, name), f"{path}.{name}")
        return found
    if isinstance(value, list):
        return [each for item in value for each in unknown_fields(item, f"{path}[]")]
    return []


def test_the_check_itself_notices_a_field_that_the_sdk_does_not_know():
    frame = b'{"type":"response.create","response":{"modalities":["audio"]}}'
    with pytest.raises(AssertionError, match="modalities"):
        valid(frame)


class TestSessionUpdate:
    def test_defaults(self):
        session = valid(OpenAICodec().session_update(SessionConfig())).session
        assert session.type == "realtime"
        assert session.output_modalities == ["audio"]
        assert (session.audio.input.format.type, session.audio.input.format.rate) == ("audio/pcm", 24000)
        assert session.audio.input.turn_detection.type == "server_vad"
        assert session.audio.input.transcription is None
        assert session.tools == []
        assert session.instructions is None, "the provider's own stay"
        assert session.audio.output.voice is None

    def test_everything(self):
        config = SessionConfig(
            instructions="Be brief.",
            voice="marin",
            tools=(TOOL,),
            tool_choice="order_status",
            language="de",
            transcription_model="gpt-transcribe",
            turn_detection={"type": "semantic_vad", "eagerness": "high", "create_response": True},
            input_format="pcmu",
            output_format="pcma",
            extra={
                "audio": {"input": {"noise_reduction": {"type": "near_field"}}, "output": {"speed": 1.1}},
                "max_output_tokens": 800,
            },
        )
        session = valid(OpenAICodec().session_update(config)).session
        assert session.instructions == "Be brief."
        assert session.tools[0].name == "order_status"
        assert session.tool_choice.name == "order_status"
        heard, spoken = session.audio.input, session.audio.output
        assert (heard.format.type, spoken.format.type) == ("audio/pcmu", "audio/pcma")
        assert (heard.transcription.model, heard.transcription.language) == ("gpt-transcribe", "de")
        assert heard.turn_detection.eagerness == "high"
        assert heard.noise_reduction.type == "near_field"
        assert (spoken.voice, spoken.speed) == ("marin", 1.1)
        assert session.max_output_tokens == 800

    def test_no_turn_detection_is_said_and_not_left_out(self):
        [frame] = OpenAICodec().session_update(SessionConfig(turn_detection=None))
        valid(frame)
        assert json.loads(frame)["session"]["audio"]["input"]["turn_detection"] is None

    def test_language_without_a_transcriber_is_left_out(self):
        [frame] = OpenAICodec().session_update(SessionConfig(language="en"))
        assert json.loads(frame)["session"]["audio"]["input"]["transcription"] is None

    def test_unknown_format_is_our_error(self):
        with pytest.raises(ValueError, match="no format pcm16k; it has pcm24k, pcmu, pcma"):
            OpenAICodec().session_update(SessionConfig(output_format="pcm16k"))


class TestAppend:
    @given(st.binary(max_size=4000))
    def test_is_what_the_sdk_reads_back(self, pcm):
        event = valid(OpenAICodec().append(pcm))
        assert isinstance(event, sdk.InputAudioBufferAppendEvent)
        assert base64.b64decode(event.audio, validate=True) == pcm


class TestItems:
    def test_tool_output(self):
        item = valid(OpenAICodec().tool_output("call_1", '{"order":"427"}')).item
        assert isinstance(item, sdk.RealtimeConversationItemFunctionCallOutput)
        assert (item.call_id, item.output) == ("call_1", '{"order":"427"}')

    def test_tool_call_of_an_earlier_session(self):
        item = valid(OpenAICodec().history([], [OpenCall("call_1", "order_status", '{"order":"427"}')])).item
        assert isinstance(item, sdk.RealtimeConversationItemFunctionCall)
        assert (item.call_id, item.name, item.arguments) == ("call_1", "order_status", '{"order":"427"}')

    @pytest.mark.parametrize(
        ("role", "kind"), [("user", "input_text"), ("system", "input_text"), ("assistant", "output_text")]
    )
    def test_message(self, role, kind):
        item = valid(OpenAICodec().message(role, "Grüß Gott 👋")).item
        assert (item.role, item.content[0].type, item.content[0].text) == (role, kind, "Grüß Gott 👋")

    @pytest.mark.parametrize(("asked", "sent"), [(1480, 1480), (0, 0), (-20, 0), (1480.7, 1480)])
    def test_truncate(self, asked, sent):
        event = valid(OpenAICodec().truncate("item_1", asked))
        assert (event.item_id, event.content_index, event.audio_end_ms) == ("item_1", 0, sent)

    def test_delete(self):
        assert valid(OpenAICodec().delete_item("item_1")).item_id == "item_1"


class TestResponses:
    def test_plain(self):
        event = valid(OpenAICodec().create_response(ResponseRequest()))
        assert event.response is None

    def test_in_band_with_instructions_and_metadata(self):
        request = ResponseRequest(instructions="Say exactly: One moment.", metadata={"purpose": "greeting"})
        response = valid(OpenAICodec().create_response(request)).response
        assert response.instructions == "Say exactly: One moment."
        assert response.metadata == {"purpose": "greeting"}
        assert response.conversation is None and response.input is None and response.tools is None

    def test_out_of_band(self):
        request = ResponseRequest(out_of_band=True, input_text="Say exactly: One moment.", tools=(), tool_choice="none")
        response = valid(OpenAICodec().create_response(request)).response
        assert response.conversation == "none"
        assert [(item.role, item.content[0].text) for item in response.input] == [("user", "Say exactly: One moment.")]
        assert response.tools == [] and response.tool_choice == "none"

    def test_with_its_own_tools(self):
        request = ResponseRequest(tools=(TOOL,), tool_choice="order_status")
        response = valid(OpenAICodec().create_response(request)).response
        assert response.tools[0].parameters == TOOL["parameters"]
        assert response.tool_choice.name == "order_status"

    def test_cancel(self):
        assert valid(OpenAICodec().cancel_response("resp_1")).response_id == "resp_1"
        assert "response_id" not in json.loads(*OpenAICodec().cancel_response())


class TestEventIds:
    def test_each_frame_has_its_own_also_after_a_reset(self):
        codec = OpenAICodec()
        frames = [*codec.cancel_response(), *codec.delete_item("i"), *codec.session_update(SessionConfig())]
        codec.reset()
        frames += codec.cancel_response()
        ids = [json.loads(frame)["event_id"] for frame in frames]
        assert len(set(ids)) == 4

    def test_memory_of_them_is_bounded(self):
        codec = OpenAICodec()
        first = json.loads(*codec.delete_item("i"))["event_id"]
        for _ in range(REMEMBERED):
            last = json.loads(*codec.truncate("i", 10))["event_id"]
        errors = [codec.decode(json.dumps({"type": "error", "error": {"event_id": e}}))[0] for e in (first, last)]
        assert [error.request for error in errors] == [None, "truncate"]
