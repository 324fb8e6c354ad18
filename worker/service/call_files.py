"""What a call leaves on the disk: its recording while it goes on; its record and a picture of it when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from telephony.bridge import Bridge
from telephony.recording import MakeFile, StereoRecorder, WavFile
from worker.pages.timeline import draw
from worker.records.record import CallRecord, write_record, write_whole
from worker.records.sealed import SUFFIX

__all__ = ["CallFiles"]

log = structlog.get_logger(__name__)


class CallFiles:
    """Those of all calls of a worker. A disk that is full is the operator's matter, and no call's end."""

    def __init__(
        self,
        recordings: Path | None,
        *,
        records: Path | None = None,
        make_file: MakeFile = WavFile,
        recorded: Callable[[CallRecord], None] = lambda record: None,
    ) -> None:
        """recordings: their folder; None: there are none. records: where records are kept, if not beside them.

        make_file: creates a recording's file. recorded: told of every record that is on disk.
        """
        self._recordings = recordings
        self._records = records or recordings
        self._make_file = make_file
        self._recorded = recorded

    def recorder_of(self, call_id: str, bridge: Bridge) -> StereoRecorder | None:
        """Return what records a call that begins; None where none is recorded."""
        if self._recordings is None:
            return None
        suffix = SUFFIX if self._make_file is not WavFile else ".wav"
        return StereoRecorder(self._recordings / f"{call_id}{suffix}", bridge, self._make_file)

    async def drain(self, recordings: Iterable[tuple[str, StereoRecorder]]) -> None:
        """Move what was recorded so far to disk. recordings: of the calls by their ids."""
        await asyncio.to_thread(_all_written, [(call_id, one.drain) for call_id, one in recordings])

    async def finish(self, call_id: str, record: CallRecord, recording: StereoRecorder | None) -> None:
        """Write what is to be kept of a call that is over."""
        if recording is not None:
            await asyncio.to_thread(_written, call_id, recording.close)
        if self._records is not None:
            path = self._records / f"{call_id}.json"
            if await asyncio.to_thread(_written, call_id, lambda: write_record(record, path)):
                self._recorded(record)
        if self._recordings is not None:
            picture = self._recordings / f"{call_id}.svg"
            await asyncio.to_thread(_written, call_id, lambda: write_whole(picture, draw(record).encode()))


def _written(call_id: str, write: Callable[[], None]) -> bool:
    """Whether it was written."""
    try:
        write()
    except OSError as error:
        log.error("recording_not_written", call_id=call_id, reason=str(error))
        return False
    return True


def _all_written(writes: Iterable[tuple[str, Callable[[], None]]]) -> None:
    for call_id, write in writes:
        _written(call_id, write)
