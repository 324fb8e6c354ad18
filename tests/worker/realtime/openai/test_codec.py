"""Decoding: JSON made of the SDK's own server event models in, our events out."""

import base64
import json
from typing import Any, get_args

import openai.types.realtime as sdk
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.realtime.realtime_error import RealtimeError
from openai.types.realtime.realtime_response_status import Error as StatusError
from openai.types.realtime.realtime_server_event import RealtimeServerEvent

from worker.realtime import events as realtime
from worker.realtime import remote
from worker.realtime.base import OpenCall, ResponseRequest, SessionConfig
from worker.realtime.call_ids import TOOL_CALLS
from worker.realtime.events import (
    AgentTranscript,
    AgentTranscriptDelta,
    AudioDelta,
    AudioDone,
    CallerTranscript,
    CallerTranscriptFailed,
    ItemCreated,
    ProviderError,
    ResponseDone,
    ResponseStarted,
    SessionReady,
    SpeechStarted,
    SpeechStopped,
    ToolCallRequested,
    Unknown,
)
from worker.realtime.openai.codec import OpenAICodec
from worker.realtime.openai.wire import OLD_NAMES, wire_format

SERVER_EVENTS = get_args(get_args(RealtimeServerEvent)[0])
PLACE: dict[str, Any] = {"event_id": "event_1", "response_id": "resp_1", "item_id": "item_1", "output_index": 0}
PART: dict[str, Any] = {**PLACE, "content_index": 0}
PCM = bytes(range(256)) * 10


def call_item(status: str | None = "completed", **fields: Any) -> sdk.RealtimeConversationItemFunctionCall:
    known = {"id": "item_1", "call_id": "call_1", "name": "order_status", "arguments": '{"order":"427"}'}
    return sdk.RealtimeConversationItemFunctionCall(type="function_call", status=status, **{**known, **fields})


def message_item() -> sdk.RealtimeConversationItemAssistantMessage:
    content = [{"type": "output_audio", "transcript": "Hello."}]
    return sdk.RealtimeConversationItemAssistantMessage(
        type="message", role="assistant", id="item_1", status="completed", content=content
    )


def session(heard: object = None, spoken: object = None) -> dict[str, Any]:
    audio = {"input": {"format": heard}, "output": {"format": spoken}}
    return {"id": "sess_1", "object": "realtime.session", "type": "realtime", "audio": audio}


PCM24K = {"type": "audio/pcm", "rate": 24000}


def response(status: str = "completed", **fields: Any) -> sdk.RealtimeResponse:
    return sdk.RealtimeResponse(id="resp_1", object="realtime.response", status=status, **fields)


def done(status: str = "completed", **fields: Any) -> sdk.ResponseDoneEvent:
    return sdk.ResponseDoneEvent(type="response.done", event_id="event_9", response=response(status, **fields))


def item_done(item: object) -> sdk.ResponseOutputItemDoneEvent:
    return sdk.ResponseOutputItemDoneEvent(
        type="response.output_item.done", event_id="event_8", response_id="resp_1", output_index=0, item=item
    )


REQUESTED = ToolCallRequested("resp_1", "item_1", "call_1", "order_status", '{"order":"427"}')

CASES: list[tuple[Any, list[object]]] = [
    (
        sdk.SessionUpdatedEvent.construct(type="session.updated", event_id="e", session=session(PCM24K, PCM24K)),
        [SessionReady("sess_1", "pcm24k", "pcm24k")],
    ),
    (
        sdk.InputAudioBufferSpeechStartedEvent(
            type="input_audio_buffer.speech_started", event_id="e", item_id="item_1", audio_start_ms=1240
        ),
        [SpeechStarted("item_1", 1240)],
    ),
    (
        sdk.InputAudioBufferSpeechStoppedEvent(
            type="input_audio_buffer.speech_stopped", event_id="e", item_id="item_1", audio_end_ms=3100
        ),
        [SpeechStopped("item_1", 3100)],
    ),
    (
        sdk.ResponseCreatedEvent(
            type="response.created", event_id="e", response=response("in_progress", metadata={"purpose": "greeting"})
        ),
        [ResponseStarted("resp_1", {"purpose": "greeting"})],
    ),
    (
        sdk.ResponseAudioDeltaEvent(type="response.output_audio.delta", delta=base64.b64encode(PCM).decode(), **PART),
        [AudioDelta("resp_1", "item_1", PCM)],
    ),
    (sdk.ResponseAudioDoneEvent(type="response.output_audio.done", **PART), [AudioDone("resp_1", "item_1")]),
    (
        sdk.ResponseAudioTranscriptDeltaEvent(
            type="response.output_audio_transcript.delta", delta=" your order", **PART
        ),
        [AgentTranscriptDelta("resp_1", "item_1", " your order")],
    ),
    (
        sdk.ResponseAudioTranscriptDoneEvent(
            type="response.output_audio_transcript.done", transcript="Your order is on its way.", **PART
        ),
        [AgentTranscript("resp_1", "item_1", "Your order is on its way.")],
    ),
    (
        sdk.ResponseTextDeltaEvent(type="response.output_text.delta", delta="Hi", **PART),
        [AgentTranscriptDelta("resp_1", "item_1", "Hi")],
    ),
    (
        sdk.ResponseTextDoneEvent(type="response.output_text.done", text="Hi there", **PART),
        [AgentTranscript("resp_1", "item_1", "Hi there")],
    ),
    (
        sdk.ConversationItemInputAudioTranscriptionCompletedEvent.construct(
            type="conversation.item.input_audio_transcription.completed",
            event_id="e",
            item_id="item_1",
            content_index=0,
            transcript=" What is the status?\n",
            usage={"type": "duration", "seconds": 2},
        ),
        [CallerTranscript("item_1", "What is the status?", realtime.Usage("", 0, 0, seconds=2.0))],
    ),
    (
        sdk.ConversationItemInputAudioTranscriptionFailedEvent.construct(
            type="conversation.item.input_audio_transcription.failed",
            event_id="e",
            item_id="item_1",
            content_index=0,
            error={"code": "audio_unintelligible", "message": "The audio could not be transcribed."},
        ),
        [CallerTranscriptFailed("item_1", "The audio could not be transcribed.")],
    ),
    (item_done(call_item()), [REQUESTED]),
    (item_done(call_item("incomplete")), []),
    (item_done(message_item()), []),
    (done(metadata={"purpose": "filler"}), [ResponseDone("resp_1", "completed", metadata={"purpose": "filler"})]),
    (
        done("cancelled", status_details={"type": "cancelled", "reason": "turn_detected"}),
        [ResponseDone("resp_1", "cancelled", "turn_detected")],
    ),
    (
        done("incomplete", status_details={"type": "incomplete", "reason": "content_filter"}),
        [ResponseDone("resp_1", "incomplete", "content_filter")],
    ),
    (
        done("failed", status_details={"type": "failed", "error": StatusError(code="server_error", message="Oh no")}),
        [ResponseDone("resp_1", "failed", "Oh no", "server_error")],
    ),
    (
        done("failed", status_details={"type": "failed", "error": StatusError(code="insufficient_quota", message="$")}),
        [
            ResponseDone("resp_1", "failed", "$", "insufficient_quota"),
            ProviderError("insufficient_quota", "$", fatal=True),
        ],
    ),
    (
        sdk.ConversationItemAdded(type="conversation.item.added", event_id="e", item=message_item()),
        [ItemCreated("item_1", "message", "assistant")],
    ),
    (
        sdk.ConversationItemAdded(type="conversation.item.added", event_id="e", item=call_item()),
        [ItemCreated("item_1", "function_call", "")],
    ),
    (
        sdk.RealtimeErrorEvent(
            type="error",
            event_id="e",
            error=RealtimeError(type="invalid_request_error", code="invalid_api_key", message="No."),
        ),
        [ProviderError("invalid_api_key", "No.", fatal=True)],
    ),
    (
        sdk.RealtimeErrorEvent(type="error", event_id="e", error=RealtimeError(type="server_error", message="Oops.")),
        [ProviderError("server_error", "Oops.")],
    ),
]


def wire(event: Any) -> bytes:
    return event.to_json(exclude_unset=True).encode()


@pytest.mark.parametrize(("event", "expected"), CASES, ids=lambda value: getattr(value, "type", None))
def test_decodes(event, expected):
    assert OpenAICodec().decode(wire(event)) == expected


def test_text_and_bytes_are_the_same():
    raw = wire(CASES[1][0])
    assert OpenAICodec().decode(raw.decode()) == OpenAICodec().decode(raw)


USED = {
    "input_tokens": 100,
    "output_tokens": 40,
    "total_tokens": 140,
    "input_token_details": {"text_tokens": 40, "audio_tokens": 60, "cached_tokens": 10},
    "output_token_details": {"text_tokens": 5, "audio_tokens": 35},
}


def test_what_a_response_took_comes_before_its_end():
    response = {"id": "r1", "status": "completed", "usage": USED}
    events = OpenAICodec().decode(json.dumps({"type": "response.done", "response": response}))
    assert events == [realtime.Usage("r1", 100, 40, 10, 60, 35), realtime.ResponseDone("r1", "completed")]


def test_of_what_was_cached_some_was_audio():
    taken = {**USED["input_token_details"], "cached_tokens_details": {"text_tokens": 4, "audio_tokens": 6}}
    response = {"id": "r1", "status": "completed", "usage": {**USED, "input_token_details": taken}}
    events = OpenAICodec().decode(json.dumps({"type": "response.done", "response": response}))
    assert events[0] == realtime.Usage("r1", 100, 40, 10, 60, 35, cached_audio_tokens=6)


@pytest.mark.parametrize(
    ("usage", "took"),
    [
        ({"type": "duration", "seconds": 1.4}, realtime.Usage("", 0, 0, seconds=1.4)),
        (
            {
                "type": "tokens",
                "input_tokens": 14,
                "output_tokens": 5,
                "input_token_details": {"audio_tokens": 10, "text_tokens": 4},
            },
            realtime.Usage("", 14, 5, input_audio_tokens=10),
        ),
        ({"type": "duration", "seconds": "much"}, realtime.Usage("", 0, 0)),
        ({"type": "duration", "seconds": -3}, realtime.Usage("", 0, 0)),
        (None, None),
        ("free", None),
    ],
)
def test_what_writing_down_the_callers_words_took(usage, took):
    kind = "conversation.item.input_audio_transcription.completed"
    said = {"type": kind, "item_id": "i1", "transcript": "hello", "usage": usage}
    assert OpenAICodec().decode(json.dumps(said)) == [CallerTranscript("i1", "hello", took)]


def test_every_event_class_of_ours_comes_out_of_some_case():
    produced = {type(event) for _, events in CASES for event in events}
    produced.add(type(OpenAICodec().decode('{"type":"response.hologram.delta"}')[0]))
    # The connection's own (test_connection), what the service has not, and what has a test of its own.
    not_decoded = {realtime.ConnectionLost, realtime.GoingAway, realtime.ToolCallsWithdrawn, realtime.Usage}
    not_decoded |= {
        event for event in get_args(realtime.RealtimeEvent) if event.__module__ == remote.__name__
    }  # test_mcp
    assert produced | not_decoded == set(get_args(realtime.RealtimeEvent))


@pytest.mark.parametrize("model", SERVER_EVENTS, ids=lambda model: model.__name__)
def test_no_server_event_of_the_sdk_is_unknown(model):
    (kind,) = get_args(model.model_fields["type"].annotation)
    events = OpenAICodec().decode(json.dumps({"type": kind}))
    assert not [event for event in events if isinstance(event, Unknown)]


@pytest.mark.parametrize(("old", "new"), OLD_NAMES.items())
def test_old_names_mean_the_new_ones(old, new):
    fields = {
        **PART,
        "delta": base64.b64encode(PCM).decode() if "audio.delta" in old else "some",
        "transcript": "words",
        "text": "words",
        "call_id": "call_1",
        "arguments": "{}",
        "item": {"id": "item_1", "type": "message", "role": "user"},
    }
    events = [OpenAICodec().decode(json.dumps({"type": kind, **fields})) for kind in (old, new)]
    assert events[0] == events[1]
    assert not [event for event in events[0] if isinstance(event, Unknown | ProviderError)]


class TestAudio:
    def test_half_a_sample_waits_for_the_rest_of_its_item(self):
        codec = OpenAICodec()
        codec.session_update(SessionConfig())
        out = [codec.decode(json.dumps(delta(piece))) for piece in (b"\x01", b"\x02\x03\x04", b"\x05\x06\x07")]
        assert [event.audio for events in out for event in events] == [b"\x01\x02\x03\x04", b"\x05\x06"]

    def test_half_a_sample_does_not_leak_into_another_item(self):
        codec = OpenAICodec()
        codec.decode(json.dumps(delta(b"\x01\x02\x03", "item_1")))
        (event,) = codec.decode(json.dumps(delta(b"\x04\x05", "item_2")))
        assert event.audio == b"\x04\x05"

    def test_g711_has_samples_of_one_byte(self):
        codec = OpenAICodec()
        codec.session_update(SessionConfig(output_format="pcmu"))
        assert codec.decode(json.dumps(delta(b"\x01\x02\x03"))) == [AudioDelta("resp_1", "item_1", b"\x01\x02\x03")]

    def test_no_audio_is_no_event(self):
        assert OpenAICodec().decode(json.dumps(delta(b""))) == []

    @pytest.mark.parametrize("fields", [{"delta": "*"}, {"delta": 7}, {"item_id": None}])
    def test_unusable_audio_is_a_bad_frame(self, fields):
        (event,) = OpenAICodec().decode(json.dumps({**delta(b"\x01\x02"), **fields}))
        assert (event.code, event.fatal) == ("bad_frame", False)


def delta(audio: bytes, item_id: str = "item_1") -> dict[str, Any]:
    text = base64.b64encode(audio).decode()
    return {**PART, "type": "response.output_audio.delta", "item_id": item_id, "delta": text}


class TestFormats:
    @pytest.mark.parametrize(
        ("ours", "theirs"),
        [
            ("pcm24k", {"type": "audio/pcm", "rate": 24000}),
            ("pcm24k", {"type": "audio/pcm"}),
            ("pcm24k", "pcm16"),
            ("pcm24k", None),
            ("pcmu", {"type": "audio/pcmu"}),
            ("pcmu", "g711_ulaw"),
            ("pcma", {"type": "audio/pcma"}),
            ("pcma", "g711_alaw"),
        ],
    )
    def test_agreed(self, ours, theirs):
        codec = OpenAICodec()
        codec.session_update(SessionConfig(input_format=ours, output_format=ours))
        updated = {"type": "session.updated", "session": session(theirs, theirs)}
        assert codec.decode(json.dumps(updated)) == [SessionReady("sess_1", ours, ours)]

    @pytest.mark.parametrize(
        ("ours", "theirs", "named"),
        [
            ("pcmu", {"type": "audio/pcm", "rate": 8000}, "audio/pcm at 8000 Hz"),
            ("pcmu", {"type": "audio/opus"}, "audio/opus"),
            ("pcmu", None, "not told"),
            ("pcm24k", {"type": "audio/pcmu"}, "pcmu"),
            ("pcm24k", "g711_alaw", "pcma"),
            ("pcm24k", {"type": "audio/pcm", "rate": 16000}, "pcm16k"),
        ],
    )
    @pytest.mark.parametrize("side", ["input", "output"])
    def test_what_can_not_be_used_is_fatal(self, ours, theirs, named, side):
        codec = OpenAICodec()
        codec.session_update(SessionConfig(input_format=ours, output_format=ours))
        good = dict(wire_format(ours))
        both = session(theirs, good) if side == "input" else session(good, theirs)
        (error,) = codec.decode(json.dumps({"type": "session.updated", "session": both}))
        assert (error.code, error.fatal, error.request) == ("format_mismatch", True, "session_update")
        assert f"the {side} audio is {named}, not {ours}" in error.message

    @pytest.mark.parametrize("theirs", ["pcm24k", "pcma"])
    @pytest.mark.parametrize("side", ["input", "output"])
    def test_in_the_place_of_g711_another_format_may_come(self, theirs, side):
        """Each direction by itself. Once the session has begun nothing may change any more."""
        codec = OpenAICodec()
        codec.session_update(SessionConfig(input_format="pcmu", output_format="pcmu"))
        said = {"input": "pcmu", "output": "pcmu", side: theirs}
        updated = {"type": "session.updated", "session": session(*(dict(wire_format(one)) for one in said.values()))}
        assert codec.decode(json.dumps(updated)) == [SessionReady("sess_1", said["input"], said["output"])]
        assert codec.decode(json.dumps(updated)) == []
        pcmu = dict(wire_format("pcmu"))
        (error,) = codec.decode(json.dumps({"type": "session.updated", "session": session(pcmu, pcmu)}))
        assert error.code == "format_mismatch" and f"the {side} audio is pcmu, not {theirs}" in error.message

    def test_half_a_sample_waits_in_pcm_that_came_in_the_place_of_g711(self):
        codec = OpenAICodec()
        codec.session_update(SessionConfig(input_format="pcmu", output_format="pcmu"))
        codec.decode(json.dumps({"type": "session.updated", "session": session(PCM24K, PCM24K)}))
        events = [event for audio in (b"abc", b"d") for event in codec.decode(json.dumps(delta(audio)))]
        assert [event.audio for event in events] == [b"ab", b"cd"]

    def test_formats_of_the_beta(self):
        codec = OpenAICodec()
        codec.session_update(SessionConfig(input_format="pcmu", output_format="pcmu"))
        old = {"id": "sess_1", "input_audio_format": "g711_ulaw", "output_audio_format": "pcm16"}
        events = codec.decode(json.dumps({"type": "session.updated", "session": old}))
        assert events == [SessionReady("sess_1", "pcmu", "pcm24k")]

    def test_ready_comes_once_per_session(self):
        codec = OpenAICodec()
        codec.session_update(SessionConfig())
        updated = json.dumps({"type": "session.updated", "session": session(PCM24K, PCM24K)})
        assert len(codec.decode(updated)) == 1
        assert codec.decode(updated) == []
        codec.reset()
        assert len(codec.decode(updated)) == 1

    def test_id_of_the_session_is_taken_from_created_too(self):
        codec = OpenAICodec()
        assert codec.decode('{"type":"session.created","session":{"id":"sess_7"}}') == []
        assert codec.decode('{"type":"session.updated","session":{}}') == [SessionReady("sess_7", "pcm24k", "pcm24k")]


class TestToolCalls:
    def added(self, item):
        return sdk.ResponseOutputItemAddedEvent(
            type="response.output_item.added", event_id="e", response_id="resp_1", output_index=0, item=item
        )

    def arguments_delta(self, text, item_id="item_1", call_id="call_1"):
        return sdk.ResponseFunctionCallArgumentsDeltaEvent(
            type="response.function_call_arguments.delta", delta=text, call_id=call_id, **{**PLACE, "item_id": item_id}
        )

    def arguments_done(self, text='{"order":"427"}'):
        return sdk.ResponseFunctionCallArgumentsDoneEvent(
            type="response.function_call_arguments.done", arguments=text, call_id="call_1", name="order_status", **PLACE
        )

    def requests(self, *events):
        codec = OpenAICodec()
        out = [event for message in events for event in codec.decode(wire(message))]
        return [event for event in out if isinstance(event, ToolCallRequested)]

    def test_streamed_as_the_service_does_it_is_asked_once(self):
        empty = call_item("in_progress", arguments="")
        stream = (
            self.added(empty),
            self.arguments_delta('{"order":'),
            self.arguments_delta('"427"}'),
            self.arguments_done(),
            item_done(call_item()),
            done(output=[call_item()]),
        )
        assert self.requests(*stream) == [REQUESTED]

    def test_asked_when_the_item_is_done_not_when_the_response_is(self):
        assert self.requests(self.added(call_item("in_progress")), item_done(call_item())) == [REQUESTED]

    def test_arguments_done_twice_is_asked_once(self):
        stream = (self.arguments_done(), self.arguments_done(), item_done(call_item()), item_done(call_item()), done())
        assert self.requests(*stream) == [REQUESTED]

    def test_arguments_put_together_of_deltas_when_nothing_else_has_them(self):
        bare = call_item(arguments="")
        stream = (self.added(bare), self.arguments_delta('{"order":'), self.arguments_delta('"427"}'), item_done(bare))
        assert self.requests(*stream) == [REQUESTED]

    def test_name_and_call_id_of_the_added_item_serve_a_bare_done(self):
        bare = call_item(name="", call_id=None)
        assert self.requests(self.added(call_item("in_progress")), item_done(bare)) == [REQUESTED]

    @pytest.mark.parametrize("status", ["cancelled", "failed", "incomplete"])
    def test_never_for_an_interrupted_call_though_its_arguments_are_done(self, status):
        cut = call_item("incomplete")
        stream = (
            self.added(call_item("in_progress")),
            self.arguments_done(),
            item_done(cut),
            done(status, output=[cut]),
        )
        assert self.requests(*stream) == []

    @pytest.mark.parametrize("output", [[call_item("incomplete")], []])
    def test_never_for_an_incomplete_item_in_a_completed_response(self, output):
        cut = call_item("incomplete")
        assert self.requests(self.arguments_done(), item_done(cut), done(output=output)) == []

    def test_without_a_status_the_response_decides(self):
        bare = call_item(None)
        assert self.requests(item_done(bare)) == []
        assert self.requests(item_done(bare), done()) == [REQUESTED]
        assert self.requests(item_done(bare), done("cancelled")) == []

    def test_known_from_response_done_alone(self):
        assert self.requests(done(output=[message_item(), call_item()])) == [REQUESTED]

    def test_known_from_arguments_done_alone(self):
        assert self.requests(self.arguments_done(), done()) == [REQUESTED]

    def test_request_comes_before_the_end_of_its_response(self):
        events = OpenAICodec().decode(wire(done(output=[call_item()])))
        assert [type(event) for event in events] == [ToolCallRequested, ResponseDone]

    def test_parallel_calls_interleaved(self):
        second = call_item(id="item_2", call_id="call_2", name="current_time", arguments="")
        stream = (
            self.added(call_item("in_progress", arguments="")),
            self.added(second.model_copy(update={"status": "in_progress"})),
            self.arguments_delta('{"zone":', "item_2", "call_2"),
            self.arguments_delta('{"order":"427"}'),
            self.arguments_delta('"CET"}', "item_2", "call_2"),
            item_done(second),
            item_done(call_item(arguments="")),
            done(),
        )
        assert self.requests(*stream) == [
            ToolCallRequested("resp_1", "item_2", "call_2", "current_time", '{"zone":"CET"}'),
            REQUESTED,
        ]

    def test_arguments_that_are_no_json_are_passed_on_as_they_are(self):
        (asked,) = self.requests(item_done(call_item(arguments='{"order": ')))
        assert asked.arguments == '{"order": '

    def test_names_of_the_preview(self):
        item = {"id": "item_1", "type": "tool_call", "tool_call_id": "call_1", "status": "completed"}
        item |= {"name": "order_status", "arguments": '{"order":"427"}'}
        raw = json.dumps({"type": "response.output_item.done", "response_id": "resp_1", "item": item})
        assert OpenAICodec().decode(raw) == [REQUESTED]

    def test_call_without_an_id_can_t_be_answered_and_is_said(self):
        (event,) = OpenAICodec().decode(wire(item_done(call_item(call_id=None))))
        assert (event.code, event.fatal) == ("bad_frame", False)

    def test_replayed_call_items_of_an_earlier_session_ask_for_nothing(self):
        for kind in ("conversation.item.added", "conversation.item.done"):
            raw = json.dumps({"type": kind, "item": json.loads(call_item().to_json())})
            assert not [e for e in OpenAICodec().decode(raw) if isinstance(e, ToolCallRequested)]

    def test_an_id_that_an_earlier_response_had_is_another_call_with_a_name_of_its_own(self):
        codec = OpenAICodec()
        names = []
        for response_id in ("resp_1", "resp_1", "resp_2", "resp_3"):
            raw = {"type": "response.output_item.done", "response_id": response_id}
            item = {**json.loads(call_item().to_json()), "id": f"item_{response_id}"}
            names += [event.tool_call_id for event in codec.decode(json.dumps({**raw, "item": item}))]
        assert names == ["call_1", "call_1-2", "call_1-3"]
        for name in names:
            (frame,) = codec.tool_output(name, "1")
            assert json.loads(frame)["item"]["call_id"] == "call_1", "the provider's own id"

    def test_an_id_of_a_lost_session_is_another_call_too_and_the_open_one_goes_by_its_name(self):
        codec = OpenAICodec()
        raw = wire(item_done(call_item()))
        assert [event.tool_call_id for event in codec.decode(raw)] == ["call_1"]
        codec.reset()
        assert [event.tool_call_id for event in codec.decode(raw)] == ["call_1-2"]
        codec.reset()
        codec.history([], [OpenCall("call_1-2", "order_status", "{}")])
        (frame,) = codec.tool_output("call_1-2", "1")
        assert json.loads(frame)["item"]["call_id"] == "call_1-2"

    def test_a_call_that_is_told_without_its_response_first_is_asked_for_once(self):
        codec = OpenAICodec()
        item = json.loads(call_item().to_json())
        first = codec.decode(json.dumps({"type": "response.output_item.done", "item": item}))
        assert len(first) == 1
        assert not [e for e in codec.decode(wire(done(output=[call_item()]))) if isinstance(e, ToolCallRequested)]

    @pytest.mark.parametrize(
        ("arguments", "text"), [({"order": "427"}, '{"order":"427"}'), ([1], "[1]"), ("x", "x"), (None, "")]
    )
    def test_arguments_that_are_no_text_are_taken_as_they_are(self, arguments, text):
        item = {"id": "i", "type": "function_call", "call_id": "c", "name": "t", "status": "completed"}
        raw = {"type": "response.output_item.done", "response_id": "r", "item": {**item, "arguments": arguments}}
        (asked,) = OpenAICodec().decode(json.dumps(raw))
        assert asked.arguments == text

    def test_memory_of_ids_is_bounded(self):
        codec = OpenAICodec()
        for number in range(TOOL_CALLS + 10):
            codec.decode(wire(item_done(call_item(call_id=f"call_{number}"))))
        assert codec.decode(wire(item_done(call_item(call_id=f"call_{TOOL_CALLS}")))) == []


class TestErrors:
    def error(self, **fields):
        return json.dumps({"type": "error", "event_id": "e", "error": {"type": "invalid_request_error", **fields}})

    def test_names_the_tool_call_whose_output_is_refused(self):
        codec = OpenAICodec()
        (frame,) = codec.tool_output("call_1", "1")
        (event,) = codec.decode(self.error(code="bad", message="no", event_id=json.loads(frame)["event_id"]))
        assert (event.request, event.metadata) == ("tool_output", {"tool_call_id": "call_1"})

    def test_names_the_request_and_its_metadata(self):
        codec = OpenAICodec()
        sent = json.loads(*codec.create_response(ResponseRequest(metadata={"purpose": "tool_result"})))
        code = "conversation_already_has_active_response"
        (error,) = codec.decode(self.error(code=code, message="Wait.", event_id=sent["event_id"]))
        assert error == ProviderError(
            code, "Wait.", sent["event_id"], False, "create_response", {"purpose": "tool_result"}
        )

    @pytest.mark.parametrize(
        ("code", "request_name"),
        [
            ("conversation_already_has_active_response", "create_response"),
            ("response_cancel_not_active", "cancel_response"),
            ("input_audio_buffer_commit_empty", None),
        ],
    )
    def test_known_codes_name_the_request_by_themselves(self, code, request_name):
        (error,) = OpenAICodec().decode(self.error(code=code))
        assert (error.request, error.fatal) == (request_name, False)

    def test_after_a_reset_old_ids_mean_nothing(self):
        codec = OpenAICodec()
        event_id = json.loads(*codec.delete_item("i"))["event_id"]
        codec.reset()
        assert codec.decode(self.error(event_id=event_id))[0].request is None

    @pytest.mark.parametrize(
        ("code", "fatal"),
        [
            ("invalid_api_key", True),
            ("invalid_request_error.invalid_api_key", True),
            ("insufficient_quota", True),
            ("beta_api_shape_disabled", True),
            ("session_expired", False),
            ("rate_limit_exceeded", False),
            ("item_truncate_invalid_item_id", False),
        ],
    )
    def test_sorted_into_fatal_and_not(self, code, fatal):
        assert OpenAICodec().decode(self.error(code=code))[0].fatal is fatal

    @pytest.mark.parametrize("error", ["gone", {}, {"message": None}])
    def test_of_odd_shapes(self, error):
        (event,) = OpenAICodec().decode(json.dumps({"type": "error", "error": error}))
        assert (event.code, event.fatal) == ("unknown_error", False)

    def test_long_words_are_cut(self):
        assert len(OpenAICodec().decode(self.error(message="x" * 10_000))[0].message) == 500


class TestItems:
    def test_said_by_both_names_is_one_item(self):
        codec = OpenAICodec()
        item = {"id": "item_1", "type": "message", "role": "user"}
        said = [
            codec.decode(json.dumps({"type": f"conversation.item.{n}", "item": item})) for n in ("created", "added")
        ]
        assert said == [[ItemCreated("item_1", "message", "user")], []]


class TestResponseDone:
    @pytest.mark.parametrize(
        "odd", [{"output": [1, None]}, {"output": "x"}, {"status_details": "x"}, {"metadata": [1]}]
    )
    def test_always_tells_the_end_whatever_else_is_wrong_with_it(self, odd):
        raw = json.dumps({"type": "response.done", "response": {"id": "resp_1", "status": "completed", **odd}})
        assert OpenAICodec().decode(raw) == [ResponseDone("resp_1", "completed")]

    @pytest.mark.parametrize(
        ("status", "ours"), [(None, "completed"), ("exploded", "failed"), ("cancelled", "cancelled")]
    )
    def test_status_is_one_of_four(self, status, ours):
        raw = json.dumps({"type": "response.done", "response": {"id": "resp_1", "status": status}})
        assert OpenAICodec().decode(raw)[0].status == ours


KINDS = [get_args(model.model_fields["type"].annotation)[0] for model in SERVER_EVENTS]
FIELDS = ["item", "response", "session", "error", "delta", "item_id", "response_id", "call_id"]
INNER = ["id", "type", "status", "output", "status_details", "error", "audio", "input", "format", "rate", "call_id"]
JUNK = st.sampled_from([None, True, -1, 1e300, "", "x", "completed", "function_call", [], [1], ["x"], [{}], {}])
OBJECTS = st.dictionaries(st.sampled_from(INNER), JUNK | st.dictionaries(st.sampled_from(INNER), JUNK, max_size=2))


class TestBadFrames:
    @pytest.mark.parametrize("raw", ["", "nonsense", b"\xff\xfe", "[]", "null", "3", "{}", '{"type":4}', "[" * 5000])
    def test_one_error_that_is_not_fatal(self, raw):
        (event,) = OpenAICodec().decode(raw)
        assert (event.code, event.fatal) == ("bad_frame", False)

    @given(kind=st.sampled_from(KINDS), fields=st.dictionaries(st.sampled_from(FIELDS), OBJECTS | JUNK, max_size=4))
    def test_no_content_makes_it_raise(self, kind, fields):
        known = get_args(realtime.RealtimeEvent)
        raw = json.dumps({**fields, "type": kind})
        assert all(isinstance(event, known) for event in OpenAICodec().decode(raw))

    @given(st.binary(max_size=200) | st.text(max_size=200))
    def test_no_bytes_make_it_raise(self, raw):
        OpenAICodec().decode(raw)
