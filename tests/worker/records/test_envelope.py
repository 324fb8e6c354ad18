"""Both voices' envelopes: where they lie in time, how large they get, and that they are levels alone."""

from __future__ import annotations

import pytest

from telephony.bridge import Bridge
from worker.records.edges import JournalFile, journal_bytes, journal_of
from worker.records.envelope import COLUMN_MS, FRAME_MS, MOST, Envelope
from worker.records.journal import Journal


def spans(levels: bytes, column_ms: int = COLUMN_MS) -> list[tuple[int, int, int]]:
    """What is not silent, as (from ms, to ms, level), neighbours of one level in one."""
    found: list[tuple[int, int, int]] = []
    for column, level in enumerate(levels):
        begin, end = column * column_ms, (column + 1) * column_ms
        if found and found[-1][1:] == (begin, level):
            found[-1] = (found[-1][0], end, level)
        elif level:
            found.append((begin, end, level))
    return found


def caller_of(envelope: Envelope) -> list[tuple[int, int, int]]:
    taken = envelope.taken()
    return spans(taken.caller, taken.column_ms)


@pytest.mark.parametrize("frames", [1, 2, 5, 25, 50, 100])
def test_what_was_heard_lies_where_it_was_however_often_one_looks(frames: int) -> None:
    envelope = Envelope(100.0)
    heard = bytes(100 if 40 <= number < 60 else 0 for number in range(100))
    said = bytes(50 if number < 10 else 0 for number in range(100))
    for at in range(0, 100, frames):
        late_s = 0.03 * (at // frames % 2)  # no look is on time to the ms
        now = 100.0 + (at + frames) * FRAME_MS / 1000 + late_s
        envelope.look(now, heard[at : at + frames], said[at : at + frames])
    taken = envelope.taken()
    assert (taken.began_s, taken.column_ms) == (100.0, COLUMN_MS)
    assert spans(taken.caller) == [(800, 1200, 100)] and spans(taken.agent) == [(0, 200, 50)]


def test_frames_end_now_and_none_lies_on_another() -> None:
    envelope = Envelope(0.0)
    envelope.look(2.0, bytes([100] * 10), b"")  # audio began to flow just now
    assert caller_of(envelope) == [(1800, 2000, 100)]
    envelope.look(3.0, b"", b"")  # nothing came
    envelope.look(4.0, bytes([50] * 50), b"")
    assert caller_of(envelope)[1:] == [(3000, 4000, 50)]
    envelope.look(4.2, bytes([75] * 10 + [100] * 20), b"")
    assert caller_of(envelope)[2:] == [(4000, 4280, 100)], "more than the time has room for: the latest"
    envelope.look(9.0, b"", b"")
    assert caller_of(envelope)[2:] == [(4000, 4280, 100)]


def test_half_a_column_is_completed_and_the_louder_half_counts() -> None:
    for halves in ((100, 50), (50, 100)):
        envelope = Envelope(0.0)
        envelope.look(0.06, bytes([10, 10, halves[0]]), b"")
        envelope.look(0.12, bytes([halves[1], 20, 20]), b"")
        assert list(envelope.taken().caller) == [10, 100, 20]


def test_a_long_call_has_wider_columns_and_no_more_of_them() -> None:
    envelope = Envelope(0.0)
    long_s = 36_000
    for second in range(long_s):
        said = bytes([80] * 50) if second % 600 == 0 else bytes(50)
        envelope.look(second + 1.0, bytes([100 if 1800 <= second < 3600 else 0] * 50), said)
    taken = envelope.taken()
    assert len(taken.caller) <= MOST and len(taken.agent) <= MOST
    wide_ms = taken.column_ms
    assert wide_ms == COLUMN_MS * 256 and MOST * wide_ms // 2 < long_s * 1000
    [(begin, end, level)] = spans(taken.caller, wide_ms)
    assert level == 100
    assert begin == pytest.approx(1_800_000, abs=wide_ms) and end == pytest.approx(3_600_000, abs=wide_ms)
    assert [begin for begin, _, _ in spans(taken.agent, wide_ms)] == [
        s * 1000 // wide_ms * wide_ms for s in range(0, long_s, 600)
    ]


def test_a_frame_is_as_long_as_the_telephone_s() -> None:
    assert Bridge().ptime_ms == FRAME_MS


def test_it_is_in_the_journal_and_comes_back_from_the_file() -> None:
    now = 100.0
    journal = Journal(lambda: now)
    now = 100.4
    journal.looked(0, 0, bytes([100] * 20), b"")
    now = 101.0
    journal.looked(0, 0, bytes([100] * 30), b"")
    live = journal_of("c1", journal.taken())
    kept = JournalFile.model_validate_json(journal_bytes("c1", journal.taken()))
    for one in (live, kept, JournalFile.model_validate_json(live.model_dump_json())):
        assert one.envelope is not None and one.envelope.caller == bytes([100] * 25)
        assert (one.envelope.start_ms, one.envelope.column_ms, one.envelope.agent) == (0, COLUMN_MS, b"")


def test_a_journal_that_is_off_has_none_and_one_of_before_is_read() -> None:
    assert Journal(on=False).taken().levels is None
    assert JournalFile.model_validate_json('{"call_id": "c1", "edges": []}').envelope is None
