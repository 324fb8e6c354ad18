"""The calls that pages and `offhook call` tell of: those in progress, the last ones, and those on disk."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from worker.call.session import CallSession
from worker.records.archive import Archive, Summary, is_sealed, summary_of
from worker.records.edges import JournalFile, journal_bytes, journal_of
from worker.records.record import IN_PROGRESS, CallRecord, wall
from worker.records.search import Found, Query
from worker.records.story import Story, story_of

__all__ = ["LISTED", "CallBook"]

log = structlog.get_logger(__name__)

KEPT = 100
"""Calls that are kept in memory where no folder keeps them: some 20 kB each."""
LISTED = 100
LOOKED_AT = 5000
"""Calls on disk that a search looks through, the latest: a record takes some 0.1 ms, and is read once."""
SWEEP_S = 3600.0


@dataclass(frozen=True, slots=True)
class _Kept:
    """A call that is over, in memory."""

    summary: Summary
    record: CallRecord
    journal: bytes
    """As JSON, compressed."""

    def story(self) -> Story:
        """All that is known of it."""
        journal = JournalFile.model_validate_json(zlib.decompress(self.journal))
        return story_of(self.record.call_id, self.record, journal)


class Calls(Protocol):
    """The calls in progress."""

    def session(self, call_id: str) -> CallSession | None:
        """The session of one."""

    def sessions(self) -> Sequence[CallSession]:
        """The sessions of all."""


class CallBook:
    """One worker's. On the event loop; what takes longer than a moment is done in threads."""

    def __init__(self, archive: Archive, *, on: bool = True, days: float = 14.0) -> None:
        """on: False keeps nothing of calls that are over. days: how long journals stay on disk."""
        self.calls: Calls | None = None
        self.archive = archive
        self._on = on
        self._days = days
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    # --- what is kept -------------------------------------------------------------------------------------------------

    async def finished(self, session: CallSession, record: CallRecord) -> None:
        """Keep the journal of a call that is over. A disk that is full is the operator's matter."""
        if not self._on:
            return
        call_id, taken = record.call_id, session.journal.taken()

        def keep() -> _Kept | None:
            journal = journal_bytes(call_id, taken)
            if self.archive.journals is not None:
                self.archive.write_journal(call_id, journal)
                return None
            return _Kept(summary_of(record), record, zlib.compress(journal, 1))

        try:
            kept = await asyncio.to_thread(keep)
        except OSError as error:
            log.error("journal_not_written", call_id=call_id, reason=str(error))
            return
        if kept is not None:
            self._kept[call_id] = kept
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)

    async def sweep(self) -> None:
        """Delete what has been on disk for longer than it is to be, until cancelled."""
        while True:
            gone = await asyncio.to_thread(self.archive.sweep, time.time(), self._days)
            if gone:
                log.info("journals_deleted", files=gone, days=self._days)
            await asyncio.sleep(SWEEP_S)

    async def sweep_recordings(self, days: float) -> None:
        """Delete recordings of more than so many days ago, until cancelled."""
        while True:
            gone = await asyncio.to_thread(self.archive.sweep_recordings, time.time(), days)
            if gone:
                log.info("recordings_deleted", files=gone, days=days)
            await asyncio.sleep(SWEEP_S)

    # --- what is told -------------------------------------------------------------------------------------------------

    async def story(self, call_id: str) -> Story | None:
        """Return all that is known of a call; None where there is none of that id."""
        session = self.calls.session(call_id) if self.calls is not None else None
        if session is not None:
            record, taken = session.recorder.so_far(session.now_ms), session.journal.taken()
            path = self.archive.recording(call_id)
            recorded, sealed = path is not None, path is not None and is_sealed(path)
            on = session.journal.on

            def told() -> Story:
                journal = journal_of(call_id, taken) if on else None
                return story_of(call_id, record, journal, live=True, recorded=recorded, sealed=sealed)

            return await asyncio.to_thread(told)
        if (kept := self._kept.get(call_id)) is not None:
            return await asyncio.to_thread(kept.story)
        return await asyncio.to_thread(self.archive.story, call_id)

    async def found(self, query: Query) -> Found:
        """Search the calls."""
        live = [
            Summary(
                session.info.call_id,
                wall(session.recorder.started_at),
                session.info.shown,
                session.info.dialled,
                session.recorder.about.agent,
                IN_PROGRESS,
                round((time.time() - session.recorder.started_at) * 1000),
                live=True,
            )
            for session in (self.calls.sessions() if self.calls is not None else ())
        ]
        kept = [one.summary for one in reversed(self._kept.values())]
        return await asyncio.to_thread(self._search, query, [*reversed(live), *kept])

    def _search(self, query: Query, known: list[Summary]) -> Found:
        calls: dict[str, Summary] = {}
        for number, call in enumerate(self._all(known)):
            if number >= LOOKED_AT or len(calls) > LISTED:
                break
            if call.call_id not in calls and query.fits(call):
                calls[call.call_id] = call
        return Found(tuple(calls.values())[:LISTED], len(calls) > LISTED)

    def _all(self, known: list[Summary]) -> Iterator[Summary]:
        yield from known
        yield from self.archive.summaries()

    def recording(self, call_id: str) -> Path | None:
        """Return where a call's recording is, if there is one."""
        return self.archive.recording(call_id)
