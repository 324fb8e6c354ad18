"""Both voices' envelopes: where they lie in time, how large they get, and that they are levels alone."""

from __future__ import annotations

import pytest

from worker.records.edges import JournalFile, journal_bytes, journal_of
from worker.records.envelope import COLUMN_MS, LOUDEST, MOST, Envelope
from worker.records.journal import Journal

RATE_HZ = 8000
LOUD = 3200
"""An RMS of which a column is 100."""


def sound(ms: int, level: int = LOUD) -> bytes:
    """So much of this RMS."""
    sample = level.to_bytes(2, "little", signed=True)
    return sample * (ms * RATE_HZ // 1000)


def spans(levels: bytes) -> list[tuple[int, int, int]]:
    """The columns that are not silent, as (from, to, level), neighbours of one level in one."""
    found: list[tuple[int, int, int]] = []
    for column, level in enumerate(levels):
        if found and found[-1][1] == column and found[-1][2] == level:
            found[-1] = (found[-1][0], column + 1, level)
        elif level:
            found.append((column, column + 1, level))
    return found


def test_the_caller_s_loudest_piece_of_each_column() -> None:
    envelope = Envelope(100.0)
    for number in range(50):  # 40 ms each
        envelope.caller(100.001 + number * 0.04, LOUD if 20 <= number < 30 else 0)
    taken = envelope.taken(102.0)
    assert (taken.began_s, taken.column_ms) == (100.0, COLUMN_MS)
    assert spans(taken.caller) == [(8, 12, 100)]


def test_the_agent_s_words_lie_where_they_were_heard_and_not_where_they_came() -> None:
    envelope = Envelope(0.0)
    envelope.queued("i1", sound(500) + sound(500, 1600), RATE_HZ)
    assert spans(envelope.taken(1.0).agent) == [], "nobody has heard it yet"
    envelope.moved(2.0, "i1", 0)
    assert spans(envelope.taken(2.3).agent) == [(20, 23, 100)], "a live page moves"
    envelope.moved(3.0, None, 0)
    assert spans(envelope.taken(9.0).agent) == [(20, 25, 100), (25, 30, 50)]


def test_what_was_cut_off_was_not_heard_and_what_ran_dry_goes_on_from_there() -> None:
    envelope = Envelope(0.0)
    envelope.queued("i1", sound(1000), RATE_HZ)
    envelope.moved(1.0, "i1", 0)
    envelope.moved(1.4, None, 0)  # barge-in: the rest was flushed
    assert spans(envelope.taken(9.0).agent) == [(10, 14, 100)]
    envelope.queued("i2", sound(300) + sound(300, 1600), RATE_HZ)
    envelope.moved(2.0, "i2", 0)
    envelope.moved(2.3, None, 0)  # an underrun
    envelope.moved(3.0, "i2", 300)
    envelope.moved(3.3, None, 0)
    assert spans(envelope.taken(9.0).agent)[1:] == [(20, 23, 100), (30, 33, 50)]


def test_of_two_items_in_one_column_the_louder_is_kept() -> None:
    for first, second in ((LOUD, 1600), (1600, LOUD)):
        envelope = Envelope(0.0)
        envelope.queued("i1", sound(200, first), RATE_HZ)
        envelope.queued("i2", sound(200, second), RATE_HZ)
        envelope.moved(1.0, "i1", 0)
        envelope.moved(1.15, "i2", 0)
        envelope.moved(1.35, None, 0)
        assert list(envelope.taken(2.0).agent[10:]) == [first >> 5, 100, second >> 5]
        assert envelope.taken(2.0).agent[:10] == bytes(10)


@pytest.mark.parametrize("ms", [20, 37, 100, 250])
def test_pieces_of_any_length_come_to_the_same(ms: int) -> None:
    envelope = Envelope(0.0)
    whole = sound(400) + sound(400, 1600)
    size = ms * RATE_HZ // 1000 * 2
    for at in range(0, len(whole), size):
        envelope.queued("i1", whole[at : at + size], RATE_HZ)
    envelope.moved(0.0, "i1", 0)
    envelope.moved(0.8, None, 0)
    assert spans(envelope.taken(1.0).agent) == [(0, 4, 100), (4, 8, 50)]


def test_a_long_call_has_wider_columns_and_no_more_of_them() -> None:
    envelope = Envelope(0.0)
    hour = 36_000
    for second in range(hour):
        now = float(second)
        envelope.caller(now, LOUD if 1800 <= second < 3600 else 0)
        if second % 600 == 0:
            envelope.queued(f"i{second}", sound(1000), RATE_HZ)
            envelope.moved(now, f"i{second}", 0)
        elif second % 600 == 1:
            envelope.moved(now, None, 0)
    taken = envelope.taken(float(hour))
    assert len(taken.caller) <= MOST and len(taken.agent) <= MOST
    assert taken.column_ms == COLUMN_MS * 64 and MOST * taken.column_ms >= hour * 1000
    [(begin, end, level)] = spans(taken.caller)
    assert level == 100
    assert begin == pytest.approx(1_800_000 / taken.column_ms, abs=1)
    assert end == pytest.approx(3_600_000 / taken.column_ms, abs=1)
    assert [begin for begin, _, _ in spans(taken.agent)] == [s * 1000 // taken.column_ms for s in range(0, hour, 600)]


def test_the_loudest_is_a_byte_and_items_that_nobody_hears_are_forgotten() -> None:
    envelope = Envelope(0.0)
    for number in range(1000):
        envelope.queued(f"i{number}", sound(100, 32767), RATE_HZ)
    envelope.moved(0.0, "i0", 0)
    envelope.moved(0.1, "i999", 0)
    envelope.moved(0.2, None, 0)
    envelope.caller(0.0, 32768)
    assert spans(envelope.taken(1.0).agent) == [(1, 2, LOUDEST)] and envelope.taken(1.0).caller == bytes([LOUDEST])


def test_it_is_in_the_journal_and_comes_back_from_the_file() -> None:
    now = 100.0
    journal = Journal(lambda: now)
    assert journal.envelope is not None
    for number in range(10):
        journal.envelope.caller(100.01 + number / 10, LOUD)
    now = 101.0
    live = journal_of("c1", journal.taken())
    kept = JournalFile.model_validate_json(journal_bytes("c1", journal.taken()))
    for one in (live, kept, JournalFile.model_validate_json(live.model_dump_json())):
        assert one.envelope is not None and one.envelope.caller == bytes([100] * 10)
        assert (one.envelope.start_ms, one.envelope.column_ms, one.envelope.agent) == (0, COLUMN_MS, b"")


def test_a_journal_that_is_off_has_none_and_one_of_before_is_read() -> None:
    assert Journal(on=False).envelope is None and Journal(on=False).taken().levels is None
    assert JournalFile.model_validate_json('{"call_id": "c1", "edges": []}').envelope is None


def test_the_last_of_an_item_fills_no_column_and_is_there_all_the_same() -> None:
    envelope = Envelope(0.0)
    envelope.queued("i1", sound(240), RATE_HZ)
    envelope.moved(1.0, "i1", 0)
    assert spans(envelope.taken(1.24).agent) == [(10, 13, 100)]
    envelope.queued("i1", sound(60, 1600), RATE_HZ)  # the same column is filled
    envelope.moved(1.3, None, 0)
    [(begin, middle, loud), (_, end, mixed)] = spans(envelope.taken(2.0).agent)
    assert (begin, middle, end, loud) == (10, 12, 13, 100) and 50 < mixed < 100
