"""`offhook calls`: the calls in progress of all workers that share a Redis, as each tells of its own."""

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
from worker.errors import HostError

__all__ = ["calls_of_all", "lines"]

ASK_S = 2.0

Answer = tuple[Known, list[dict[str, Any]] | None]
"""A worker and its calls; None where it does not answer."""


async def calls_of_all(settings: QueueSettings) -> list[Answer]:
    """Ask every worker at once. Raises `HostError` where Redis, which knows them, does not answer."""
    runner = QueuedRunner(settings)
    try:
        found = await runner.ask(store.known)
    except QueueUnavailable as error:
        raise HostError(f"REDIS_URL: {error}") from None
    finally:
        await runner.aclose()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ASK_S)) as session:
        return list(await asyncio.gather(*(_ask(session, worker) for worker in found)))


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
