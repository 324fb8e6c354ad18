"""`offhook calls` and `offhook call`: what the workers that share a Redis tell of calls, and what the files have."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import aiohttp

from tools.errors import QueueUnavailable
from tools.queue.queued import QueuedRunner, QueueSettings
from tools.queue.store import workers as store
from tools.queue.store.workers import Known
from worker.errors import HostError, OperatorError
from worker.records.archive import Archive, is_call_id, is_sealed
from worker.records.story import Story

__all__ = ["calls_of_all", "find_recording", "find_story", "lines"]

ASK_S = 2.0
STORY_S = 10.0
"""A worker that has much to do, and a long call, may take so long."""
RECORDING_S = 120.0
"""An hour's recording is 115 MB."""

Answer = tuple[Known, list[dict[str, Any]] | None]
"""A worker and its calls; None where it does not answer."""


async def calls_of_all(settings: QueueSettings, token: str | None = None) -> list[Answer]:
    """Ask every worker at once. Raises `HostError` where Redis, which knows them, does not answer.

    token: OFFHOOK_HTTP_TOKEN, where the workers want it.
    """
    found = await _workers(settings)
    async with _client(token, ASK_S) as session:
        return list(await asyncio.gather(*(_ask(session, worker) for worker in found)))


async def _workers(settings: QueueSettings) -> list[Known]:
    runner = QueuedRunner(settings)
    try:
        return await runner.ask(store.known)
    except QueueUnavailable as error:
        raise HostError(f"REDIS_URL: {error}") from None
    finally:
        await runner.aclose()


def _client(token: str | None, seconds: float) -> aiohttp.ClientSession:
    headers = {"Accept": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds), headers=headers)


async def _ask(session: aiohttp.ClientSession, worker: Known) -> Answer:
    try:
        async with session.get(f"{worker.http}/calls") as answer:
            return worker, (await answer.json())["calls"]
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError):
        return worker, None


def lines(answers: Sequence[Answer], call_id: str | None = None) -> list[str]:
    """One JSON object a line: each call with its worker's name, and each worker that does not answer."""
    found = []
    for worker, calls in answers:
        if calls is None:
            found.append({"worker": worker.name, "http": worker.http, "error": "does not answer"})
        found += [{"worker": worker.name, **call} for call in calls or () if call_id in (None, call.get("call_id"))]
    return [json.dumps(one, ensure_ascii=False) for one in found]


async def find_story(
    call_id: str, archive: Archive, queue: QueueSettings | None, http: str | None, token: str | None
) -> Story:
    """Return all that is known of a call: from the files, else from the worker that has it.

    queue: where the workers are known. http: the URL of the worker that is set up here, None where it has none.
    Raises `OperatorError` where nobody knows the call, `HostError` where Redis does not answer.
    """
    if not is_call_id(call_id):
        raise OperatorError(f"{call_id!r} is no call's id: those are letters, digits, - and _")
    story = await asyncio.to_thread(archive.story, call_id)
    if story is not None and story.journal is not None:
        return story
    said: list[str] = []
    urls = await _urls(queue, http)
    async with _client(token, STORY_S) as session:
        for found in await asyncio.gather(*(_story(session, url, call_id, said) for url in urls)):
            if found is not None:
                return found
    if story is not None and (story.record is not None or story.problems):
        return story
    looked = [str(folder) for folder in (archive.records, archive.journals) if folder is not None]
    where = ", ".join(dict.fromkeys([*looked, *urls])) or "nowhere: neither a folder nor a worker is set"
    raise OperatorError("\n".join([f"nobody knows a call {call_id} (looked at: {where})", *said]))


async def _story(session: aiohttp.ClientSession, url: str, call_id: str, said: list[str]) -> Story | None:
    try:
        async with session.get(f"{url}/calls/{call_id}") as answer:
            if answer.status == 200:
                return Story.model_validate_json(await answer.read())
            if answer.status != 404:
                said.append(f"{url} says {answer.status}: {(await answer.json()).get('error')}")
    except (aiohttp.ClientError, TimeoutError) as error:
        said.append(f"{url} does not answer: {error or type(error).__name__}")
    except ValueError:  # no JSON, or another version's
        said.append(f"{url} says what can't be read: is it another version?")
    return None


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
    async with _client(token, RECORDING_S) as session:
        for url in await _urls(queue, http):
            try:
                async with session.get(f"{url}/calls/{call_id}/recording") as answer:
                    if answer.status == 200:
                        return await answer.read() if answer.content_type == "audio/wav" else None
            except (aiohttp.ClientError, TimeoutError):
                continue
    return None


async def _urls(queue: QueueSettings | None, http: str | None) -> list[str]:
    urls = [worker.http for worker in await _workers(queue)] if queue is not None else []
    return urls + ([http] if http is not None and http not in urls else [])
