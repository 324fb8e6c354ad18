"""Puts jobs back into the queue whose pause before another try is over.

RQ has a scheduler for that, a process of its own beside one of the workers, whose lock holds for a minute after it was
killed. Here each tool worker looks for itself between two jobs; a transaction gives each job to one of them.
"""

from __future__ import annotations

from typing import Any

from redis.exceptions import WatchError
from rq import Queue
from rq.exceptions import NoSuchJobError

from tools.queue import names
from tools.queue.job import QueueJob
from tools.worker.damaged import set_aside

AT_ONCE = 20


def put_back_due(queue: Queue, now: float) -> int:
    """Enqueue the jobs whose time has come (Unix time in s); return how many."""
    registry: Any = queue.scheduled_job_registry
    found: Any = queue.connection.zrangebyscore(registry.key, 0, now, start=0, num=AT_ONCE)
    return sum(_put_back(queue, registry.key, job_id) for job_id in found)


def _put_back(queue: Queue, key: str, entry: bytes) -> bool:
    if not names.is_job_id(entry):
        queue.connection.zrem(key, entry)
        return False
    job_id = entry.decode()
    try:
        job = queue.job_class.fetch(job_id, connection=queue.connection, serializer=queue.serializer)
    except NoSuchJobError:
        queue.connection.zrem(key, entry)
        return False
    if isinstance(job, QueueJob) and job.damage:  # whoever takes it off the queue puts it away
        set_aside(queue.connection, job_id)
    with queue.connection.pipeline() as pipe:
        try:
            pipe.watch(key)  # type: ignore[no-untyped-call]
            if pipe.zscore(key, job_id) is None:
                return False  # another worker was first, or it was cancelled
            pipe.multi()
            pipe.zrem(key, job_id)
            queue.enqueue_job(job, pipeline=pipe)
            pipe.execute()
        except WatchError:
            return False  # whoever changed it has taken some; the rest has its turn in a second
    return True
