"""The job that tells how a tool call ended whose caller had hung up.

Where the caller is to be called back, and no hook of the operator's does that, it hands over to the workers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import structlog
from redis import Redis
from rq.timeouts import BaseTimeoutException

from tools.queue import names
from tools.queue.store import call_backs, late
from tools.queue.store.late import LateResult
from tools.worker.notify import Channels, Message, NotDelivered

log = structlog.get_logger(__name__)


def deliver(payload: Mapping[str, Any], redis: Redis, channels: Channels) -> dict[str, Any]:
    """Run a notice's job: tell one tool call's end. Raises to be tried again."""
    found = late.result(redis, str(payload.get("call_id")), str(payload.get("tool_call_id")))
    if found is None:
        log.error("notice_lost", call_id=payload.get("call_id"), reason="the result is not in Redis any more")
        return {"delivered": False}
    orphan = found.orphan
    if orphan.channel == names.CALL_BACK and not channels.has_hook(names.CALL_BACK):
        call_backs.add(redis, orphan, max(time.time(), orphan.not_before))
        log.info("call_back_wanted", call_id=orphan.call_id, tool=orphan.tool, status=found.status)
        return {"handed_over": True}
    if found.delivered_at is None:
        try:
            channels.send(_message(found), orphan.channel or "")
        except BaseException as error:  # a hook of the operator's may leave by whatever it likes
            if isinstance(error, BaseTimeoutException):
                raise
            reason = str(error) if isinstance(error, NotDelivered) else type(error).__name__
            log.warning("notice_not_delivered", call_id=orphan.call_id, tool=orphan.tool, reason=reason)
            raise NotDelivered(reason) from None  # a hook's own words stay out of Redis
        late.delivered(redis, found, time.time())
        log.info("notice_delivered", call_id=orphan.call_id, tool=orphan.tool, status=found.status)
    return {"delivered": True}


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
