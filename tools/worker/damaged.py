"""Jobs in Redis that can't be run as they are: put away as failed, so that whoever waits for one is told at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from redis import Redis
from rq import Queue

from tools.queue import names
from tools.queue.finished import NEVER_RAN
from tools.worker.jobs import OffhookJob

if TYPE_CHECKING:
    from rq.worker import BaseWorker

log = structlog.get_logger(__name__)

MEND = "its record was changed, or is another program's: see who else writes to this Redis"
_TYPES = (
    ("rq:job:{}", b"hash"),
    ("rq:results:{}", b"stream"),
    ("rq:executions:{}", b"zset"),
    ("rq:job:{}:dependents", b"set"),
    ("rq:job:{}:dependencies", b"set"),
)


def what(job: OffhookJob, queue: str) -> str:
    """Say what of a job is damaged; "" for one that can be run."""
    if job.damage:
        return job.damage
    if job.origin != queue:
        return "origin"
    if not isinstance(job.func_name, str):
        return "function"
    if job.func_name not in (names.ENTRY, names.NOTICE_ENTRY):
        return ""  # nothing of ours, which isn't run either
    arguments = job.args
    if not isinstance(arguments, list | tuple) or not arguments or not isinstance(arguments[0], dict):
        return "arguments"
    return ""


def put_away(worker: BaseWorker, job: OffhookJob, queue: Queue, why: str, *, ran: bool = False) -> None:
    """Write a job down as failed, as RQ does with one that has run; its waiters hear of it through its result.

    ran: whether its tool may have been begun.
    """
    log.error("job_damaged", job_id=job.id, damage=why, mend=MEND)
    began = ran or worker.connection.exists(names.ran_key(job.id))
    words = f"its record in Redis is damaged ({why})"
    job.damage = job.damage or why
    job.origin = queue.name
    job.retries_left = None
    job.started_at = job.ended_at = None
    set_aside(worker.connection, job.id)
    worker.execution = None
    worker.handle_job_failure(job, queue, exc_string=words if began else f"{NEVER_RAN}: {words}")
    queue.intermediate_queue.remove(job.id)


def set_aside(redis: Redis, job_id: str) -> None:
    """Take out of the way what stands under a job's keys and is of another type; it is kept for a day."""
    for template, wanted in _TYPES:
        key = template.format(job_id)
        found: Any = redis.type(key)
        if found not in (wanted, b"none"):
            aside = names.damaged_key(key)
            redis.rename(key, aside)
            redis.expire(aside, names.CANCELLED_TTL_S)


def drop_what_is_no_id(queue: Queue) -> None:
    """Take out of the queue's list of jobs just taken what can't be a job's id; nobody can wait for it."""
    log.error("no_job", mend=MEND)
    key = f"{queue.key}:intermediate"
    entries: Any = queue.connection.lrange(key, 0, -1)
    for entry in entries:
        if not names.is_job_id(entry):
            queue.connection.lrem(key, 1, entry)
