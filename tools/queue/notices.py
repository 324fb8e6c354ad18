"""The durable half of `finish_and_notify`: a tool call's end is kept and told, whichever process lives to see it.

`settle` is called by the tool worker when a job has ended, however it did, and by the calling side; what it does is the
same the second time. The notice is a job of its own on the same queue, tried again until it gets through
(`tools.worker.delivery`).
"""

from __future__ import annotations

import time

import structlog
from redis import Redis
from rq import Queue
from rq.exceptions import DuplicateJobError
from rq.job import Retry
from rq.serializers import JSONSerializer

from tools.queue import names
from tools.queue.job import QueueJob
from tools.queue.store import late, promises
from tools.queue.store.late import Orphan
from tools.tool_call.outcome import Outcome
from tools.traces.current import current_traceparent
from tools.traces.names import TRACEPARENT

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 1
LONGEST_PAUSE_S = 3600
PATIENCE_S = 24 * 3600
TIMEOUT_S = 30
TTL_S = 7 * 24 * 3600


def pauses() -> list[int]:
    """Return the pauses between tries in s: 1, 2, 4 and so on up to an hour, a day in all."""
    found = [FIRST_PAUSE_S]
    while sum(found) < PATIENCE_S:
        found.append(min(found[-1] * 2, LONGEST_PAUSE_S))
    return found


def hung_up(redis: Redis, queue: str, orphan: Orphan) -> None:
    """Write down that a tool's call is over. From here on its end is kept, and told if the tool wants it."""
    if outcome := late.hung_up(redis, orphan):
        _settled(redis, queue, orphan, outcome)


def settle(redis: Redis, queue: str, job_id: str, outcome: Outcome) -> None:
    """Write down how a tool call ended; if its caller has hung up, keep the result and tell it."""
    orphan, first = late.ended(redis, job_id, outcome)
    if orphan is not None:
        _settled(redis, queue, orphan, first)


def lapse(redis: Redis, queue: str, now: float) -> int:
    """Take calls for over whose process has died with a promise open (Unix time in s); return how many."""
    orphans = promises.lapsed(redis, now)
    for orphan in orphans:
        log.warning("call_lost", call_id=orphan.call_id, tool=orphan.tool, promised=orphan.channel)
        hung_up(redis, queue, orphan)
        promises.forget(redis, orphan.job_id)
    return len(orphans)


def _settled(redis: Redis, queue: str, orphan: Orphan, outcome: Outcome) -> None:
    late.keep(redis, orphan, outcome, time.time())
    if orphan.channel is None:
        return
    tries, traceparent = pauses(), current_traceparent()
    try:
        Queue(queue, connection=redis, job_class=QueueJob, serializer=JSONSerializer).enqueue_call(
            names.NOTICE_ENTRY,
            args=(
                {
                    "call_id": orphan.call_id,
                    "tool_call_id": orphan.tool_call_id,
                    **({TRACEPARENT: traceparent} if traceparent else {}),
                },
            ),
            job_id=names.notice_id(orphan.job_id),
            unique=True,
            timeout=TIMEOUT_S,
            ttl=names.WAITING_TTL_S,
            result_ttl=TTL_S,
            failure_ttl=TTL_S,
            description=names.NOTICE_DESCRIPTION,
            meta={
                "call_id": orphan.call_id,
                "tool_call_id": orphan.tool_call_id,
                "tool": orphan.tool,
                "summary": f"tell the end of: {orphan.summary}",
            },
            retry=Retry(max=len(tries), interval=tries),
        )
    except DuplicateJobError:
        pass  # the other side was first
