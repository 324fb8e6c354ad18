"""The lifetimes of what all jobs share in Redis: RQ's registries, the queue's list, the sets of queues and workers.

RQ gives them none, and lets the registry of cancelled jobs grow for ever. Each is as good as its newest entry: whoever
writes one renews the lifetime of all, and what nobody writes any more ends.
"""

from __future__ import annotations

from redis import Redis

from tools.queue import names

_KINDS = ("finished", "failed", "canceled", "deferred", "scheduled", "wip")


def renew(redis: Redis, queue: str, now: float) -> None:
    """Renew them, and forget the jobs whose records have ended (Unix time in s)."""
    pipe = redis.pipeline(transaction=False)
    pipe.zremrangebyscore(f"rq:canceled:{queue}", 0, now - names.CANCELLED_TTL_S)
    pipe.zremrangebyscore(f"rq:deferred:{queue}", 0, now - names.WAITING_TTL_S)
    for key in (
        names.queue_key(queue),
        f"{names.queue_key(queue)}:intermediate",
        *(f"rq:{kind}:{queue}" for kind in _KINDS),
        "rq:queues",
        "rq:workers",
        names.workers_key(queue),
        names.PROMISES,
        names.CALL_BACKS,
    ):
        pipe.expire(key, names.SHARED_TTL_S)
    pipe.execute(raise_on_error=False)  # one of a wrong type is for whoever uses it
