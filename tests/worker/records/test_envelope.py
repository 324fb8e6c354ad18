"""Both voices' envelopes: where they lie in time, how large they get, and that they are levels alone."""

from __future__ import annotations

import pytest

from worker.call.ears import Ears
from worker.records.edges import JournalFile, journal_bytes, journal_of
from worker.records.envelope import COLUMN_MS, LOUDEST, MOST, Envelope
from worker.records.journal import Journal
from worker.service.pacer import BATCH_MS

RATE_HZ = 8000
LOUD = 3200
"""An RMS that is a level of 100."""


def sound(ms: int, level: int = LOUD) -> bytes:
    """So much of this RMS."""
    sample = level.to_bytes(2, "little", signed=True)
    return sample * (ms * RATE_HZ // 1000)


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


@pytest.mark.parametrize("looks", [1, 2, 5, 25, 50])
def test_the_caller_s_pieces_lie_where_they_were_said(looks: int) -> None:
    envelope = Envelope(100.0)
    for number in range(50):
        envelope.pieces.append(100 if 20 <= number < 30 else 0)
        if number % looks == looks - 1:
            late_s = 0.03 * (number % 2)  # no tick is on time to the ms
            envelope.look(100.0 + (number + 1) * COLUMN_MS / 1000 + late_s)
    taken = envelope.taken(102.0)
    assert (taken.began_s, taken.column_ms) == (100.0, COLUMN_MS)
    assert spans(taken.caller) == [(800, 1200, 100)]


def test_the_caller_s_pieces_end_now_and_none_lies_on_another() -> None:
    envelope = Envelope(0.0)
    envelope.pieces.extend([100] * 5)  # audio began to flow just now
    assert spans(envelope.taken(2.0).caller) == [(1800, 2000, 100)]
    envelope.look(3.0)  # nothing came
    envelope.pieces.extend([50] * 25)
    assert spans(envelope.taken(4.0).caller)[1:] == [(3000, 4000, 50)]
    envelope.pieces.extend([75] * 5 + [100] * 10)
    room = (4000, 4280, 100)
    assert spans(envelope.taken(4.2).caller)[2:] == [room], "more than the time has room for: the latest"
    assert spans(envelope.taken(9.0).caller)[2:] == [room] and not envelope.pieces


def test_a_piece_has_the_level_that_the_call_s_ears_have_measured() -> None:
    envelope = Envelope(0.0)
    ears = Ears(envelope.pieces)
    for number, level in enumerate((0, LOUD, 32767)):
        ears.hear(sound(COLUMN_MS, level), number * COLUMN_MS / 1000)
    assert list(envelope.pieces) == [0, 100, LOUDEST]
    assert COLUMN_MS == BATCH_MS


def test_the_agent_s_words_lie_where_they_were_heard_and_not_where_they_came() -> None:
    envelope = Envelope(0.0)
    envelope.queued("i1", sound(480) + sound(480, 1600), RATE_HZ)
    assert spans(envelope.taken(1.0).agent) == [], "nobody has heard it yet"
    envelope.moved(2.0, "i1", 0)
    assert spans(envelope.taken(2.28).agent) == [(2000, 2280, 100)], "a live page moves"
    assert spans(envelope.taken(2.32).agent) == [(2000, 2320, 100)]
    envelope.moved(3.0, None, 0)
    assert spans(envelope.taken(9.0).agent) == [(2000, 2480, 100), (2480, 2960, 50)]


def test_what_was_cut_off_was_not_heard_and_what_ran_dry_goes_on_from_there() -> None:
    envelope = Envelope(0.0)
    envelope.queued("i1", sound(1000), RATE_HZ)
    envelope.moved(1.0, "i1", 0)
    envelope.moved(1.4, None, 0)  # barge-in: the rest was flushed
    assert spans(envelope.taken(9.0).agent) == [(1000, 1400, 100)]
    envelope.queued("i2", sound(320) + sound(320, 1600), RATE_HZ)
    envelope.moved(2.0, "i2", 0)
    envelope.moved(2.32, None, 0)  # an underrun
    envelope.moved(3.0, "i2", 320)
    envelope.moved(3.32, None, 0)
    assert spans(envelope.taken(9.0).agent)[1:] == [(2000, 2320, 100), (3000, 3320, 50)]


def test_of_two_items_in_one_column_the_louder_is_kept() -> None:
    for first, second in ((LOUD, 1600), (1600, LOUD)):
        envelope = Envelope(0.0)
        envelope.queued("i1", sound(80, first), RATE_HZ)
        envelope.queued("i2", sound(80, second), RATE_HZ)
        envelope.moved(1.0, "i1", 0)
        envelope.moved(1.06, "i2", 0)
        envelope.moved(1.14, None, 0)
        assert list(envelope.taken(2.0).agent[25:]) == [first >> 5, 100, second >> 5]
        assert envelope.taken(2.0).agent[:25] == bytes(25)


@pytest.mark.parametrize("ms", [20, 37, 40, 100, 250])
def test_pieces_of_any_length_come_to_the_same(ms: int) -> None:
    envelope = Envelope(0.0)
    whole = sound(400) + sound(400, 1600)
    size = ms * RATE_HZ // 1000 * 2
    for at in range(0, len(whole), size):
        envelope.queued("i1", whole[at : at + size], RATE_HZ)
    envelope.moved(0.0, "i1", 0)
    envelope.moved(0.8, None, 0)
    agent = envelope.taken(1.0).agent
    assert (agent[:8], agent[12:]) == (bytes([100] * 8), bytes([50] * 8)), "as loud as they are"
    assert all(50 <= level <= 100 for level in agent[8:12]), "and one piece may be of both"


def test_the_last_of_an_item_fills_no_column_and_is_there_all_the_same() -> None:
    envelope = Envelope(0.0)
    envelope.queued("i1", sound(100), RATE_HZ)
    envelope.queued("i1", sound(50, 6400), RATE_HZ)
    envelope.moved(1.0, "i1", 0)
    assert spans(envelope.taken(1.04).agent) == [(1000, 1040, 100)]
    assert spans(envelope.taken(3.0).agent) == [(1000, 1080, 100), (1080, 1160, 200)], "and no more than came"


def test_a_long_call_has_wider_columns_and_no_more_of_them() -> None:
    envelope = Envelope(0.0)
    long_s = 36_000
    for second in range(long_s):
        now = float(second)
        envelope.look(now)
        envelope.pieces.extend([100 if 1800 <= second < 3600 else 0] * 25)
        if second % 600 == 0:
            envelope.queued(f"i{second}", sound(1000), RATE_HZ)
            envelope.moved(now, f"i{second}", 0)
        elif second % 600 == 1:
            envelope.moved(now, None, 0)
    taken = envelope.taken(float(long_s))
    assert len(taken.caller) <= MOST and len(taken.agent) <= MOST
    wide_ms = taken.column_ms
    assert wide_ms == COLUMN_MS * 256 and MOST * wide_ms // 2 < long_s * 1000
    [(begin, end, level)] = spans(taken.caller, wide_ms)
    assert level == 100
    assert begin == pytest.approx(1_800_000, abs=wide_ms) and end == pytest.approx(3_600_000, abs=wide_ms)
    assert [begin for begin, _, _ in spans(taken.agent, wide_ms)] == [
        s * 1000 // wide_ms * wide_ms for s in range(0, long_s, 600)
    ]


def test_the_loudest_is_a_byte_and_items_that_nobody_hears_are_forgotten() -> None:
    envelope = Envelope(0.0)
    for number in range(1000):
        envelope.queued(f"i{number}", sound(120, 32767), RATE_HZ)
    envelope.moved(0.0, "i0", 0)
    envelope.moved(0.12, "i999", 0)
    envelope.moved(0.24, None, 0)
    assert spans(envelope.taken(1.0).agent) == [(120, 240, LOUDEST)]


def test_it_is_in_the_journal_and_comes_back_from_the_file() -> None:
    now = 100.0
    journal = Journal(lambda: now)
    assert journal.envelope is not None
    now = 100.4
    journal.envelope.pieces.extend([100] * 10)
    journal.looked(0, 0)
    journal.envelope.pieces.extend([100] * 15)
    now = 101.0
    live = journal_of("c1", journal.taken())
    kept = JournalFile.model_validate_json(journal_bytes("c1", journal.taken()))
    for one in (live, kept, JournalFile.model_validate_json(live.model_dump_json())):
        assert one.envelope is not None and one.envelope.caller == bytes([100] * 25)
        assert (one.envelope.start_ms, one.envelope.column_ms, one.envelope.agent) == (0, COLUMN_MS, b"")


def test_a_journal_that_is_off_has_none_and_one_of_before_is_read() -> None:
    assert Journal(on=False).envelope is None and Journal(on=False).taken().levels is None
    assert JournalFile.model_validate_json('{"call_id": "c1", "edges": []}').envelope is None
