"""A call as a vCon: the draft's structure, whole and in every bad state of a record; what must not be in it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import wave
from typing import Any

import jsonschema
import pytest

from tests.worker.records.vcon_schema import VCON, wrong_indices
from worker.records.edges import Edge, JournalFile
from worker.records.record import CallRecord
from worker.records.story import Story, story_of
from worker.records.vcon import Recording, VConError, vcon_of

NOW = "2026-01-02T00:00:00.000Z"
CALL: dict[str, Any] = {
    "call_id": "c1",
    "version": 2,
    "outcome": "completed",
    "reason": "caller: 200 OK",
    "answered_ms": 1500,
    "duration_ms": 9000,
    "caller": "+4930123",
    "display_name": "Ada",
    "dialled": "427",
    "agent": "desk",
    "model": "some-model",
    "sip_call_id": "abc@192.0.2.1",
    "started_at": "2026-01-01T10:00:00.000Z",
    "ended_at": "2026-01-01T10:00:10.500Z",
    "turns": [
        {"who": "agent", "text": "Hello.", "start_ms": 0, "end_ms": 900},
        {"who": "caller", "text": "Where is my order?", "start_ms": 1000, "end_ms": 2500},
        {"who": "filler", "text": "One moment.", "start_ms": 2700, "end_ms": 3500},
    ],
    "tool_calls": [
        {
            "tool": "track",
            "mode": "queued",
            "status": "ok",
            "start_ms": 2600,
            "job_id": "j1",
            "wait_ms": 5,
            "run_ms": 900,
            "result": {"where": "in Lyon"},
        }
    ],
    "approvals": [
        {
            "number": 1,
            "tool": "track",
            "tool_call_id": "t1",
            "wanted_ms": 2500,
            "answered_ms": 2600,
            "approved": True,
            "by": "key",
        }
    ],
    "errors": ["the provider said something of its own"],
    "heard_by_caller": ["hello"],
}


def story(edges: list[Edge] | None = None, **fields: Any) -> Story:
    journal = JournalFile(call_id="c1", zero_at="", end_ms=9000, edges=edges or [])
    return story_of("c1", CallRecord.model_validate(CALL | fields), journal)


def made(told: Story, recording: Recording | None = None, **options: Any) -> dict[str, Any]:
    """The vCon, after its way through JSON and past the schema."""
    vcon: dict[str, Any] = json.loads(json.dumps(vcon_of(told, NOW, recording, **options)))
    jsonschema.Draft202012Validator.check_schema(VCON)
    jsonschema.Draft202012Validator(VCON).validate(vcon)
    assert wrong_indices(vcon) == []
    return vcon


def wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(bytes(range(256)) * 10)
    return file.getvalue()


def test_the_whole_of_a_call() -> None:
    audio = wav()
    vcon = made(story(), Recording(audio, "c1.wav"))
    assert vcon["parties"] == [
        {"tel": "+4930123", "name": "Ada", "validation": "none"},
        {"name": "desk", "type": "bot", "tel": "427", "validation": "none"},
    ]
    [dialog] = vcon["dialog"]
    assert (dialog["type"], dialog["start"], dialog["duration"]) == ("recording", "2026-01-01T10:00:01.500Z", 9.0)
    assert dialog["parties"] == [0, 1] and dialog["mediatype"] == "audio/x-wav" and "originator" not in dialog
    padded = dialog["body"] + "=" * (-len(dialog["body"]) % 4)
    assert base64.urlsafe_b64decode(padded) == audio
    [transcript] = [one for one in vcon["analysis"] if one["type"] == "transcript"]
    assert [(turn["party"], turn["kind"], turn["text"]) for turn in transcript["body"]] == [
        (1, "agent", "Hello."),
        (0, "caller", "Where is my order?"),
        (1, "filler", "One moment."),
    ]
    assert transcript["body"][1]["start"] == "2026-01-01T10:00:02.500Z" and transcript["product"] == "some-model"
    about, tool, approval = vcon["attachments"]
    assert (about["purpose"], about["body"]["sip_call_id"], about["body"]["outcome"]) == (
        "call",
        "abc@192.0.2.1",
        "completed",
    )
    assert (tool["purpose"], tool["start"]) == ("tool-call", "2026-01-01T10:00:04.100Z")
    assert (tool["body"]["status"], tool["body"]["run_ms"], tool["body"]["result"]) == ("ok", 900, {"where": "in Lyon"})
    assert (approval["purpose"], approval["body"]["by"], approval["body"]["approved"]) == ("approval", "key", True)


def test_a_recording_that_lies_elsewhere_is_known_by_its_hash() -> None:
    audio = wav()
    [dialog] = made(story(), Recording(audio, "c1.wav", "https://archive.example/c1.wav"))["dialog"]
    assert "body" not in dialog and dialog["url"] == "https://archive.example/c1.wav"
    digest = base64.urlsafe_b64encode(hashlib.sha512(audio).digest()).rstrip(b"=").decode()
    assert dialog["content_hash"] == f"sha512-{digest}"


def test_without_a_recording_the_conversation_has_its_place_all_the_same() -> None:
    [dialog] = made(story())["dialog"]
    assert dialog["type"] == "recording" and "mediatype" not in dialog


def test_without_transcripts_there_is_who_spoke_when_and_no_word() -> None:
    vcon = made(story(), words=False)
    text = json.dumps(vcon)
    assert not any(word in text for word in ("Hello", "order", "moment", "Lyon", "transcript"))
    [turns, *_] = [one["body"] for one in vcon["analysis"]]
    assert [turn["start_ms"] for turn in turns] == [0, 1000, 2700]
    assert "in Lyon" in json.dumps(made(story()))


def test_a_record_that_was_kept_without_words() -> None:
    turns = [{**turn, "text": ""} for turn in CALL["turns"]]
    assert [one["type"] for one in made(story(turns=turns))["analysis"]].count("transcript") == 0


def test_what_is_the_operator_s_alone_stays_out() -> None:
    edges = [
        Edge(ms=10, at="", kind="phone", what="DigitReceived", data={"via": "rtp", "digit": "7"}),
        Edge(ms=20, at="", kind="sip", what="SipMessage", data={"line": "INVITE sip:427@host", "sent": False}),
    ]
    text = json.dumps(made(story(edges)))
    assert "something of its own" not in text and "DigitReceived" not in text and "INVITE" not in text
    assert "heard_by_caller" not in text


def test_a_caller_in_confidence_stays_so() -> None:
    caller, _agent = made(story(caller="anonymous", display_name=""))["parties"]
    assert caller == {"name": "anonymous", "validation": "none"}


@pytest.mark.parametrize(
    ("fields", "disposition"),
    [
        ({"outcome": "abandoned", "reason": "caller: 487 Request Terminated"}, "hung-up"),
        ({"outcome": "rejected", "reason": "503"}, "congestion"),
        ({"outcome": "failed", "reason": "internal error"}, "failed"),
        ({"outcome": "abandoned", "reason": "caller: 486 Busy Here", "caller": "", "dialled": "sip:bob@pbx"}, "busy"),
        ({"outcome": "failed", "reason": "network: 408 Request Timeout", "caller": ""}, "no-answer"),
    ],
)
def test_a_call_that_nobody_answered(fields: dict[str, Any], disposition: str) -> None:
    vcon = made(story(answered_ms=None, duration_ms=0, turns=[], **fields), Recording(wav(), "c1.wav"))
    assert [(one["type"], one["disposition"]) for one in vcon["dialog"]] == [("incomplete", disposition)]


def test_a_call_that_we_made() -> None:
    vcon = made(story(caller="", display_name="", dialled="sip:alice:pw@192.0.2.7:5070;user=phone?subject=pin"))
    assert vcon["parties"][0] == {"sip": "sip:alice@192.0.2.7:5070"} and vcon["dialog"][0]["originator"] == 1
    assert "pw" not in json.dumps(vcon)
    assert made(story(calls_back="c0"))["dialog"][0]["originator"] == 1


def test_a_call_that_was_handed_on_at_the_second_try() -> None:
    transfers = [
        {"at_ms": 3000, "to": "sales", "way": "blind", "means": "bridge", "outcome": "busy"},
        {"at_ms": 6000, "to": "desk two", "way": "blind", "means": "refer", "outcome": "accepted"},
    ]
    vcon = made(story(transfers=transfers))
    assert [party.get("name") for party in vcon["parties"]] == ["Ada", "desk", "sales", "desk two"]
    assert [one["type"] for one in vcon["dialog"]] == ["recording", "transfer", "incomplete", "transfer"]
    first, tried, second = vcon["dialog"][1:]
    assert (first["transfer_target"], first["target_dialog"], tried["disposition"]) == (2, 2, "busy")
    assert second["transfer_target"] == 3 and "target_dialog" not in second


def test_the_same_call_has_the_same_uuid_and_one_of_which_more_is_known_another() -> None:
    first, again = vcon_of(story(), NOW), vcon_of(story(), "2026-03-01T00:00:00.000Z")
    assert first["uuid"] == again["uuid"] and first["created_at"] != again["created_at"]
    assert vcon_of(story(tool_calls=[]), NOW)["uuid"] != first["uuid"]


def test_a_record_of_the_first_version_has_no_wall_clock() -> None:
    fields = {"version": 1, "started_at": None, "ended_at": None, "agent": "", "model": "", "sip_call_id": ""}
    vcon = made(story(**fields))
    assert "start" not in vcon["dialog"][0] and {one["start"] for one in vcon["attachments"]} == {NOW}


def test_the_empty_record() -> None:
    vcon = made(story_of("c1", CallRecord(call_id="c1"), None))
    assert vcon["parties"][1]["name"] == "agent" and vcon["analysis"] == []


def test_why_the_call_was_silent_and_how_its_line_was() -> None:
    counts = {"received": 100, "lost": 5, "discarded": 0, "jitter_ms": 2.0, "buffer_ms": 40.0, "sent": 100}
    edges = [
        Edge(ms=0, at="", kind="record", what="Answered"),
        Edge(ms=5000, at="", kind="rtp", what="RtpReport", data=counts),
    ]
    report = made(story(edges))["analysis"][-1]
    assert report["schema"] == "offhook-line-1" and report["body"]["quality"]["lost"] == 5
    assert report["body"]["silences"], "five seconds in which nobody spoke"


def test_a_call_that_goes_on_or_of_which_nothing_can_be_read() -> None:
    with pytest.raises(VConError, match="call c1 is not over"):
        vcon_of(story_of("c1", CallRecord(call_id="c1"), None, live=True), NOW)
    with pytest.raises(VConError, match="there is no record of call c1"):
        vcon_of(story_of("c1", None, JournalFile(call_id="c1")), NOW)
