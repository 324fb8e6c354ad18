"""Calls on disk: `<call id>.json` is the record, `<call id>.journal` the journal, `<call id>.wav` the recording, or
`<call id>.wav.sealed` where it is encrypted (`sealed`).

Everything here reads and writes files: it belongs into a thread. An id is looked at before it becomes part of a path.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog
from pydantic import BaseModel, ValidationError

from worker.records.edges import JournalFile
from worker.records.record import CallRecord, wall, write_whole
from worker.records.sealed import SUFFIX
from worker.records.story import Story, story_of

__all__ = ["JOURNAL", "Archive", "Summary", "is_call_id", "is_sealed", "summary_of"]

log = structlog.get_logger(__name__)

JOURNAL = ".journal"
WAV = ".wav"
DAY_S = 86_400.0
CACHED = 5000
CALL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
PART = ".part"

T = TypeVar("T", bound=BaseModel)


def is_call_id(text: str) -> bool:
    """Whether this can be the id of a call, and so part of a file's name."""
    return CALL_ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Summary:
    """A call in a list."""

    call_id: str
    started_at: str
    """RFC 3339; of an old record when its file was written."""
    caller: str
    dialled: str
    agent: str
    outcome: str
    duration_ms: int
    live: bool = False
    worker: str = ""
    """Who has it, where that is another one than is asked."""


def summary_of(record: CallRecord, started_at: str = "") -> Summary:
    """Return the list's entry for a record."""
    return Summary(
        record.call_id,
        record.started_at or started_at,
        record.caller,
        record.dialled,
        record.agent,
        record.outcome,
        record.duration_ms,
    )


class Archive:
    """The folders in which records, recordings and journals are kept; None: they are not."""

    def __init__(self, records: Path | None, journals: Path | None, recordings: Path | None = None) -> None:
        self.records = records
        self.journals = journals
        self.recordings = recordings
        self._summaries: OrderedDict[Path, tuple[float, Summary | None]] = OrderedDict()

    def write_journal(self, call_id: str, journal: bytes) -> None:
        """Keep a journal (`edges.journal_bytes`). Raises OSError."""
        if self.journals is not None and is_call_id(call_id):
            write_whole(self.journals / f"{call_id}{JOURNAL}", journal)

    def story(self, call_id: str) -> Story | None:
        """Return what is known of a call; None where there is nothing of that name."""
        if not is_call_id(call_id):
            return None
        problems: list[str] = []
        record = _read(self.records, f"{call_id}.json", CallRecord, problems)
        journal = _read(self.journals, f"{call_id}{JOURNAL}", JournalFile, problems)
        path = self.recording(call_id)
        if record is None and journal is None and not problems and path is None:
            return None
        sealed = path is not None and is_sealed(path)
        return story_of(call_id, record, journal, recorded=path is not None, sealed=sealed, problems=problems)

    def beginning(self, part: str) -> set[str]:
        """Return the ids of the calls that begin so, by the names of their files."""
        if not is_call_id(part):
            return set()
        found = set()
        for folder in filter(None, {self.records, self.journals, self.recordings}):
            for path in folder.glob(f"{part}*"):
                name, dot, suffix = path.name.partition(".")
                if is_call_id(name) and dot + suffix in (".json", JOURNAL, WAV, SUFFIX):
                    found.add(name)
        return found

    def recording(self, call_id: str) -> Path | None:
        """Return where the call's recording is, if there is one."""
        if self.recordings is None or not is_call_id(call_id):
            return None
        paths = (self.recordings / f"{call_id}{suffix}" for suffix in (WAV, SUFFIX))
        return next((path for path in paths if path.is_file()), None)

    def summaries(self) -> Iterator[Summary]:
        """Yield the calls, the one that ended last first. A record that can't be read is passed over."""
        for path, written in _newest(self.records):
            known = self._summaries.get(path)
            if known is None or known[0] != written:
                known = self._summaries[path] = (written, _summary(path, written))
                while len(self._summaries) > CACHED:
                    self._summaries.popitem(last=False)
            if known[1] is not None:
                yield known[1]

    def sweep(self, now: float, days: float) -> int:
        """Delete journals of more than so many days ago, and the records in a folder of the journals' own.

        Returns how many files went. Records beside recordings are the operator's to delete.
        """
        own = self.records == self.journals and self.recordings != self.journals
        return _sweep(self.journals, (JOURNAL, ".json") if own else (JOURNAL,), now - days * DAY_S)

    def sweep_recordings(self, now: float, days: float) -> int:
        """Delete recordings that nothing was written to for more than so many days. Returns how many went."""
        return _sweep(self.recordings, (WAV, SUFFIX), now - days * DAY_S)


def is_sealed(path: Path) -> bool:
    """Whether a recording is encrypted, by its name."""
    return path.name.endswith(SUFFIX)


def _sweep(folder: Path | None, suffixes: tuple[str, ...], before: float) -> int:
    """Delete the calls' files with these suffixes that were written before that (Unix time, s)."""
    gone = 0
    for path in tuple(folder.iterdir()) if folder is not None and folder.is_dir() else ():
        name, dot, suffix = path.name.removesuffix(PART).partition(".")
        if not is_call_id(name) or dot + suffix not in suffixes:
            continue
        try:
            if path.stat().st_mtime < before:
                path.unlink()
                gone += 1
        except OSError as error:  # it has just gone, or is not ours to delete
            log.debug("not_deleted", path=str(path), reason=str(error))
    return gone


def _read(folder: Path | None, name: str, kind: type[T], problems: list[str]) -> T | None:
    """Read a file of ours; one that can't be read is told of in `problems`."""
    if folder is None:
        return None
    try:
        return kind.model_validate_json((folder / name).read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        problems.append(f"{name} can't be read: {error.strerror}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        problems.append(f"{name} is no such file, or not all of it: {f'{where}: ' if where else ''}{first['msg']}")
    return None


def _newest(folder: Path | None) -> list[tuple[Path, float]]:
    found = []
    for path in folder.glob("*.json") if folder is not None else ():
        if is_call_id(path.stem):
            try:
                found.append((path, path.stat().st_mtime))
            except OSError:  # it has just gone
                continue
    return sorted(found, key=lambda one: -one[1])


def _summary(path: Path, written: float) -> Summary | None:
    try:
        record = CallRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    return summary_of(record, wall(written - record.duration_ms / 1000)) if record.call_id == path.stem else None
