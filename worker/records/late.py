"""Completes the records of calls whose tools went on: how each ended is added to the file when it is known.

The tools' ends are kept in Redis by whoever saw them (`tools.store.late`); here they are only fetched. What a worker
that stops leaves open, the next one with the same folder takes up: it looks through the records of the last days.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
from pydantic import ValidationError

from tools.errors import QueueUnavailable
from tools.queue.store.late import TTL_S, LateResult
from worker.records.record import CONTINUES, CallRecord, write_record

__all__ = ["LateRecords", "complete"]

log = structlog.get_logger(__name__)

LOOK_S = 1.0
FIRST_S = 2.0
SHARE = 0.1
"""The longer a call is over, the more seldom it is asked for: again after a tenth of that."""
OPEN = 10_000
"""Calls that are looked after. Past that the oldest is let go: `offhook tools late` still has its results."""


@dataclass(frozen=True, slots=True)
class _Open:
    """A call with a tool of which the end isn't known. Times are Unix times (s)."""

    since: float
    due: float


def complete(record: CallRecord, results: Iterable[LateResult]) -> bool:
    """Put the ends of tools into a record; returns whether none is missing any more."""
    found = {late.orphan.job_id: late for late in results}
    for call in record.tool_calls:
        late = found.get(call.job_id or "")
        if call.status == CONTINUES and late is not None:
            call.status = late.status
            call.ended_at = datetime.fromtimestamp(late.ended_at, UTC).isoformat(timespec="milliseconds")
            call.result = json.loads(late.output)
    return not any(call.status == CONTINUES for call in record.tool_calls)


class LateRecords:
    """The records below a folder. On the event loop; the disk is read and written in threads."""

    def __init__(self, folder: Path, late_results: Callable[[str], Awaitable[list[LateResult]]]) -> None:
        """late_results: what is known of a call's tools (`QueuedRunner.late_results`)."""
        self._folder = folder
        self._late_results = late_results
        self._open: OrderedDict[str, _Open] = OrderedDict()

    def note(self, record: CallRecord, now: float) -> None:
        """A record was written."""
        if any(call.status == CONTINUES for call in record.tool_calls):
            self._add(record.call_id, now, now)

    async def run(self) -> None:
        """Look after the records until cancelled."""
        for call_id, since in await asyncio.to_thread(self._left_open, time.time()):
            self._add(call_id, since, time.time())
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look(time.time())

    async def look(self, now: float) -> None:
        """Complete the records for which it is time."""
        for call_id in [call_id for call_id, one in self._open.items() if one.due <= now]:
            try:
                results = await self._late_results(call_id)
            except QueueUnavailable:
                return  # and they are still due
            since = self._open[call_id].since
            done = bool(results) and await asyncio.to_thread(self._complete, call_id, results)
            if done or now - since > TTL_S:
                del self._open[call_id]
            else:
                self._open[call_id] = _Open(since, now + max(FIRST_S, SHARE * (now - since)))

    def _add(self, call_id: str, since: float, now: float) -> None:
        self._open.setdefault(call_id, _Open(since, now + FIRST_S))
        while len(self._open) > OPEN:
            self._open.popitem(last=False)

    def _complete(self, call_id: str, results: list[LateResult]) -> bool:
        """Whether the record on disk needs nothing any more."""
        path = self._folder / f"{call_id}.json"
        try:
            record = CallRecord.model_validate_json(path.read_bytes())
            done = complete(record, results)
            write_record(record, path)
        except FileNotFoundError:  # put away by the operator
            return True
        except (OSError, ValidationError) as error:
            log.error("record_not_completed", call_id=call_id, reason=str(error).partition("\n")[0])
            return isinstance(error, ValidationError)
        log.info("record_completed" if done else "record_added_to", call_id=call_id)
        return done

    def _left_open(self, now: float) -> list[tuple[str, float]]:
        """The calls whose records another run of the worker has left open, and since when: the oldest first."""
        mark = f'"{CONTINUES}"'.encode()
        found = []
        for path in self._folder.glob("*.json"):
            try:
                since = path.stat().st_mtime
                if now - since <= TTL_S and mark in path.read_bytes():
                    found.append((path.stem, since))
            except OSError:  # it has just gone
                continue
        return sorted(found, key=lambda one: one[1])[-OPEN:]
