"""How long tools took lately: what their fillers, the backlog and the choice of mode go by."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tools.queue import names
from tools.queue.backlog import QueueState
from tools.tool_call.durations import Usual, usual_of

if TYPE_CHECKING:
    from redis import Redis

KEPT = 50
TTL_S = 7 * 24 * 3600


def note(redis: Redis, tool: str, wait_ms: int, run_ms: int) -> None:
    """Remember one run."""
    with redis.pipeline(transaction=False) as pipe:
        pipe.lpush(names.times_key(tool), f"{wait_ms} {run_ms}")
        pipe.ltrim(names.times_key(tool), 0, KEPT - 1)
        pipe.expire(names.times_key(tool), TTL_S)
        pipe.execute()


def usual(redis: Redis, tool: str) -> Usual | None:
    """Return a tool's usual times; None where it has not run yet."""
    found: Any = redis.lrange(names.times_key(tool), 0, KEPT - 1)
    pairs = [pair for pair in (entry.split() for entry in found) if len(pair) == 2 and all(map(bytes.isdigit, pair))]
    return usual_of([(int(wait), int(run)) for wait, run in pairs])


def depths(redis: Redis, queue: str, most: int = 1000) -> dict[str, int]:
    """Return how many jobs of each tool wait in the queue, by the first `most` of them."""
    jobs: Any = redis.lrange(names.queue_key(queue), 0, most - 1)
    with redis.pipeline(transaction=False) as pipe:
        for job in jobs:
            pipe.hget(names.job_key(job.decode(errors="replace")), "meta")
        metas = pipe.execute(raise_on_error=False)  # one key of another type is one job's own
    counts: dict[str, int] = {}
    for meta in metas:
        tool = _tool(meta)
        counts[tool] = counts.get(tool, 0) + 1
    return counts


def workers(redis: Redis, queue: str) -> int:
    """Return how many tool workers are registered for the queue."""
    found: Any = redis.scard(names.workers_key(queue))
    return int(found)


def state(redis: Redis, queue: str) -> QueueState:
    """Return the queue as it is: some ms for Redis, so now and then, not for each call."""
    found: Any = redis.llen(names.queue_key(queue))
    waiting = depths(redis, queue)
    times = {tool: known for tool in waiting if (known := usual(redis, tool))}
    return QueueState(depth=int(found), depths=waiting, usual=times, workers=workers(redis, queue))


def _tool(meta: Any) -> str:
    try:
        return str(json.loads(meta or b"{}").get("tool", "other"))
    except (ValueError, TypeError, AttributeError):
        return "other"
