import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from worker.records.record import (
    LONGEST_ERROR,
    MOST_ERRORS,
    MOST_UNMET,
    OUTCOMES,
    Answered,
    BargedIn,
    CallRecord,
    Ended,
    Noted,
    RecordEvent,
    ToolEnded,
    ToolStarted,
    TransferRecord,
    Transferred,
    TurnEnded,
    TurnStarted,
    TurnText,
    write_record,
)
from worker.records.recorder import About, Recorder, SilenceMeter


def recorder() -> Recorder:
    """A call whose INVITE came at 1000 and that was answered at 1200."""
    made = Recorder("c1", 1000.0)
    made.answered(1200.0)
    return made


def test_the_json_has_the_keys_of_the_demo_first_and_in_order() -> None:
    keys = list(json.loads(recorder().ended(2000, "completed").model_dump_json()))
    assert keys[:10] == [
        "call_id",
        "outcome",
        "answered_ms",
        "duration_ms",
        "turns",
        "tool_calls",
        "barge_ins",
        "longest_tool_silence_ms",
        "heard_by_caller",
        "recording",
    ]


def test_a_call_from_invite_to_end() -> None:
    call = recorder()
    call.turn_started(1300, "agent", "i1")
    call.turn_text_delta("i1", "Hello, ")
    call.turn_text_delta("i1", "how can I help?")
    call.turn_ended(2300, "i1")
    call.turn_started(2500, "caller", "i2")
    call.turn_ended(4500, "i2")
    call.turn_text("i2", "what is the status of order four two seven")
    call.tool_call_started(4600, "t1", "order_status", "queued", "c1-t1")
    call.turn_started(5100, "filler", "i3")
    call.filler_spoken()
    call.turn_text("i3", "One moment, please.")
    call.turn_ended(6000, "i3")
    call.tool_call_finished(6900, "t1", "ok", wait_ms=19.6, run_ms=2200.2)
    call.turn_started(7100, "agent", "i4")
    call.barge_in(7600, heard_ms=480, stopped_in_ms=21)
    call.turn_ended(7621, "i4")
    call.heard_by_caller.append("your order arrives on thursday")
    record = call.ended(9000, "completed", "the caller hung up")

    assert (record.answered_ms, record.duration_ms) == (200, 7800)
    assert [(turn.who, turn.text, turn.start_ms, turn.end_ms) for turn in record.turns] == [
        ("agent", "Hello, how can I help?", 100, 1100),
        ("caller", "what is the status of order four two seven", 1300, 3300),
        ("filler", "One moment, please.", 3900, 4800),
        ("agent", "", 5900, 6421),
    ]
    (tool,) = record.tool_calls
    assert tool.model_dump() == {
        "tool": "order_status",
        "mode": "queued",
        "start_ms": 3400,
        "job_id": "c1-t1",
        "status": "ok",
        "detail": "",
        "wait_ms": 20,
        "run_ms": 2200,
        "fillers": 1,
        "promised": None,
        "ended_at": None,
        "result": None,
    }
    assert record.barge_ins[0].model_dump() == {"at_ms": 6400, "heard_ms": 480, "stopped_in_ms": 21}
    assert record.longest_tool_silence_ms == 900
    assert record.heard_by_caller == ["your order arrives on thursday"]


def test_a_call_that_was_never_answered() -> None:
    record = Recorder("c1", 1000.0, caller="sip:a@b", dialled="agent").ended(1500, "abandoned", "CANCEL")
    assert (record.answered_ms, record.duration_ms, record.outcome) == (None, 0, "abandoned")
    assert (record.caller, record.dialled, record.reason) == ("sip:a@b", "agent", "CANCEL")


def test_what_is_open_at_the_end_is_closed_there() -> None:
    call = recorder()
    call.turn_started(1500, "agent", "i1")
    call.tool_call_started(1600, "t1", "slow", "queued")
    record = call.ended(3000, "failed", "the provider closed at once")
    assert record.turns[0].end_ms == 1800
    assert record.tool_calls[0].status == "pending"
    assert call.ended(9000, "completed") is record


def test_errors_are_kept_in_order() -> None:
    call = recorder()
    call.error(1300, "the session was lost (1006); a new one was opened")
    call.error(1400, "a tool returned what JSON can't hold")
    assert len(call.ended(2000, "completed").errors) == 2


def test_an_observer_that_fails_harms_nobody() -> None:
    def fails(event: object) -> None:
        raise KeyError("what is that?")

    seen: list[object] = []
    call = recorder()
    call.subscribe(fails)
    call.subscribe(seen.append)
    with capture_logs() as logs:
        call.turn_started(1500, "agent", "i1")
    assert len(seen) == 1
    assert [(line["event"], line["call_id"], line["edge"]) for line in logs] == [
        ("observer_failed", call.call_id, "TurnStarted")
    ]


def test_observers_see_each_edge_once_and_in_order() -> None:
    call, seen = Recorder("c1", 1000.0), []
    call.subscribe(seen.append)
    call.answered(1200)
    call.turn_started(1300, "agent", "i1")
    call.turn_started(1350, "agent", "i1")
    call.turn_text("i1", "Hello.")
    call.turn_ended(1400, "i1")
    call.turn_ended(1450, "i1")
    call.tool_call_started(1500, "t1", "x", "inline")
    call.tool_call_finished(1510, "t1", "ok")
    call.tool_call_finished(1510, "unknown", "ok")
    call.barge_in(1600, 1, 2)
    call.error(1700, "oh")
    call.ended(1800, "completed")
    kinds = [Answered, TurnStarted, TurnText, TurnEnded, ToolStarted, ToolEnded, BargedIn, Noted, Ended]
    assert [type(event) for event in seen] == kinds
    assert seen[0] == Answered(200) and seen[1] == TurnStarted(100, "i1", "agent")


@pytest.mark.parametrize("sound", ["turn", "tone"])
def test_tool_silence_ends_with_any_sound(sound: str) -> None:
    call = recorder()
    call.tool_call_started(2000, "t1", "x", "queued")
    if sound == "turn":
        call.turn_started(2700, "caller", "i1")
        call.turn_ended(3000, "i1")
    else:
        call.sound_started(2700, "tone")
        call.sound_ended(3000, "tone")
    call.tool_call_finished(3400, "t1", "ok")
    assert call.ended(9000, "completed").longest_tool_silence_ms == 700


def test_tool_silence_goes_on_while_another_tool_runs_and_until_the_end() -> None:
    call = recorder()
    call.tool_call_started(2000, "t1", "x", "queued")
    call.tool_call_started(2100, "t2", "x", "queued")
    call.tool_call_finished(2500, "t1", "ok")
    assert call.ended(3200, "completed").longest_tool_silence_ms == 1200


edges = st.lists(st.tuples(st.integers(0, 500), st.booleans(), st.booleans()), max_size=30)


@given(edges)
def test_the_meter_is_the_longest_run_of_quiet_milliseconds(steps: list[tuple[int, bool, bool]]) -> None:
    """Against a plain count, millisecond by millisecond."""
    meter, now, quiet = SilenceMeter(), 0, []
    for after, pending, audible in steps:
        meter.update(now, pending=pending, audible=audible)
        quiet += [pending and not audible] * after
        now += after
    meter.update(now, pending=False, audible=False)
    longest = run = 0
    for silent in quiet:
        run = run + 1 if silent else 0
        longest = max(longest, run)
    # An edge of no length between two quiet spans splits them for the meter, not for the count.
    if all(after for after, _, _ in steps):
        assert meter.longest_ms == longest
    else:
        assert meter.longest_ms <= longest


def test_a_record_is_written_whole_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "call.json"
    record = recorder().ended(2000, "completed")
    write_record(record, path)
    write_record(record, path)
    assert CallRecord.model_validate_json(path.read_text()) == record
    assert list(path.parent.iterdir()) == [path]


def test_every_outcome_is_explained() -> None:
    assert all(OUTCOMES.values())


def test_errors_without_end_don_t_make_the_record_endless() -> None:
    recorder = Recorder("c1", 0.0, "alice", "order desk")
    for number in range(10_000):
        recorder.error(1000.0 + number, f"{number} " + "x" * 10_000)
    errors = recorder.ended(20_000.0, "completed").errors
    assert len(errors) == MOST_ERRORS + 1 and errors[-1] == "and more; the log tells of them"
    assert max(map(len, errors)) <= LONGEST_ERROR


def test_what_a_provider_owed_is_an_entry_with_its_reason_and_there_are_only_so_many() -> None:
    made = Recorder("c1", 1000.0)
    made.answered(2000.0)
    told: list[object] = []
    made.subscribe(told.append)
    made.unmet(3500.0, "response begun", 4000.4, "asked again", "no word")
    for number in range(MOST_UNMET + 10):
        made.unmet(4000.0 + number, "audio begun", 1.0, "new session")
    record = made.ended(9000.0, "completed")
    assert len(record.unmet) == MOST_UNMET
    first = {"at_ms": 1500, "expected": "response begun", "waited_ms": 4000, "then": "asked again", "reason": "no word"}
    assert record.unmet[0].model_dump() == first
    assert told[0] == Noted(1500, "no response begun: asked again") and record.errors == []


def test_without_words_the_record_has_who_spoke_when() -> None:
    call = Recorder("c1", 1000.0, words=False)
    call.answered(1200.0)
    call.turn_started(1300, "caller", "i1")
    call.turn_text_delta("i1", "my number is")
    call.turn_text("i1", "my number is 4711")
    call.turn_ended(2300, "i1")
    text = call.ended(3000, "completed").model_dump_json()
    assert "4711" not in text and '"start_ms":100' in text


def test_a_call_that_goes_on_has_a_record_so_far() -> None:
    call = recorder()
    call.turn_started(1300, "agent", "i1")
    call.tool_call_started(1400, "t1", "stock", "queued", "j1")
    so_far = call.so_far(2200)
    assert (so_far.outcome, so_far.duration_ms, so_far.ended_at) == ("in progress", 1000, None)
    assert [(turn.start_ms, turn.end_ms) for turn in so_far.turns] == [(100, 1000)]
    call.tool_call_finished(2300, "t1", "ok")
    assert so_far.tool_calls[0].status == "pending", "it does not change afterwards"
    ended = call.ended(3200, "completed")
    assert call.so_far(9000) is ended


def test_the_record_has_the_wall_clock_and_what_the_call_was_answered_with() -> None:
    about = About(agent="shop", route="427", provider="openai", model="gpt-realtime-2.1")
    call = Recorder("c1", 1000.0, started_at=1_700_000_000.0, about=about)
    call.sip_call_id = "abc@host"
    record = call.ended(3500.0, "completed")
    assert (record.version, record.started_at, record.ended_at) == (
        2,
        "2023-11-14T22:13:20.000Z",
        "2023-11-14T22:13:22.500Z",
    )
    assert (record.agent, record.route, record.model, record.sip_call_id) == (
        "shop",
        "427",
        "gpt-realtime-2.1",
        "abc@host",
    )
    assert CallRecord(call_id="old").version == 1


def test_a_transfer_stands_in_the_record_also_where_its_end_comes_after_the_call_s() -> None:
    made = recorder()
    seen: list[RecordEvent] = []
    made.subscribe(seen.append)
    first = TransferRecord(to="sales", way="blind", means="refer", outcome="busy", sip_status=486, took_ms=700)
    made.transferred(3000, first)
    record = made.ended(9000, "completed")
    made.transferred(8000, first.model_copy(update={"outcome": "hung_up", "sip_status": None}))
    assert [(one.at_ms, one.outcome) for one in record.transfers] == [(1800, "busy"), (6800, "hung_up")]
    assert [event.at_ms for event in seen if isinstance(event, Transferred)] == [2500, 7500]
