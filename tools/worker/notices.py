"""The durable half of `finish_and_notify`: a tool call's end is kept and told, whichever process lives to see it.

`settle` is called by the tool worker when a job has ended, however it did, and by the calling side; what it does is the
same the second time. The notice is a job of its own on the same queue, tried again until it gets through. Where the
caller is to be called back, and no hook of the operator's does that, it hands over to the workers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import structlog
from redis import Redis
from rq import Queue
from rq.exceptions import DuplicateJobError
from rq.job import Retry
from rq.serializers import JSONSerializer

from tools.queue import names
from tools.queue.store import call_backs, late, promises
from tools.queue.store.late import LateResult, Orphan
from tools.tool_call.outcome import Outcome
from tools.worker.notify import CALL_BACK, Channels, Message, NotDelivered

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


def deliver(payload: Mapping[str, Any], redis: Redis, channels: Channels) -> dict[str, Any]:
    """Run a notice's job: tell one tool call's end. Raises to be tried again."""
    found = late.result(redis, str(payload.get("call_id")), str(payload.get("tool_call_id")))
    if found is None:
        log.error("notice_lost", call_id=payload.get("call_id"), reason="the result is not in Redis any more")
        return {"delivered": False}
    orphan = found.orphan
    if orphan.channel == CALL_BACK and not channels.has_hook(CALL_BACK):
        call_backs.add(redis, orphan, time.time())
        log.info("call_back_wanted", call_id=orphan.call_id, tool=orphan.tool, status=found.status)
        return {"handed_over": True}
    if found.delivered_at is None:
        try:
            channels.send(_message(found), orphan.channel or "")
        except Exception as error:
            reason = str(error) if isinstance(error, NotDelivered) else type(error).__name__
            log.warning("notice_not_delivered", call_id=orphan.call_id, tool=orphan.tool, reason=reason)
            raise NotDelivered(reason) from None  # a hook's own words stay out of Redis
        late.delivered(redis, found, time.time())
        log.info("notice_delivered", call_id=orphan.call_id, tool=orphan.tool, status=found.status)
    return {"delivered": True}


def _settled(redis: Redis, queue: str, orphan: Orphan, outcome: Outcome) -> None:
    late.keep(redis, orphan, outcome, time.time())
    if orphan.channel is None:
        return
    tries = pauses()
    try:
        Queue(queue, connection=redis, serializer=JSONSerializer).enqueue_call(
            names.NOTICE_ENTRY,
            args=({"call_id": orphan.call_id, "tool_call_id": orphan.tool_call_id},),
            job_id=names.notice_id(orphan.job_id),
            unique=True,
            timeout=TIMEOUT_S,
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


def _message(found: LateResult) -> Message:
    orphan = found.orphan
    result = json.loads(found.output)
    return Message(
        delivery_id=names.notice_id(orphan.job_id),
        call_id=orphan.call_id,
        tool_call_id=orphan.tool_call_id,
        tool=orphan.tool,
        summary=orphan.summary,
        status=found.status,
        result=result if isinstance(result, dict) else {"result": result},
        caller=orphan.caller,
        dialled=orphan.dialled,
        hung_up_at=orphan.hung_up_at,
        ended_at=found.ended_at,
    )
