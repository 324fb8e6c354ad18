"""`offhook calls` and `offhook call`: what the workers that share a Redis tell of calls, and what the files have."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import aiohttp

from tools.errors import QueueUnavailable
from tools.queue.queued import QueuedRunner, QueueSettings
from tools.queue.store import workers as store
from tools.queue.store.workers import Known
from worker.errors import HostError, OperatorError
from worker.records.archive import Archive, is_call_id, is_sealed
from worker.records.search import Found, Query, merged
from worker.records.story import Story, fullest
from worker.service import peers

__all__ = ["calls_of_all", "find_calls", "find_recording", "find_story", "found_lines", "lines"]

STORY_S = 10.0
"""A worker that has much to do, and a long call, may take so long."""
RECORDING_S = 120.0
"""An hour's recording is 115 MB."""
MOST = 1000
NAMED = 8
"""So many calls are named where several are meant."""

Answer = tuple[Known, list[dict[str, Any]] | None]
"""A worker and its calls; None where it does not answer."""


async def calls_of_all(settings: QueueSettings, token: str | None = None) -> list[Answer]:
    """Ask every worker at once. Raises `HostError` where Redis, which knows them, does not answer.

    token: OFFHOOK_HTTP_TOKEN, where the workers want it.
    """
    found = await _workers(settings)
    async with peers.client(token, peers.LIST_S) as session:
        return list(await asyncio.gather(*(_ask(session, worker) for worker in found)))


async def find_calls(settings: QueueSettings, query: Query, token: str | None = None) -> Found:
    """Search the calls of all workers, those that are over, too. Raises `HostError` as `calls_of_all` does."""
    found = await _workers(settings)
    async with peers.client(token, peers.LIST_S) as session:
        return merged(await asyncio.gather(*(peers.found_at(session, worker, query) for worker in found)), MOST)


async def _workers(settings: QueueSettings) -> list[Known]:
    runner = QueuedRunner(settings)
    try:
        return await runner.ask(store.known)
    except QueueUnavailable as error:
        raise HostError(f"REDIS_URL: {error}") from None
    finally:
        await runner.aclose()


async def _ask(session: aiohttp.ClientSession, worker: Known) -> Answer:
    try:
        _, body = await peers.ask(session, f"{worker.http}/calls")
        return worker, list(json.loads(body)["calls"])
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError):
        return worker, None


def lines(answers: Sequence[Answer], call_id: str | None = None) -> list[str]:
    """One JSON object a line: each call with its worker's name, and each worker that does not answer.

    Of a call that is asked for and in progress nowhere the last line says so, and how to find it.
    """
    found: list[dict[str, Any]] = []
    for worker, calls in answers:
        if calls is None:
            found.append({"worker": worker.name, "http": worker.http, "error": "does not answer"})
        found += [{"worker": worker.name, **call} for call in calls or () if call_id in (None, call.get("call_id"))]
    if call_id is not None and not any("error" not in one for one in found):
        words = f"not in progress on any worker that answers; of a call that is over tells: offhook call {call_id}"
        found.append({"call_id": call_id, "error": words})
    return [json.dumps(one, ensure_ascii=False) for one in found]


def found_lines(found: Found) -> list[str]:
    """The same of calls that were searched for; and that there are more, where there are."""
    told: list[dict[str, Any]] = [{"error": words} for words in found.silent]
    told += [asdict(call) for call in found.calls]
    told += [{"more": True}] if found.more else []
    return [json.dumps(one, ensure_ascii=False) for one in told]


async def find_story(
    call_id: str, archive: Archive, queue: QueueSettings | None, http: str | None, token: str | None
) -> Story:
    """Return all that is known of a call: from the files, else from the worker that has it.

    call_id: the id, or a beginning that only one call has. queue: where the workers are known. http: the URL of the
    worker that is set up here, None where it has none. Raises `OperatorError` where nobody knows the call, or several
    begin so; `HostError` where Redis does not answer.
    """
    if not is_call_id(call_id):
        words = "those are letters, digits, - and _; by a caller's number: offhook calls --past --caller NUMBER"
        raise OperatorError(f"{call_id!r} is no call's id: {words}")
    story = await asyncio.to_thread(archive.story, call_id)
    if story is not None and story.journal is not None:
        return story
    found = await _all(queue, http)
    told, fuller = await _told(found, call_id, token)
    if fuller is not None:
        return fuller
    if story is not None and (story.record is not None or story.problems):
        return story
    begin = await _beginning(call_id, archive, found, token)
    if len(begin) == 1 and begin[0] != call_id:
        return await find_story(begin[0], archive, queue, http, token)
    if len(begin) > 1:
        more = f", and {len(begin) - NAMED} more" if len(begin) > NAMED else ""
        raise OperatorError(f"several calls begin with {call_id}: {', '.join(begin[:NAMED])}{more}")
    looked = [str(folder) for folder in (archive.records, archive.journals) if folder is not None]
    asked = [worker.http for worker in found]
    where = ", ".join(dict.fromkeys([*looked, *asked])) or "nowhere: neither a folder nor a worker is set"
    raise OperatorError("\n".join([f"nobody knows a call {call_id} (looked at: {where})", *told]))


async def _told(found: Sequence[Known], call_id: str, token: str | None) -> tuple[list[str], Story | None]:
    """Ask the workers for a call: who could not be asked, and the fullest story."""
    async with peers.client(token, STORY_S) as session:
        told = await asyncio.gather(*(peers.story_at(session, worker, call_id) for worker in found))
    return [one for one in told if isinstance(one, str)], fullest(one for one in told if isinstance(one, Story))


async def _beginning(part: str, archive: Archive, found: Sequence[Known], token: str | None) -> list[str]:
    """Return the ids of all calls that begin so, of the files and of the workers."""
    ids = await asyncio.to_thread(archive.beginning, part)
    async with peers.client(token, peers.LIST_S) as session:
        lists = await asyncio.gather(*(peers.found_at(session, worker, Query()) for worker in found))
    return sorted(ids | {call.call_id for one in lists for call in one.calls if call.call_id.startswith(part)})


async def find_recording(
    call_id: str, archive: Archive, queue: QueueSettings | None, http: str | None, token: str | None
) -> bytes | None:
    """Return a call's recording (WAV): from the files, else from the worker that has it; None where nobody has, or can
    hear it.

    As `find_story`, which has looked at the id.
    """
    if (path := archive.recording(call_id)) is not None:
        if is_sealed(path):
            return None
        return await asyncio.to_thread(path.read_bytes)
    timeout = aiohttp.ClientTimeout(total=RECORDING_S, sock_connect=peers.LIST_S, sock_read=peers.SILENT_S)
    async with peers.client(token, timeout) as session:
        for worker in await _all(queue, http):
            url = f"{worker.http}/calls/{call_id}/recording"
            try:
                async with session.get(url, params={"own": "1"}, allow_redirects=False) as answer:
                    if answer.status == 200:
                        return await answer.read() if answer.content_type == "audio/wav" else None
            except (aiohttp.ClientError, TimeoutError):
                continue
    return None


async def _all(queue: QueueSettings | None, http: str | None) -> list[Known]:
    """All workers: those that Redis knows, and the one that is set up here, which may be among them."""
    found = await _workers(queue) if queue is not None else []
    if http is not None and http not in [worker.http for worker in found]:
        found.append(Known(name="", http=http, since=0.0))
    return found
