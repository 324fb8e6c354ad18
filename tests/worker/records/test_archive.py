"""Calls on disk: read whole, in part or not at all; listed, swept; and never a file that an id leads to elsewhere."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from worker.records.archive import JOURNAL, Archive, is_call_id
from worker.records.edges import Edge, JournalFile
from worker.records.record import CallRecord, ToolCallRecord, TurnRecord, write_record

DAY = 86_400


def journal(call_id: str = "c1", edges: int = 3) -> JournalFile:
    made = [Edge(ms=100 * n, at="2026-01-01T00:00:00.000Z", kind="turn", what="Tick", data={}) for n in range(edges)]
    return JournalFile(call_id=call_id, zero_at="2026-01-01T00:00:00.000Z", end_ms=100 * edges, edges=made)


def whole(journal: JournalFile) -> bytes:
    return journal.model_dump_json().encode()


def keep(folder: Path, call_id: str = "c1", **fields: object) -> CallRecord:
    turns = [TurnRecord(who="agent", text="Hello.", start_ms=0, end_ms=900)]
    base = {"call_id": call_id, "version": 2, "outcome": "completed", "duration_ms": 5000, "turns": turns}
    record = CallRecord.model_validate(base | {"started_at": "2026-01-01T00:00:00.000Z"} | fields)
    write_record(record, folder / f"{call_id}.json")
    return record


def test_a_call_with_all_its_files(tmp_path: Path) -> None:
    archive = Archive(tmp_path, tmp_path, tmp_path)
    record = keep(tmp_path)
    archive.write_journal("c1", whole(journal()))
    (tmp_path / "c1.wav").write_bytes(b"RIFF")
    story = archive.story("c1")
    assert story is not None and story.record == record and story.journal == journal()
    assert story.recorded and story.problems == [] and not story.live
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"c1{JOURNAL}", "c1.json", "c1.wav"]


def test_a_call_of_which_nothing_is_known(tmp_path: Path) -> None:
    assert Archive(tmp_path, tmp_path, tmp_path).story("c1") is None
    assert Archive(None, None).story("c1") is None
    assert list(Archive(tmp_path / "none", None).summaries()) == []


@pytest.mark.parametrize(
    "call_id", ["../secret", "..", ".", "", "a/b", "a\\b", "/etc/passwd", "c1.json", "c1\0", "a" * 65, "-c1", "c1\n"]
)
def test_an_id_that_leads_elsewhere(tmp_path: Path, call_id: str) -> None:
    inner = tmp_path / "calls"
    inner.mkdir()
    keep(tmp_path, "secret")
    (tmp_path / "secret.wav").write_bytes(b"RIFF")
    archive = Archive(inner, inner, inner)
    assert not is_call_id(call_id)
    assert archive.story(call_id) is None and archive.recording(call_id) is None
    archive.write_journal(call_id, whole(journal(call_id)))
    assert list(inner.iterdir()) == [] and len(list(tmp_path.iterdir())) == 3


def test_a_record_of_the_first_version_and_one_of_a_later(tmp_path: Path) -> None:
    old = {"call_id": "old", "outcome": "completed", "duration_ms": 1000, "caller": "1001", "dialled": "427"}
    (tmp_path / "old.json").write_text(json.dumps(old))
    (tmp_path / "new.json").write_text(json.dumps({**old, "call_id": "new", "version": 9, "mood": "good"}))
    os.utime(tmp_path / "old.json", (1_767_225_601, 1_767_225_601))
    archive = Archive(tmp_path, tmp_path)
    story = archive.story("old")
    assert story is not None and story.record is not None and story.record.version == 1 and story.problems == []
    found = {one.call_id: one for one in archive.summaries()}
    assert found["old"].started_at == "2026-01-01T00:00:00.000Z", "the file's time, less the call's length"
    assert set(found) == {"old", "new"}


@pytest.mark.parametrize("name", ["c1.json", f"c1{JOURNAL}"])
@pytest.mark.parametrize("cut", [0, 1, 40, -2])
def test_a_file_that_was_half_written_is_told_of_and_the_other_is_shown(tmp_path: Path, name: str, cut: int) -> None:
    archive = Archive(tmp_path, tmp_path)
    keep(tmp_path)
    archive.write_journal("c1", whole(journal()))
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[:cut])
    story = archive.story("c1")
    assert story is not None and len(story.problems) == 1 and story.problems[0].startswith(f"{name} is no such file")
    assert (story.record is None) == (name == "c1.json") and (story.journal is None) == (name != "c1.json")
    assert len(list(archive.summaries())) == (name != "c1.json")


def test_the_latest_is_listed_first_and_a_changed_record_is_read_again(tmp_path: Path) -> None:
    archive = Archive(tmp_path, None)
    for number in range(3):
        keep(tmp_path, f"c{number}")
        os.utime(tmp_path / f"c{number}.json", (1000 + number, 1000 + number))
    assert [one.call_id for one in archive.summaries()] == ["c2", "c1", "c0"]
    keep(tmp_path, "c0", outcome="failed", tool_calls=[ToolCallRecord(tool="x", mode="inline")])
    assert [(one.call_id, one.outcome) for one in archive.summaries()][0] == ("c0", "failed")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def age(folder: Path, now: float, days: float) -> None:
    for path in folder.iterdir():
        os.utime(path, (now - days * DAY, now - days * DAY))


def test_in_a_folder_of_their_own_journals_and_records_go_with_their_days(tmp_path: Path) -> None:
    archive = Archive(tmp_path, tmp_path)
    keep(tmp_path)
    archive.write_journal("c1", whole(journal()))
    (tmp_path / f"c0{JOURNAL}.part").write_text("{")
    (tmp_path / "notes.txt").write_text("the operator's own")
    (tmp_path / "a.b.json").write_text("{}")
    age(tmp_path, 1e9, 15)
    keep(tmp_path, "c2")
    assert archive.sweep(1e9, 14) == 3
    assert names(tmp_path) == {"notes.txt", "a.b.json", "c2.json"}


def test_beside_recordings_only_the_journals_go(tmp_path: Path) -> None:
    archive = Archive(tmp_path, tmp_path, tmp_path)
    keep(tmp_path)
    archive.write_journal("c1", whole(journal()))
    (tmp_path / "c1.wav").write_bytes(b"RIFF")
    age(tmp_path, 1e9, 15)
    assert archive.sweep(1e9, 14) == 1
    assert names(tmp_path) == {"c1.json", "c1.wav"}


def test_nothing_goes_before_its_time_or_where_there_is_no_folder(tmp_path: Path) -> None:
    archive = Archive(tmp_path, tmp_path)
    archive.write_journal("c1", whole(journal()))
    age(tmp_path, 1e9, 13)
    assert archive.sweep(1e9, 14) == 0 and Archive(None, None).sweep(1e9, 1) == 0
    assert Archive(None, tmp_path / "none").sweep(1e9, 1) == 0


def test_recordings_go_after_their_days_sealed_ones_too_and_nothing_else(tmp_path: Path) -> None:
    archive = Archive(tmp_path, tmp_path, tmp_path)
    for name in ("c1.wav", "c2.wav.sealed", "c3.json", "c3.svg", "music.mp3", "a.b.wav"):
        (tmp_path / name).write_bytes(b"x")
    assert archive.recording("c2") == tmp_path / "c2.wav.sealed"
    age(tmp_path, 1e9, 29)
    assert archive.sweep_recordings(1e9, 30) == 0
    age(tmp_path, 1e9, 31)
    assert archive.sweep_recordings(1e9, 30) == 2
    assert names(tmp_path) == {"c3.json", "c3.svg", "music.mp3", "a.b.wav"}
    assert Archive(None, None).sweep_recordings(1e9, 1) == 0


def test_calls_by_the_beginning_of_their_id_and_nothing_else_that_lies_there(tmp_path: Path) -> None:
    names = ("47a.json", "47b.journal", "47c.wav", "47d.wav.sealed", "47e.svg", "47f.json.part", "48.json")
    for name in names:
        (tmp_path / name).touch()
    archive = Archive(tmp_path, None, tmp_path)
    assert archive.beginning("47") == {"47a", "47b", "47c", "47d"}
    assert archive.beginning("*") == archive.beginning("../") == Archive(None, None).beginning("47") == set()
