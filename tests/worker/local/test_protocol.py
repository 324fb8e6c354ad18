"""The session as a client sees it, without sockets or speech."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from worker.local.brain import Faults

SDK = TypeAdapter(RealtimeServerEvent)
RESPONSE_OF_ONE_MESSAGE = [
    "response.created",
    "rate_limits.updated",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
]


def without_deltas(types: list[str]) -> list[str]:
    return [kind for kind in types if not kind.endswith(".delta")]


# the session


def test_a_session_begins_with_the_services_defaults(scene: Any) -> None:
    created = scene.events[0]
    session = created["session"]
    assert created["type"] == "session.created"
    assert session["type"] == "realtime"
    assert session["output_modalities"] == ["audio"]
    assert session["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}
    assert session["audio"]["input"]["turn_detection"]["type"] == "server_vad"


def test_an_update_changes_what_it_names_and_shows_the_whole(scene: Any) -> None:
    events = scene.update(instructions="Be kind.", audio={"output": {"format": {"type": "audio/pcmu"}}})
    session = events.one("session.updated")["session"]
    assert session["instructions"] == "Be kind."
    assert session["audio"]["output"] == {"format": {"type": "audio/pcmu"}, "voice": "alloy", "speed": 1.0}
    assert [tool["name"] for tool in session["tools"]] == ["order_status", "current_time", "end_call"]


def test_turn_detection_can_be_turned_off_and_its_fields_have_defaults(scene: Any) -> None:
    off = scene.update(audio={"input": {"turn_detection": None}}).one("session.updated")
    assert off["session"]["audio"]["input"]["turn_detection"] is None
    given = {"type": "server_vad", "silence_duration_ms": 300}
    on = scene.update(audio={"input": {"turn_detection": given}}).one("session.updated")
    assert on["session"]["audio"]["input"]["turn_detection"] == {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 300,
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    }


@pytest.mark.parametrize(
    ("session", "code", "param"),
    [
        ({}, "missing_required_parameter", "session.type"),
        ({"type": "conversation"}, "invalid_value", "session.type"),
        ({"type": "realtime", "voice": "alloy"}, "unknown_parameter", "session.voice"),
        ({"type": "realtime", "modalities": ["audio"]}, "unknown_parameter", "session.modalities"),
        ({"type": "realtime", "output_modalities": ["video"]}, "invalid_value", "session.output_modalities[0]"),
        ({"type": "realtime", "audio": {"input": {"format": "pcm16"}}}, "invalid_type", "session.audio.input.format"),
        (
            {"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcm", "rate": 8000}}}},
            "integer_below_min_value",
            "session.audio.input.format.rate",
        ),
        (
            {"type": "realtime", "audio": {"output": {"format": {"type": "audio/mp3"}}}},
            "invalid_value",
            "session.audio.output.format.type",
        ),
        (
            {"type": "realtime", "audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 2}}}},
            "decimal_above_max_value",
            "session.audio.input.turn_detection.threshold",
        ),
        (
            {"type": "realtime", "audio": {"output": {"voice": "bob"}}},
            "invalid_value",
            "session.audio.output.voice",
        ),
        ({"type": "realtime", "tools": [{"type": "function"}]}, "missing_required_parameter", "session.tools[0].name"),
        (
            {"type": "realtime", "tools": [{"type": "function", "name": "a b"}]},
            "invalid_value",
            "session.tools[0].name",
        ),
        (
            {"type": "realtime", "tools": [{"type": "function", "name": "a", "meta": 1}]},
            "unknown_parameter",
            "session.tools[0].meta",
        ),
        ({"type": "realtime", "model": "another"}, "cannot_update_model", "session.model"),
    ],
)
def test_a_wrong_update_is_refused_whole(scene: Any, session: dict[str, Any], code: str, param: str) -> None:
    before = scene.session.config.wire()
    assert scene.send("session.update", session=session, event_id="mine").error == (code, param)
    assert scene.events[-1]["error"]["event_id"] == "mine"
    assert scene.session.config.wire() == before


def test_the_voice_is_frozen_once_it_was_heard(scene: Any) -> None:
    assert scene.update(audio={"output": {"voice": "marin"}}).types == ["session.updated"]
    scene.send("response.create")
    scene.run()
    assert scene.update(audio={"output": {"voice": "alloy"}}).error[0] == "cannot_update_voice"
    assert scene.update(audio={"output": {"voice": "marin"}}).types == ["session.updated"]


@pytest.mark.parametrize("frame", ["", "{", b"\xff\xfe", "[]", "1", "null"])
def test_what_is_no_event_is_an_error_and_the_session_goes_on(scene: Any, frame: str | bytes) -> None:
    scene.session.receive(frame, scene.now)
    (event,) = scene.session.take_events()
    assert event["type"] == "error"
    assert scene.update(instructions="x").types == ["session.updated"]


def test_an_unknown_event_names_those_that_there_are(scene: Any) -> None:
    events = scene.send("session.updat")
    assert events.error == ("invalid_value", "type")
    assert "'session.update'" in events[0]["error"]["message"]
    assert scene.send("output_audio_buffer.clear").error == ("invalid_value", "type")


def test_every_server_event_has_an_id_of_its_own(scene: Any) -> None:
    scene.say("what is the status of order four two seven")
    scene.run()
    ids = [event["event_id"] for event in scene.events]
    assert len(set(ids)) == len(ids)
    assert all(len(item_id) <= 32 for item_id in ids)


# listening


def test_a_turn_is_heard_understood_and_answered(scene: Any) -> None:
    scene.update(audio={"input": {"transcription": {"model": "whisper-1"}}})
    scene.audio(scene.quiet(1000))
    events = scene.say("tell me a story") + scene.run()
    events = type(scene.events)(events)
    started, stopped = events.one("input_audio_buffer.speech_started"), events.one("input_audio_buffer.speech_stopped")
    assert (started["audio_start_ms"], stopped["audio_end_ms"]) == (700, 2100)
    item_id = events.one("input_audio_buffer.committed")["item_id"]
    assert started["item_id"] == stopped["item_id"] == item_id
    transcript = events.one("conversation.item.input_audio_transcription.completed")
    assert (transcript["item_id"], transcript["transcript"]) == (item_id, "tell me a story")
    assert transcript["usage"] == {"type": "duration", "seconds": 1.4}
    assert without_deltas(events.types)[:5] == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert events.spoken == ["Once upon a time there was a king who had three sons and no money at all."]


def test_without_transcription_no_transcript_is_sent(scene: Any) -> None:
    events = scene.say("tell me a story")
    assert not [kind for kind in events.types if "transcription" in kind]


def test_ears_that_fail_say_so(scene: Any) -> None:
    scene.update(audio={"input": {"transcription": {"model": "whisper-1"}}})
    events = scene.say(None)
    assert events.one("conversation.item.input_audio_transcription.failed")["error"]["code"] == "transcription_failed"


@pytest.mark.parametrize("kind", ["audio/pcm", "audio/pcmu", "audio/pcma"])
def test_every_format_is_heard_and_spoken(scene: Any, kind: str) -> None:
    wire = {"type": kind}
    scene.update(audio={"input": {"format": wire}, "output": {"format": wire}})
    events = scene.say("tell me a story") + scene.run()
    events = type(scene.events)(events)
    sent = b"".join(base64.b64decode(event["delta"]) for event in events.of("response.output_audio.delta"))
    words = len(events.spoken[0].split())
    assert len(sent) == words * 200 * (48 if kind == "audio/pcm" else 8)


def test_the_ears_get_the_turn_alone_at_the_wires_rate(scene: Any) -> None:
    scene.update(audio={"input": {"format": {"type": "audio/pcmu"}}})
    scene.hold = True
    scene.audio(scene.quiet(5000, "audio/pcmu"), 160)
    scene.say("x", 600)
    (job,) = scene.held
    assert job.rate_hz == 8000
    assert len(job.pcm) == 8 * 2 * (300 + 600 + 500)


def test_with_create_response_off_nothing_answers(scene: Any) -> None:
    scene.update(audio={"input": {"turn_detection": {"type": "server_vad", "create_response": False}}})
    assert "response.created" not in scene.say("tell me a story").types
    assert scene.send("response.create").types[0] == "response.created"


def test_without_turn_detection_the_client_commits(scene: Any) -> None:
    scene.update(audio={"input": {"turn_detection": None}})
    assert scene.audio(scene.tone(500)).types == []
    scene.said.append("tell me a story")
    events = scene.send("input_audio_buffer.commit")
    assert events.types == ["input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"]
    scene.send("response.create")
    assert scene.run().spoken[0].startswith("Once upon")


def test_a_commit_without_audio_is_refused(scene: Any) -> None:
    scene.update(audio={"input": {"turn_detection": None}})
    assert scene.send("input_audio_buffer.commit").error[0] == "input_audio_buffer_commit_empty"
    scene.audio(scene.tone(50))
    events = scene.send("input_audio_buffer.commit")
    assert events.error[0] == "input_audio_buffer_commit_empty"
    assert "50.00ms" in events[0]["error"]["message"]


def test_a_cleared_buffer_is_empty(scene: Any) -> None:
    scene.update(audio={"input": {"turn_detection": None}})
    scene.audio(scene.tone(500))
    assert scene.send("input_audio_buffer.clear").types == ["input_audio_buffer.cleared"]
    assert scene.send("input_audio_buffer.commit").error[0] == "input_audio_buffer_commit_empty"


@pytest.mark.parametrize("audio", ["!!!", "YQ", "YQ=="])
def test_audio_that_is_none_is_refused(scene: Any, audio: str) -> None:
    assert scene.send("input_audio_buffer.append", audio=audio).error == ("invalid_value", "audio")


# items


def message(text: str, role: str = "user", **more: Any) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}], **more}


@pytest.mark.parametrize("role", ["user", "assistant", "system"])
def test_messages_are_added_in_order(scene: Any, role: str) -> None:
    first = scene.send("conversation.item.create", item=message("a", id="first"))
    second = scene.send("conversation.item.create", item=message("b", role))
    assert first.types == second.types == ["conversation.item.added", "conversation.item.done"]
    assert first[0]["previous_item_id"] is None
    assert second[0]["previous_item_id"] == "first"
    assert second[0]["item"]["content"][0]["text"] == "b"


def test_an_item_can_be_put_at_the_beginning_or_after_another(scene: Any) -> None:
    for name in ("a", "b"):
        scene.send("conversation.item.create", item=message(name, id=name))
    scene.send("conversation.item.create", item=message("c", id="c"), previous_item_id="root")
    scene.send("conversation.item.create", item=message("d", id="d"), previous_item_id="a")
    assert [item.id for item in scene.session.conversation.items] == ["c", "a", "d", "b"]


@pytest.mark.parametrize(
    ("item", "code", "param"),
    [
        ({"type": "message"}, "missing_required_parameter", "item.role"),
        ({"type": "thought"}, "invalid_value", "item.type"),
        ({"type": "message", "role": "user"}, "missing_required_parameter", "item.content"),
        (
            {"type": "message", "role": "user", "content": [{"type": "text", "text": "x"}]},
            "invalid_value",
            "item.content[0].type",
        ),
        (
            {"type": "message", "role": "assistant", "content": [{"type": "input_text", "text": "x"}]},
            "invalid_value",
            "item.content[0].type",
        ),
        (message("x", id="i" * 33), "string_above_max_length", "item.id"),
        ({"type": "function_call_output", "call_id": "call_1"}, "missing_required_parameter", "item.output"),
        ({"type": "function_call_output", "call_id": "call/1", "output": ""}, "invalid_value", "item.call_id"),
        ({"type": "function_call_output", "call_id": "call_1", "output": {}}, "invalid_type", "item.output"),
        ({"type": "function_call_output", "call_id": "call_1", "output": ""}, "invalid_tool_call_id", None),
    ],
)
def test_a_wrong_item_is_refused(scene: Any, item: dict[str, Any], code: str, param: str | None) -> None:
    assert scene.send("conversation.item.create", item=item).error == (code, param)


def test_an_id_is_taken_once_and_an_output_given_once(scene: Any) -> None:
    scene.send("conversation.item.create", item=message("a", id="a"))
    assert scene.send("conversation.item.create", item=message("a", id="a")).error == (
        "item_create_duplicate_item_id",
        "item.id",
    )
    call = {"type": "function_call", "call_id": "call_1", "name": "order_status", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "call_1", "output": "{}"}
    scene.send("conversation.item.create", item=call)
    assert scene.send("conversation.item.create", item=output).types[0] == "conversation.item.added"
    assert scene.send("conversation.item.create", item=output).error[0] == "duplicate_tool_call_output"


@pytest.mark.parametrize("doing", ["retrieve", "delete", "truncate"])
def test_an_unknown_item_is_named(scene: Any, doing: str) -> None:
    more = {"content_index": 0, "audio_end_ms": 0} if doing == "truncate" else {}
    assert scene.send(f"conversation.item.{doing}", item_id="nope", **more).error == (
        f"item_{doing}_invalid_item_id",
        "item_id",
    )


def test_items_are_retrieved_and_deleted(scene: Any) -> None:
    scene.send("conversation.item.create", item=message("a", id="a"))
    assert scene.send("conversation.item.retrieve", item_id="a")[0]["item"]["content"][0]["text"] == "a"
    assert scene.send("conversation.item.delete", item_id="a").types == ["conversation.item.deleted"]
    assert scene.session.conversation.items == []


def said_item(scene: Any) -> str:
    scene.send("response.create")
    scene.run()
    return str(scene.session.conversation.items[-1].id)


def test_audio_is_truncated_to_what_was_heard(scene: Any) -> None:
    item_id = said_item(scene)  # "Hello there." at 200 ms a word
    events = scene.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=150)
    assert events.types == ["conversation.item.truncated"]
    assert (events[0]["audio_end_ms"], events[0]["content_index"], events[0]["item_id"]) == (150, 0, item_id)
    shown = scene.send("conversation.item.retrieve", item_id=item_id)[0]["item"]
    assert shown["content"][0]["transcript"] == ""


def test_audio_is_not_truncated_past_its_end(scene: Any) -> None:
    item_id = said_item(scene)
    events = scene.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=401)
    assert events.error == ("invalid_value", "audio_end_ms")
    assert events[0]["error"]["message"] == "Audio content of 400ms is already shorter than 401ms"


def test_only_the_models_audio_is_truncated(scene: Any) -> None:
    scene.send("conversation.item.create", item=message("a", id="a"))
    events = scene.send("conversation.item.truncate", item_id="a", content_index=0, audio_end_ms=0)
    assert events[0]["error"]["message"] == "Only model output audio messages can be truncated"
    item_id = said_item(scene)
    events = scene.send("conversation.item.truncate", item_id=item_id, content_index=1, audio_end_ms=0)
    assert events.error == ("invalid_content_index", "content_index")


# responses


def test_a_spoken_response_from_its_beginning_to_its_end(scene: Any) -> None:
    events = type(scene.events)(scene.send("response.create", response={"metadata": {"id": "7"}}) + scene.run())
    assert without_deltas(events.types) == RESPONSE_OF_ONE_MESSAGE
    created, done = events.one("response.created")["response"], events.one("response.done")["response"]
    assert (created["status"], created["output"], created["metadata"]) == ("in_progress", [], {"id": "7"})
    assert (done["status"], done["status_details"], done["metadata"]) == ("completed", None, {"id": "7"})
    assert done["usage"]["output_tokens"] > 0
    text = "".join(event["delta"] for event in events.of("response.output_audio_transcript.delta"))
    assert text == events.spoken[0] == done["output"][0]["content"][0]["transcript"] == "Hello there."


def test_audio_comes_in_chunks_faster_than_it_plays(scene: Any) -> None:
    began = scene.now
    scene.say("tell me a story")
    events = scene.run()
    chunks = [base64.b64decode(event["delta"]) for event in events.of("response.output_audio.delta")]
    assert all(len(chunk) == 100 * 48 for chunk in chunks[1:])
    assert scene.now - began == pytest.approx(17 * 0.2 / 8)


def test_text_instead_of_audio(scene: Any) -> None:
    events = scene.send("response.create", response={"output_modalities": ["text"]}) + scene.run()
    events = type(scene.events)(events)
    assert events.one("response.output_text.done")["text"] == "Hello there."
    assert events.one("response.done")["response"]["output"][0]["content"] == [
        {"type": "output_text", "text": "Hello there."}
    ]
    assert not events.of("response.output_audio.delta")


def test_only_one_response_belongs_to_the_conversation(scene: Any) -> None:
    first = scene.send("response.create").one("response.created")["response"]["id"]
    events = scene.send("response.create", event_id="second")
    assert events.error == ("conversation_already_has_active_response", None)
    assert first in events[0]["error"]["message"]
    assert events[0]["error"]["event_id"] == "second"
    scene.run()
    assert scene.send("response.create").types[0] == "response.created"


def test_out_of_band_responses_run_beside_it_and_leave_no_trace(scene: Any) -> None:
    scene.send("response.create")
    exact = {"conversation": "none", "instructions": "Say exactly: One moment.", "metadata": {"purpose": "filler"}}
    events = type(scene.events)(scene.send("response.create", response=exact) + scene.run())
    done = [event["response"] for event in events.of("response.done")]
    assert sorted(response["output"][0]["content"][0]["transcript"] for response in done) == [
        "Hello there.",
        "One moment.",
    ]
    assert [item.text for item in scene.session.conversation.items] == ["Hello there."]
    (filler,) = (one for one in done if one["conversation_id"] is None)
    assert filler["metadata"] == {"purpose": "filler"}


def test_the_words_may_stand_in_the_input_of_an_out_of_band_response(scene: Any) -> None:
    asked = {"conversation": "none", "input": [message("Say exactly: One moment.")]}
    scene.send("response.create", response=asked)
    assert scene.run().spoken == ["One moment."]


@pytest.mark.parametrize(
    ("response", "code", "param"),
    [
        ({"conversation": "new"}, "invalid_value", "response.conversation"),
        ({"metadata": {"a": 1}}, "invalid_type", "response.metadata.a"),
        ({"metadata": {str(n): "" for n in range(17)}}, "object_above_max_properties", "response.metadata"),
        ({"metadata": {"a": "x" * 513}}, "string_above_max_length", "response.metadata.a"),
        ({"modalities": ["text"]}, "unknown_parameter", "response.modalities"),
        ({"input": [{"type": "item_reference", "id": "nope"}]}, "item_retrieve_invalid_item_id", "item_id"),
        ({"input": "hello"}, "invalid_type", "response.input"),
    ],
)
def test_wrong_options_are_refused(scene: Any, response: dict[str, Any], code: str, param: str) -> None:
    assert scene.send("response.create", response=response).error == (code, param)
    assert scene.session.responder.responses == []


def test_a_cancelled_response_closes_what_is_open(scene: Any) -> None:
    scene.send("conversation.item.create", item=message("tell me a story"))
    scene.send("response.create")
    scene.run(0.1)
    events = scene.send("response.cancel")
    assert events.types == [
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    done = events[-1]["response"]
    assert done["status"] == "cancelled"
    assert done["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
    assert done["output"][0]["status"] == "incomplete"
    assert 0 < len(done["output"][0]["content"][0]["transcript"].split()) < 17
    assert scene.run().types == []


def test_nothing_to_cancel_is_an_error(scene: Any) -> None:
    assert scene.send("response.cancel").error == ("response_cancel_not_active", None)
    scene.send("response.create")
    assert scene.send("response.cancel", response_id="resp_x").error[0] == "response_cancel_not_active"


def test_a_caller_who_speaks_interrupts(scene: Any) -> None:
    scene.send("conversation.item.create", item=message("tell me a story"))
    scene.send("response.create")
    scene.run(0.1)
    events = scene.audio(scene.tone(200))
    assert events.types[0] == "input_audio_buffer.speech_started"
    done = events.one("response.done")["response"]
    assert done["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    sent = scene.session.conversation.items[-1].audio_ms
    assert scene.send(
        "conversation.item.truncate", item_id=done["output"][0]["id"], content_index=0, audio_end_ms=int(sent)
    ).types == ["conversation.item.truncated"]


def test_an_interruption_spares_out_of_band_responses(scene: Any) -> None:
    asked = {"conversation": "none", "instructions": "Say exactly: One moment please, I am looking it up."}
    scene.send("response.create", response=asked)
    scene.run(0.05)
    scene.audio(scene.tone(200))
    assert scene.run().one("response.done")["response"]["status"] == "completed"


def test_without_interrupt_response_it_goes_on_and_the_next_one_is_refused(scene: Any) -> None:
    scene.update(audio={"input": {"turn_detection": {"type": "server_vad", "interrupt_response": False}}})
    scene.send("conversation.item.create", item=message("tell me a story"))
    scene.send("response.create")
    scene.run(0.05)
    events = scene.say("goodbye")
    assert events.of("error")[0]["error"]["code"] == "conversation_already_has_active_response"
    assert scene.run().one("response.done")["response"]["status"] == "completed"


def test_an_interruption_before_the_answer_is_thought_of(scene: Any) -> None:
    scene.hold = True
    scene.say("tell me a story")
    events = scene.say("goodbye")
    assert events.of("response.done")[0]["response"]["output"] == []
    scene.release()
    assert scene.run().spoken == ["Goodbye."]


def test_an_idle_caller_is_asked(scene: Any) -> None:
    scene.update(audio={"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000}}})
    scene.send("response.create")
    began = scene.now
    events = scene.run(5.3)
    assert "input_audio_buffer.timeout_triggered" not in events.types
    events = scene.run(2)
    assert events.types[:2] == ["input_audio_buffer.timeout_triggered", "input_audio_buffer.committed"]
    assert scene.now - began > 5.4  # 400 ms of audio and the time-out
    assert events.spoken == ["Are you still there?"]


# function calls


def call_order(scene: Any, text: str = "what is the status of order four two seven") -> list[dict[str, Any]]:
    scene.say(text)
    done = scene.run().one("response.done")["response"]
    return [item for item in done["output"] if item["type"] == "function_call"]


def answer(scene: Any, call_id: str, result: Any) -> list[str]:
    item = {"type": "function_call_output", "call_id": call_id, "output": json.dumps(result)}
    scene.send("conversation.item.create", item=item)
    scene.send("response.create")
    return list(scene.run().spoken)


def test_a_function_call_is_streamed_and_its_result_worded(scene: Any) -> None:
    events = type(scene.events)(scene.say("what is the status of order four two seven") + scene.run())
    added = [event["item"] for event in events.of("response.output_item.added")]
    assert [item["type"] for item in added] == ["message", "function_call"]
    assert added[1]["arguments"] == ""
    done = events.one("response.function_call_arguments.done")
    text = "".join(event["delta"] for event in events.of("response.function_call_arguments.delta"))
    assert done["arguments"] == text == '{"order": "427"}'
    assert done["name"] == "order_status"
    assert done["output_index"] == 1
    result = {"order": "427", "status": "shipped"}
    assert answer(scene, done["call_id"], result) == ["Order four two seven is shipped."]


def test_several_calls_in_one_response_are_worded_in_one(scene: Any) -> None:
    order, time = call_order(scene, "both")
    for call, result in ((order, {"order": "427", "status": "sent"}), (time, {"time": "14:05"})):
        item = {"type": "function_call_output", "call_id": call["call_id"], "output": json.dumps(result)}
        scene.send("conversation.item.create", item=item)
    scene.send("response.create")
    assert scene.run().spoken == ["Order four two seven is sent. It is fourteen oh five."]


def test_while_a_call_is_open_the_conversation_goes_on(scene: Any) -> None:
    (call,) = call_order(scene)
    scene.say("tell me a story")
    assert scene.run().spoken[0].startswith("Once upon")
    scene.say("mumble")
    assert scene.run().spoken == ["I am still looking."]
    scene.say("what is the status of order four two seven")
    assert scene.run().spoken == ["Still looking."]
    assert answer(scene, call["call_id"], {"order": "427", "status": "sent"}) == ["Order four two seven is sent."]


def test_a_call_cut_off_is_incomplete_and_none_to_be_answered(scene: Any) -> None:
    scene.say("both")
    scene.run(0.001)
    done = scene.send("response.cancel").one("response.done")["response"]
    assert [item["status"] for item in done["output"]] == ["incomplete"]
    assert scene.session.conversation.open_calls() == []


def test_only_functions_on_offer_are_called(scene: Any) -> None:
    scene.tools("current_time")
    assert call_order(scene) == []
    scene.say("goodbye")  # an optional call is left out
    assert scene.run().spoken == ["Goodbye."]


def test_tool_choice_none_calls_nothing(scene: Any) -> None:
    scene.send("conversation.item.create", item=message("both"))
    scene.send("response.create", response={"tool_choice": "none"})
    assert not scene.run().of("response.function_call_arguments.done")


# faults


def test_scripted_faults_of_a_turn(make_scene: Callable[..., Any]) -> None:
    scene = make_scene()
    scene.tools("order_status")
    scene.say("nonsense order")
    with pytest.raises(json.JSONDecodeError):
        json.loads(scene.run().one("response.function_call_arguments.done")["arguments"])
    scene.say("fail")
    done = scene.events.of("response.done")[-1]["response"]
    assert (done["status"], done["status_details"]["error"]["code"]) == ("failed", "scripted")
    scene.say("hang")
    assert scene.run().types == []
    scene.say("crash")
    assert scene.session.closing == (1011, "scripted")


@pytest.mark.parametrize(
    ("faults", "seen"),
    [
        (Faults(unknown_events=True), "offhook.unknown_event"),
        (Faults(error="server_error"), "error"),
        (Faults(fail="rate_limit_exceeded"), "response.done"),
    ],
)
def test_scripted_faults_of_every_response(make_scene: Callable[..., Any], faults: Faults, seen: str) -> None:
    scene = make_scene(faults=faults)
    scene.send("response.create")
    assert seen in scene.events.types


def test_scripted_faults_of_a_session(make_scene: Callable[..., Any]) -> None:
    scene = make_scene(faults=Faults(close_after_s=2.0, close_code=1001))
    scene.run(1.9)
    assert scene.session.closing is None
    scene.run(0.2)
    assert scene.session.closing == (1001, "scripted")
    other = make_scene(faults=Faults(output_format="audio/pcmu"))
    assert other.update().one("session.updated")["session"]["audio"]["output"]["format"] == {"type": "audio/pcmu"}
    silent = make_scene(faults=Faults(silent=True))
    silent.send("response.create")
    assert silent.run().types == []
    twice = make_scene(faults=Faults(duplicate_arguments=True))
    twice.tools("order_status")
    twice.say("what is the status of order one two three")
    assert len(twice.run().of("response.function_call_arguments.done")) == 2


def test_a_server_may_refuse_responses_while_a_call_is_open(make_scene: Callable[..., Any]) -> None:
    scene = make_scene(faults=Faults(refuse_open_calls=True))
    scene.tools("order_status")
    (call,) = call_order(scene)
    assert scene.send("response.create").error[0] == "function_call_output_missing"
    assert answer(scene, call["call_id"], {"found": False, "order": "427"}) == ["There is no order four two seven."]


# against the SDK's own types


def test_every_event_is_one_that_the_sdk_knows(scene: Any) -> None:
    scene.update(audio={"input": {"transcription": {"model": "whisper-1"}}})
    (call,) = call_order(scene)
    answer(scene, call["call_id"], {"order": "427", "status": "sent"})
    scene.send("response.create", response={"output_modalities": ["text"]})
    scene.run()
    item_id = said_item(scene)
    scene.send("conversation.item.retrieve", item_id=item_id)
    scene.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=1)
    scene.send("conversation.item.delete", item_id=item_id)
    scene.send("input_audio_buffer.clear")
    scene.send("response.cancel")
    kinds = set()
    for event in scene.events:
        parsed: Any = SDK.validate_python(event)
        assert parsed.type == event["type"]
        assert parsed.to_dict(mode="json").keys() >= {"type", "event_id"}
        kinds.add(type(parsed).__name__)
    assert len(kinds) > 25


def test_an_item_deleted_before_it_is_understood_holds_nothing_up(scene: Any) -> None:
    scene.hold = True
    events = scene.say("tell me a story")
    scene.send("conversation.item.delete", item_id=events.one("input_audio_buffer.committed")["item_id"])
    scene.release()
    assert scene.run().one("response.done")["response"]["status"] == "completed"


def test_a_replayed_history_is_not_answered_again(scene: Any) -> None:
    scene.send("conversation.item.create", item=message("tell me a story"))
    scene.send("conversation.item.create", item=message("Once upon a time.", "assistant"))
    scene.say("")
    assert scene.run().spoken == ["I am sorry, I did not understand that."]
