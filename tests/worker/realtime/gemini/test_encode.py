"""What the codec sends, held against the SDK's own types: every field is one that the service knows."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pydantic
import pytest
from google.genai import types

from worker.realtime.base import Entry, Frame, OpenCall, ResponseRequest, SessionConfig
from worker.realtime.gemini.codec import GeminiCodec

TOOL = {
    "type": "function",
    "name": "order_status",
    "description": "Look up an order.",
    "parameters": {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]},
}
CONFIG = SessionConfig(
    instructions="Be brief.", voice="Kore", tools=(TOOL,), input_format="pcm16k", output_format="pcm24k"
)
MODEL = "models/gemini-3.8-live"
BLOCKING = "models/gemini-3.1-flash-live-preview"


def snake(value: Any) -> Any:
    """A message in the SDK's own spelling: keys only, but for those of schemas and of tools' outputs."""
    if isinstance(value, dict):
        return {
            re.sub("([A-Z])", r"_\1", key).lower(): child
            if key in ("parametersJsonSchema", "response")
            else snake(child)
            for key, child in value.items()
        }
    return [snake(one) for one in value] if isinstance(value, list) else value


def valid(frame: Frame) -> dict[str, Any]:
    """The message, if the SDK's types have all its fields."""
    message: dict[str, Any] = json.loads(frame)
    body = snake(message)
    audio = body.get("realtime_input", {}).get("audio")
    if audio is not None:
        assert base64.b64decode(audio["data"], validate=True)
    # The SDK sends this with the setup, and lists it among the configuration's fields only.
    realtime = body.get("setup", {}).pop("realtime_input_config", {})
    try:
        types.RealtimeInputConfig.model_validate(realtime)
        types.LiveClientMessage.model_validate(body)
    except pydantic.ValidationError as error:
        raise AssertionError(f"{message}: {error}") from error
    return message


def sent(frames: list[Frame]) -> dict[str, Any]:
    (frame,) = frames
    return valid(frame)


def begun(model: str = MODEL, config: SessionConfig = CONFIG) -> GeminiCodec:
    codec = GeminiCodec(model)
    codec.reset()
    codec.session_update(config)
    codec.decode(b'{"setupComplete":{"sessionId":"s1"}}')
    return codec


def calls(codec: GeminiCodec, *ids: str) -> None:
    asked = [{"id": one, "name": "order_status", "args": {"order": "427"}} for one in ids]
    codec.decode(json.dumps({"toolCall": {"functionCalls": asked}}))


class TestSetup:
    def test_has_all_that_a_telephone_call_needs(self) -> None:
        codec = GeminiCodec(MODEL)
        codec.reset()
        setup = sent(codec.session_update(CONFIG))["setup"]
        assert setup["model"] == MODEL
        assert setup["generationConfig"]["responseModalities"] == ["AUDIO"]
        assert setup["generationConfig"]["speechConfig"]["voiceConfig"]["prebuiltVoiceConfig"]["voiceName"] == "Kore"
        assert setup["systemInstruction"]["parts"] == [{"text": "Be brief."}]
        (declared,) = setup["tools"][0]["functionDeclarations"]
        assert declared["parametersJsonSchema"] == TOOL["parameters"] and declared["behavior"] == "NON_BLOCKING"
        assert setup["realtimeInputConfig"]["automaticActivityDetection"]["disabled"] is True
        assert setup["contextWindowCompression"] == {"slidingWindow": {}}
        assert setup["sessionResumption"] == {} and "historyConfig" not in setup
        assert setup["inputAudioTranscription"] == {} and setup["outputAudioTranscription"] == {}

    def test_a_blocking_model_is_not_asked_for_what_it_can_t_do(self) -> None:
        codec = GeminiCodec(BLOCKING)
        codec.reset()
        (declared,) = sent(codec.session_update(CONFIG))["setup"]["tools"][0]["functionDeclarations"]
        assert "behavior" not in declared
        assert not codec.capabilities.talks_while_call_pending and not codec.capabilities.updates

    def test_options_of_the_agent_file_are_laid_over_it(self) -> None:
        extra = {"generationConfig": {"temperature": 0.3}, "proactivity": {"proactiveAudio": True}}
        config = SessionConfig(input_format="pcm16k", output_format="pcm24k", extra=extra)
        codec = GeminiCodec(MODEL)
        codec.reset()
        setup = sent(codec.session_update(config))["setup"]
        assert setup["generationConfig"] == {"responseModalities": ["AUDIO"], "temperature": 0.3}
        assert setup["proactivity"] == {"proactiveAudio": True}

    def test_other_formats_are_our_error(self) -> None:
        with pytest.raises(ValueError, match="pcmu"):
            GeminiCodec(MODEL).session_update(SessionConfig(input_format="pcmu", output_format="pcm24k"))

    def test_comes_once_and_a_change_is_a_context_update_where_the_model_takes_one(self) -> None:
        update = sent(begun().session_update(CONFIG))["contextUpdate"]
        assert update["systemInstruction"]["parts"] == [{"text": "Be brief."}]
        assert update["tools"]["tools"][0]["functionDeclarations"][0]["name"] == "order_status"
        assert begun(BLOCKING).session_update(CONFIG) == []


class TestAudio:
    def test_append(self) -> None:
        audio = sent([begun().append(b"\x01\x02" * 640)])["realtimeInput"]["audio"]
        assert audio["mimeType"] == "audio/pcm;rate=16000"
        assert base64.b64decode(audio["data"]) == b"\x01\x02" * 640

    def test_activity(self) -> None:
        codec = begun()
        assert sent(codec.activity_started("caller_1")) == {"realtimeInput": {"activityStart": {}}}
        assert sent(codec.activity_ended()) == {"realtimeInput": {"activityEnd": {}}}


class TestToolOutputs:
    def test_an_output_waits_for_the_response_that_tells_it(self) -> None:
        codec = begun()
        calls(codec, "f1")
        assert codec.tool_output("f1", '{"status":"shipped"}') == []
        (answer,) = sent(codec.create_response(ResponseRequest()))["toolResponse"]["functionResponses"]
        assert answer == {
            "id": "f1",
            "name": "order_status",
            "response": {"output": {"status": "shipped"}},
            "scheduling": "WHEN_IDLE",
        }

    def test_of_several_one_makes_it_speak(self) -> None:
        codec = begun()
        calls(codec, "f1", "f2", "f3")
        for one in ("f1", "f2", "f3"):
            codec.tool_output(one, '"ok"')
        answers = sent(codec.create_response(ResponseRequest()))["toolResponse"]["functionResponses"]
        assert [one["scheduling"] for one in answers] == ["SILENT", "SILENT", "WHEN_IDLE"]

    def test_what_is_not_told_goes_out_at_once_and_silently(self) -> None:
        codec = begun()
        calls(codec, "f1")
        (answer,) = sent(codec.tool_output("f1", '{"status":"ending"}', told=False))["toolResponse"][
            "functionResponses"
        ]
        assert answer["scheduling"] == "SILENT"

    @pytest.mark.parametrize("output", ["null", "{}", "[]", '""'])
    def test_an_empty_output_is_never_sent(self, output: str) -> None:
        codec = begun()
        calls(codec, "f1")
        (answer,) = sent(codec.tool_output("f1", output, told=False))["toolResponse"]["functionResponses"]
        assert answer["response"]["output"]

    def test_given_words_leave_outputs_for_their_own_response(self) -> None:
        codec = begun()
        calls(codec, "f1")
        codec.tool_output("f1", '"ok"')
        turns = sent(codec.create_response(ResponseRequest(instructions="Say hello.")))["clientContent"]
        assert turns == {"turns": [{"role": "user", "parts": [{"text": "Say hello."}]}], "turnComplete": True}
        assert "toolResponse" in sent(codec.create_response(ResponseRequest()))

    def test_one_call_never_gets_two_answers(self) -> None:
        codec = begun()
        calls(codec, "f1")
        assert "toolResponse" in sent(codec.tool_output("f1", '{"status":"pending"}', told=False))
        assert codec.tool_output("f1", '{"status":"pending"}', told=False) == []
        assert codec.tool_output("f1", '"late"') == []
        text = json.dumps(sent(codec.create_response(ResponseRequest()))["clientContent"])
        assert "order_status" in text and "late" in text

    def test_a_withdrawn_call_gets_no_answer_and_its_result_is_told_as_text(self) -> None:
        codec = begun()
        calls(codec, "f1")
        codec.decode(b'{"toolCallCancellation":{"ids":["f1"]}}')
        assert codec.tool_output("f1", '{"status":"shipped"}') == []
        assert "shipped" in json.dumps(sent(codec.create_response(ResponseRequest()))["clientContent"])

    def test_a_call_without_an_id_is_answered_by_its_name(self) -> None:
        codec = begun()
        (asked,) = [
            event
            for event in codec.decode(b'{"toolCall":{"functionCalls":[{"name":"order_status","args":{}}]}}')
            if hasattr(event, "tool_call_id")
        ]
        codec.tool_output(asked.tool_call_id, '"ok"')
        (answer,) = sent(codec.create_response(ResponseRequest()))["toolResponse"]["functionResponses"]
        assert "id" not in answer and answer["name"] == "order_status"

    def test_a_blocking_model_is_answered_at_once_and_speaks_by_itself(self) -> None:
        codec = begun(BLOCKING)
        calls(codec, "f1")
        (answer,) = sent(codec.tool_output("f1", '"ok"'))["toolResponse"]["functionResponses"]
        assert "scheduling" not in answer
        assert codec.create_response(ResponseRequest()) == []
        assert "realtimeInput" in sent(codec.create_response(ResponseRequest())), "the next one is asked for"


class TestWords:
    def test_notes_wait_and_go_before_what_is_asked(self) -> None:
        codec = begun()
        assert codec.message("system", "(Only this was heard: Hello)") == []
        assert codec.message("user", "The caller typed on the keypad: 42") == []
        turns = sent(codec.create_response(ResponseRequest()))["clientContent"]["turns"]
        assert [turn["parts"][0]["text"] for turn in turns] == [
            "(Only this was heard: Hello)",
            "The caller typed on the keypad: 42",
        ]
        assert {turn["role"] for turn in turns} == {"user"}

    def test_notes_go_with_a_tool_s_answer(self) -> None:
        codec = begun()
        calls(codec, "f1")
        codec.message("system", "(Only this was heard: Hello)")
        codec.tool_output("f1", '"ok"')
        (answer,) = sent(codec.create_response(ResponseRequest()))["toolResponse"]["functionResponses"]
        assert answer["response"] == {"output": "ok", "note": "(Only this was heard: Hello)"}

    def test_a_model_that_takes_no_content_in_mid_session_is_spoken_to(self) -> None:
        said = sent(begun(BLOCKING).create_response(ResponseRequest(instructions="Say hello.")))
        assert said == {"realtimeInput": {"text": "Say hello."}}

    def test_what_the_service_has_not_is_not_sent(self) -> None:
        codec = begun()
        assert codec.cancel_response("turn_1") == codec.truncate("turn_1", 40) == codec.delete_item("turn_1") == []
        assert codec.create_response(ResponseRequest(out_of_band=True, instructions="hm")) == []


class TestSessions:
    def lost(self, codec: GeminiCodec) -> dict[str, Any]:
        """The setup of the session after a lost one."""
        codec.closed(1006, "cut")
        codec.reset()
        return sent(codec.session_update(CONFIG))["setup"]

    def test_a_session_is_resumed_by_its_last_handle(self) -> None:
        codec = begun()
        codec.decode(b'{"sessionResumptionUpdate":{"newHandle":"h1","resumable":true}}')
        codec.decode(b'{"sessionResumptionUpdate":{"newHandle":"h2","resumable":true}}')
        codec.decode(b'{"sessionResumptionUpdate":{"resumable":false}}')
        setup = self.lost(codec)
        assert setup["sessionResumption"] == {"handle": "h2"} and "historyConfig" not in setup
        (ready,) = codec.decode(b'{"setupComplete":{}}')
        assert ready.resumed

    @pytest.mark.parametrize("since", ["caller", "words", "call", "asked"])
    def test_a_handle_that_something_was_said_after_is_not_used(self, since: str) -> None:
        codec = begun()
        codec.decode(b'{"sessionResumptionUpdate":{"newHandle":"h1","resumable":true}}')
        if since == "caller":
            codec.activity_started("caller_1")
        elif since == "words":
            codec.decode(b'{"serverContent":{"outputTranscription":{"text":"Hello"}}}')
        elif since == "call":
            calls(codec, "f1")
        else:
            codec.create_response(ResponseRequest(instructions="Say hello."))
        assert self.lost(codec)["sessionResumption"] == {}

    def test_a_new_session_has_the_history_first(self) -> None:
        codec = begun()
        calls(codec, "f1")
        setup = self.lost(codec)
        assert setup["historyConfig"] == {"initialHistoryInClientContent": True}
        (ready,) = codec.decode(b'{"setupComplete":{}}')
        assert not ready.resumed
        said = [Entry("assistant", "Hello."), Entry("user", "My order?"), Entry("system", "(a note)")]
        history = sent(codec.history(said, [OpenCall("f1", "order_status", '{"order":"427"}')]))["clientContent"]
        assert [turn["role"] for turn in history["turns"]] == ["model", "user", "user", "user"]
        assert "order_status" in history["turns"][3]["parts"][0]["text"] and history["turnComplete"] is True
        codec.tool_output("f1", '"shipped"')
        assert "shipped" in json.dumps(sent(codec.create_response(ResponseRequest()))["clientContent"])

    def test_a_new_session_with_nothing_to_tell_is_told_that(self) -> None:
        codec = begun()
        self.lost(codec)
        assert sent(codec.history([], [])) == {"clientContent": {"turnComplete": True}}

    def test_the_first_session_is_told_nothing_where_there_is_nothing(self) -> None:
        assert begun().history([], []) == []
        brought = sent(begun().history([Entry("system", "(a call back)")], []))["clientContent"]
        assert brought["turnComplete"] is False, "the opening follows"

    def test_a_refused_handle_is_given_up(self) -> None:
        codec = begun()
        codec.decode(b'{"sessionResumptionUpdate":{"newHandle":"h1","resumable":true}}')
        self.lost(codec)
        assert codec.closed(1007, "handle expired"), "the next one may be had"
        codec.reset()
        assert sent(codec.session_update(CONFIG))["setup"]["sessionResumption"] == {}
        assert not codec.closed(1007, "no"), "not the handle's fault any more"

    def test_a_handle_that_never_leads_to_a_session_is_given_up(self) -> None:
        codec = begun()
        codec.decode(b'{"sessionResumptionUpdate":{"newHandle":"h1","resumable":true}}')
        codec.closed(1006, "")
        found = []
        for _ in range(3):
            codec.reset()
            found.append(sent(codec.session_update(CONFIG))["setup"]["sessionResumption"])
        assert found == [{"handle": "h1"}, {"handle": "h1"}, {}]

    def test_what_was_held_back_outlives_a_resumed_session_only(self) -> None:
        codec = begun()
        codec.decode(b'{"sessionResumptionUpdate":{"newHandle":"h1","resumable":true}}')
        codec.message("user", "typed 1")
        self.lost(codec)
        codec.decode(b'{"setupComplete":{}}')
        assert "typed 1" in json.dumps(sent(codec.create_response(ResponseRequest())))
        codec.message("user", "typed 2")
        self.lost(codec)
        codec.decode(b'{"setupComplete":{}}')
        assert "typed 2" not in json.dumps(sent(codec.create_response(ResponseRequest())))
