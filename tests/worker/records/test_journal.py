"""The journal: every edge in order, bounded by kind, and nothing in it that is nobody's business."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from pydantic import BaseModel

from telephony.events import DigitReceived, MediaActive, RtpReport, SipMessage
from worker.realtime import events as realtime
from worker.records.edges import Edge, JournalFile, journal_bytes, journal_of
from worker.records.journal import LIMITS, SAFE, Journal, shape_of
from worker.records.recorder import Recorder
from worker.turns import events as turn
from worker.turns.floor import Floor, Slot


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(clock: Clock) -> Journal:
    return Journal(clock)


def edges(journal: Journal) -> list[Edge]:
    return journal_of("c1", journal.taken()).edges


def names(journal: Journal) -> list[tuple[str, str]]:
    return [(edge.kind, edge.what) for edge in edges(journal)]


def test_edges_have_ms_since_the_answer_and_the_wall_clock(clock: Clock, journal: Journal) -> None:
    journal.started_at = 1_700_000_000.0
    recorder = Recorder("c1", clock.now * 1000)
    recorder.subscribe(journal.recorded)
    journal.phoned(SipMessage("c1", 100.0, False, "INVITE sip:427@h", "INVITE", "x"))
    clock.now = 101.5
    recorder.answered(101_500)
    clock.now = 103.0
    recorder.turn_started(102_750, "caller", "i1")  # told a quarter of a second late
    found = [(edge.ms, edge.at, edge.what) for edge in edges(journal)]
    assert found == [
        (-1500, "2023-11-14T22:13:20.000Z", "SipMessage"),
        (0, "2023-11-14T22:13:21.500Z", "Answered"),
        (1250, "2023-11-14T22:13:22.750Z", "TurnStarted"),
    ]
    assert journal_of("c1", journal.taken()).zero_at == "2023-11-14T22:13:21.500Z"


def test_what_the_telephone_and_the_line_tell(clock: Clock, journal: Journal) -> None:
    journal.phoned(MediaActive("c1", "PCMU", 8000))
    journal.phoned(RtpReport("c1", 100.5, 250, 3, 1, 2.5, 40.0, 251, 0, 1.0, 12.0))
    journal.looked(0, 0, b"", b"")
    journal.looked(2, 5, b"", b"")
    journal.looked(2, 5, b"", b"")
    found = {edge.what: edge.data for edge in edges(journal)}
    assert found["MediaActive"] == {"codec": "PCMU", "rate_hz": 8000}
    assert found["RtpReport"]["lost"] == 3 and found["RtpReport"]["their_lost"] == 0
    assert found["LineLoss"] == {"underruns": 2, "dropped_in_frames": 5}
    assert len(edges(journal)) == 3


def test_audio_and_words_of_the_provider_are_counted_and_not_listed(journal: Journal) -> None:
    for _ in range(5):
        journal.provided(realtime.AudioDelta("r1", "i1", b"\0\0"))
    journal.provided(realtime.AgentTranscriptDelta("r1", "i1", "my secret"))
    journal.provided(realtime.ResponseStarted("r1", {"purpose": "greeting", "other": "no"}))
    taken = journal_of("c1", journal.taken())
    assert taken.counted == {"AudioDelta": 5, "AgentTranscriptDelta": 1}
    assert [edge.data for edge in taken.edges] == [{"response_id": "r1", "purpose": "greeting"}]


def test_a_decision_says_what_was_told_what_was_decided_and_how_it_stands(journal: Journal) -> None:
    commands = [turn.RequestResponse(turn.Purpose.GREETING, "say hello"), turn.StartTool("t1", "pay", '{"pin": 1234}')]
    journal.decided(100.0, turn.MediaReady(), commands, Floor.NOBODY, Slot.REQUESTED)
    [edge] = edges(journal)
    assert (edge.kind, edge.what) == ("turn", "MediaReady")
    assert edge.data == {
        "commands": [
            {"command": "RequestResponse", "purpose": "greeting"},
            {"command": "StartTool", "tool_call_id": "t1", "name": "pay"},
        ],
        "floor": "nobody",
        "slot": "requested",
    }


def test_what_nothing_comes_of_is_not_kept_twice(journal: Journal) -> None:
    journal.decided(100.0, turn.MediaReady(), [], Floor.NOBODY, Slot.FREE)
    journal.decided(100.1, turn.Tick(), [], Floor.NOBODY, Slot.FREE)
    event = realtime.ItemCreated("i1", "message", "user")
    journal.provided(event)
    journal.decided(100.2, event, [], Floor.NOBODY, Slot.FREE)
    delta = realtime.AgentTranscriptDelta("r1", "i1", "word by word")
    journal.provided(delta)
    journal.decided(100.2, delta, [], Floor.NOBODY, Slot.FREE)
    journal.decided(100.3, turn.Tick(), [], Floor.AGENT, Slot.FREE)
    journal.decided(100.4, turn.Tick(), [turn.PlayTone()], Floor.AGENT, Slot.FREE)
    assert names(journal) == [
        ("turn", "MediaReady"),
        ("provider", "ItemCreated"),
        ("turn", "Tick"),
        ("turn", "Tick"),
    ]


def test_an_event_of_a_type_that_nobody_thought_of_is_kept_by_its_safe_fields(journal: Journal) -> None:
    @dataclasses.dataclass(frozen=True, slots=True)
    class TransferFailed:
        call_id: str
        status: int
        target: str
        arguments: str

    journal.phoned(TransferFailed("c1", 486, "+4930123", '{"pin": 1}'))
    [edge] = edges(journal)
    assert (edge.kind, edge.what, edge.data) == ("phone", "TransferFailed", {"status": 486})


def test_of_a_part_of_the_record_the_safe_fields_are_kept(journal: Journal) -> None:
    class ApprovalRecord(BaseModel):
        number: int
        tool: str
        approved: bool
        why: str
        arguments: str

    @dataclasses.dataclass(frozen=True, slots=True)
    class ApprovalTold:
        at_ms: int
        approval: ApprovalRecord

    part = ApprovalRecord(number=1, tool="pay", approved=True, why="said: my PIN is 1", arguments='{"pin": 1}')
    journal.recorded(ApprovalTold(500, part))  # type: ignore[arg-type]
    [edge] = edges(journal)
    assert (edge.ms, edge.data) == (500, {"approval": {"number": 1, "tool": "pay", "approved": True}})


def test_a_digit_never_enters(journal: Journal) -> None:
    journal.phoned(DigitReceived("c1", "7", "rtp"))
    [edge] = edges(journal)
    assert edge.data == {"via": "rtp"}


NEVER = {
    "text",
    "digit",
    "digits",
    "arguments",
    "output",
    "audio",
    "instructions",
    "message",
    "result",
    "config",
    "also",
}


@pytest.mark.parametrize("module", [realtime, turn])
def test_no_field_with_words_or_secrets_is_kept_of_any_event(module: Any) -> None:
    kinds = [kind for kind in vars(module).values() if dataclasses.is_dataclass(kind) and isinstance(kind, type)]
    assert len(kinds) > 10
    for kind in kinds:
        assert not NEVER & set(shape_of(kind).names), kind
    assert not NEVER & SAFE


def test_each_kind_is_bounded_and_what_was_let_go_is_counted(journal: Journal) -> None:
    journal.phoned(MediaActive("c1", "PCMU", 8000))
    for number in range(LIMITS["turn"] + 250):
        journal.decided(100 + number, turn.MediaReady(), [turn.PlayTone()], Floor.NOBODY, Slot.FREE)
    taken = journal_of("c1", journal.taken())
    assert len(taken.edges) == LIMITS["turn"] + 1 and taken.left_out == {"turn": 250}
    assert taken.edges[0].what == "MediaActive", "a flood of one kind pushes no other out"


def test_a_journal_that_is_off_keeps_nothing(clock: Clock) -> None:
    journal = Journal(clock, on=False)
    journal.phoned(MediaActive("c1", "PCMU", 8000))
    journal.provided(realtime.ResponseStarted("r1", {}))
    journal.decided(100.0, turn.MediaReady(), [turn.PlayTone()], Floor.NOBODY, Slot.FREE)
    journal.looked(3, 3, b"", b"")
    assert edges(journal) == []


def test_the_file_reads_back(journal: Journal) -> None:
    journal.decided(100.0, turn.HangUp("x" * 5000), [turn.HangUp("bye")], Floor.NOBODY, Slot.FREE)
    made = journal_of("c1", journal.taken())
    assert JournalFile.model_validate_json(made.model_dump_json()) == made
    assert JournalFile.model_validate_json(journal_bytes("c1", journal.taken())).edges == made.edges
    assert len(json.loads(made.model_dump_json())["edges"][0]["data"]["reason"]) == 200
