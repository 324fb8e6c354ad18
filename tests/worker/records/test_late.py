"""Records that tools outlive."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from tools.errors import QueueUnavailable
from tools.queue.store.late import TTL_S, LateResult, Orphan
from worker.records import late as late_records
from worker.records.late import LateRecords, complete
from worker.records.record import CallRecord, ToolCallRecord, write_record

NOW = 1_800_000_000.0


def record(call_id: str = "c1", **statuses: str) -> CallRecord:
    calls = [
        ToolCallRecord(tool=name, mode="queued", job_id=f"{call_id}-{name}", status=statuses[name]) for name in statuses
    ]
    return CallRecord(call_id=call_id, tool_calls=calls)


def late(tool: str, output: str, status: str = "ok", call_id: str = "c1") -> LateResult:
    orphan = Orphan(
        call_id=call_id,
        tool_call_id=tool,
        job_id=f"{call_id}-{tool}",
        tool=tool,
        summary="",
        caller="",
        dialled="",
        hung_up_at=NOW,
    )
    return LateResult(orphan=orphan, status=status, output=output, ended_at=NOW + 61.5)


class Queue:
    """What Redis knows, and how often it was asked."""

    def __init__(self) -> None:
        self.known: dict[str, list[LateResult]] = {}
        self.asked: list[str] = []
        self.away = False

    async def late_results(self, call_id: str) -> list[LateResult]:
        self.asked.append(call_id)
        if self.away:
            raise QueueUnavailable("away")
        return self.known.get(call_id, [])


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def records(tmp_path: Path, queue: Queue) -> LateRecords:
    return LateRecords(tmp_path, queue.late_results)


def on_disk(folder: Path, call_id: str = "c1") -> CallRecord:
    return CallRecord.model_validate_json((folder / f"{call_id}.json").read_bytes())


def test_only_what_goes_on_is_completed() -> None:
    kept = record(pack="continues", book="continues", look="cancelled", told="ok")
    assert not complete(kept, [late("pack", '{"n": 1}'), late("look", '{"n": 2}'), late("told", "3")])
    pack, book, look, told = kept.tool_calls
    assert (pack.status, pack.result, pack.ended_at) == ("ok", {"n": 1}, "2027-01-15T08:01:01.500+00:00")
    assert (book.status, look.status, told.status) == ("continues", "cancelled", "ok")
    assert look.result is told.result is told.ended_at is None
    assert complete(kept, [late("book", '{"error": "x"}', "failed")]) and book.status == "failed"


async def test_a_record_is_asked_for_until_nothing_is_missing(
    tmp_path: Path, queue: Queue, records: LateRecords
) -> None:
    kept = record(pack="continues", book="continues")
    write_record(kept, tmp_path / "c1.json")
    records.note(kept, NOW)
    await records.look(NOW + 1)
    assert queue.asked == [], "not yet"
    queue.known["c1"] = [late("pack", "1")]
    await records.look(NOW + 2)
    assert [call.status for call in on_disk(tmp_path).tool_calls] == ["ok", "continues"]
    queue.known["c1"].append(late("book", "2"))
    await records.look(NOW + 4)
    assert [call.result for call in on_disk(tmp_path).tool_calls] == [1, 2]
    await records.look(NOW + 100)
    assert queue.asked == ["c1", "c1"], "and then no more"


async def test_it_is_asked_ever_more_seldom_and_not_for_ever(queue: Queue, records: LateRecords) -> None:
    records.note(record(pack="continues"), NOW)
    for second in range(1000):
        await records.look(NOW + second)
    assert 25 < len(queue.asked) < 60
    await records.look(NOW + TTL_S + 1)
    asked = len(queue.asked)
    await records.look(NOW + 2 * TTL_S)
    assert len(queue.asked) == asked


async def test_redis_may_be_away(tmp_path: Path, queue: Queue, records: LateRecords) -> None:
    kept = record(pack="continues")
    write_record(kept, tmp_path / "c1.json")
    records.note(kept, NOW)
    queue.away, queue.known["c1"] = True, [late("pack", "1")]
    await records.look(NOW + 2)
    queue.away = False
    await records.look(NOW + 3)
    assert on_disk(tmp_path).tool_calls[0].result == 1


@pytest.mark.parametrize("text", [None, "{", '{"call_id": 7}'])
async def test_a_record_that_is_gone_or_broken_is_left_alone(
    tmp_path: Path, queue: Queue, records: LateRecords, text: str | None
) -> None:
    records.note(record(pack="continues"), NOW)
    if text is not None:
        (tmp_path / "c1.json").write_text(text)
    queue.known["c1"] = [late("pack", "1")]
    await records.look(NOW + 2)
    await records.look(NOW + 60)
    assert queue.asked == ["c1"]
    assert [path.read_text() for path in tmp_path.iterdir()] == ([] if text is None else [text])


async def test_what_another_run_left_open_is_taken_up(
    tmp_path: Path, queue: Queue, records: LateRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_record(record("old", pack="continues"), tmp_path / "old.json")
    write_record(record("done", pack="ok"), tmp_path / "done.json")
    queue.known["old"] = [late("pack", "1", call_id="old")]
    monkeypatch.setattr(late_records, "LOOK_S", 0.01)
    monkeypatch.setattr(late_records, "FIRST_S", 0.0)
    running = asyncio.create_task(records.run())
    try:
        async with asyncio.timeout(10):
            while on_disk(tmp_path, "old").tool_calls[0].status == "continues":
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert set(queue.asked) == {"old"}


async def test_the_oldest_is_let_go_where_there_are_too_many(
    queue: Queue, records: LateRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late_records, "OPEN", 2)
    for number in range(3):
        records.note(record(f"c{number}", pack="continues"), NOW)
    await records.look(NOW + 10)
    assert queue.asked == ["c1", "c2"]
