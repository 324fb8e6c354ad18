"""Results that were too large, kept in pages for a while; only the call that they belong to gets at them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from tools.queue import names
from tools.tool_call.pages import pages_of

if TYPE_CHECKING:
    from redis import Redis

TTL_S = 3600


def keep(redis: Redis, call_id: str, text: str) -> tuple[str, int]:
    """Keep a text; return the handle and the number of pages."""
    handle = uuid.uuid4().hex[:8]  # short, since a model has to copy it
    pages = pages_of(text)
    with redis.pipeline() as pipe:
        pipe.rpush(names.rest_key(call_id, handle), *pages)
        pipe.expire(names.rest_key(call_id, handle), TTL_S)
        pipe.execute()
    return handle, len(pages)


def page(redis: Redis, call_id: str, handle: str, number: int) -> tuple[str | None, int]:
    """Return a page, counted from 1, and how many there are: None and 0 for a handle that isn't known (any more)."""
    key = names.rest_key(call_id, handle)
    with redis.pipeline() as pipe:
        pipe.lindex(key, number - 1)
        pipe.llen(key)
        text, count = pipe.execute()
    found: Any = text
    return (found.decode() if found is not None and number > 0 else None), int(count)
