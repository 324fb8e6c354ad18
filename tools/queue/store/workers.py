"""The workers that there are, each under a name with a short life: who asks them all finds them here.

A worker notes where its HTTP endpoint is reached and renews that; of one that has died nothing is left after `TTL_S`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tools.queue import names

if TYPE_CHECKING:
    from redis import Redis

TTL_S = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One worker. name: its own, unique. http: the URL of its HTTP endpoint. since: Unix time of its start (s)."""

    name: str
    http: str
    since: float


def note(redis: Redis, worker: Known) -> None:
    """Say that it is there, for `TTL_S` from now on."""
    redis.set(names.worker_key(worker.name), json.dumps(asdict(worker)), ex=TTL_S)


def forget(redis: Redis, name: str) -> None:
    """It takes no more questions."""
    redis.delete(names.worker_key(name))


def known(redis: Redis) -> list[Known]:
    """All that have said so lately, the oldest first."""
    keys: Any = list(redis.scan_iter(names.worker_key("*"), count=1000))
    texts: Any = redis.mget(keys) if keys else []
    return sorted((Known(**json.loads(text)) for text in texts if text), key=lambda one: (one.since, one.name))
