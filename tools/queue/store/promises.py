"""What callers were promised while a tool still ran: that its end is told after the call.

A promise names the mark that is to be left when the call ends (`late.Orphan`), and a time up to which the call is known
to be on. The call's process puts that time off; where it died, the time runs out, and a tool worker leaves the mark in
its place. So a promise outlives whoever made it, and is not acted on before the call is over.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tools.queue import names
from tools.queue.store.late import TTL_S, Orphan

if TYPE_CHECKING:
    from redis import Redis

AT_ONCE = 20


def make(redis: Redis, orphan: Orphan, until: float) -> None:
    """Write a promise down; a later one for the same tool call takes its place. `until`: a Unix time in s."""
    with redis.pipeline() as pipe:
        pipe.set(names.promise_key(orphan.job_id), json.dumps(orphan.as_dict()), ex=TTL_S)
        pipe.zadd(names.PROMISES, {orphan.job_id: until})
        pipe.expire(names.PROMISES, names.SHARED_TTL_S)
        pipe.execute()


def put_off(redis: Redis, job_id: str, until: float) -> None:
    """The call is on, and will be known to be until then."""
    redis.zadd(names.PROMISES, {job_id: until}, xx=True)


def forget(redis: Redis, job_id: str) -> None:
    """The promise was kept, or has become the mark of a hang-up."""
    with redis.pipeline() as pipe:
        pipe.zrem(names.PROMISES, job_id)
        pipe.delete(names.promise_key(job_id))
        pipe.execute()


def lapsed(redis: Redis, now: float) -> list[Orphan]:
    """Return the marks of calls that nobody has been known to be in for a while."""
    jobs: Any = redis.zrangebyscore(names.PROMISES, 0, now, start=0, num=AT_ONCE)
    found = []
    for job in jobs:
        job_id = job.decode(errors="replace")
        text: Any = redis.get(names.promise_key(job_id))
        try:
            found.append(replace(Orphan(**json.loads(text or b"")), hung_up_at=now))
        except (ValueError, TypeError):  # it has ended, or is none of ours
            redis.zrem(names.PROMISES, job)
    return found
