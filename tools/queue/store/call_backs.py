"""The callers who are to be called back with the end of their tool call, each claimed by one worker at a time.

A claim is a key with a short life that its worker renews for as long as it dials or talks: where the worker dies the
claim goes with it, and the next one takes over. What was told, or given up, is noted for as long as the result is kept,
so that a call back that is handed over a second time is not made a second time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tools.queue import names
from tools.queue.store import late
from tools.queue.store.late import TTL_S, LateResult, Orphan

if TYPE_CHECKING:
    from redis import Redis

LOOKED_AT = 20
TOLD, GIVEN_UP = "told_at", "given_up_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallBack:
    """One that this worker has claimed. tries: this one included. result: what is to be told, and to whom."""

    job_id: str
    token: str
    tries: int
    result: LateResult


def add(redis: Redis, orphan: Orphan, now: float) -> None:
    """Have a caller called back. The second time changes nothing."""
    with redis.pipeline() as pipe:
        pipe.hsetnx(names.call_back_key(orphan.job_id), "call_id", orphan.call_id)
        pipe.hsetnx(names.call_back_key(orphan.job_id), "tool_call_id", orphan.tool_call_id)
        pipe.expire(names.call_back_key(orphan.job_id), TTL_S)
        pipe.zadd(names.CALL_BACKS, {orphan.job_id: now}, nx=True)
        pipe.expire(names.CALL_BACKS, names.SHARED_TTL_S)
        pipe.execute()


def claim(redis: Redis, token: str, now: float, lease_s: float) -> CallBack | None:
    """Take the first call back that is due and that nobody has; None where there is none.

    `token`: a text that is this claim's alone. `lease_s`: how long the claim lasts unless it is renewed.
    """
    jobs: Any = redis.zrangebyscore(names.CALL_BACKS, 0, now, start=0, num=LOOKED_AT)
    for job in (job.decode() for job in jobs):
        if not redis.set(names.call_back_claim_key(job), token, nx=True, px=round(lease_s * 1000)):
            continue
        # Only now, since whoever had it before may have ended it between the two questions.
        due: Any = redis.zscore(names.CALL_BACKS, job)
        if due is not None and due <= now and (found := _read(redis, job, token)) is not None:
            return found
        redis.delete(names.call_back_claim_key(job))
    return None


def renew(redis: Redis, job_id: str, token: str, lease_s: float) -> bool:
    """Keep a claim. False where it ran out and another worker has it."""
    key = names.call_back_claim_key(job_id)
    with redis.pipeline() as pipe:
        pipe.set(key, token, nx=True, px=round(lease_s * 1000))
        pipe.get(key)
        pipe.pexpire(key, round(lease_s * 1000))  # another's, too: that does no harm
        _, owner, _ = pipe.execute()
    return bool(owner == token.encode())


def told(redis: Redis, call_back: CallBack, now: float) -> None:
    """The caller hears it: from now on nobody calls back for this, whatever becomes of the call."""
    _end(redis, call_back, TOLD, now)
    late.delivered(redis, call_back.result, now)


def give_up(redis: Redis, call_back: CallBack, now: float) -> None:
    """Nobody could be reached; the result stays with its call."""
    _end(redis, call_back, GIVEN_UP, now)


def again(redis: Redis, call_back: CallBack, due: float, *, counted: bool = True) -> None:
    """Give it back, to be tried again from `due` on. counted: whether this was a try at all."""
    with redis.pipeline() as pipe:
        if not counted:
            pipe.hincrby(names.call_back_key(call_back.job_id), "tries", -1)
        pipe.zadd(names.CALL_BACKS, {call_back.job_id: due}, xx=True)
        pipe.execute()
    _let_go(redis, call_back)


def _read(redis: Redis, job: str, token: str) -> CallBack | None:
    """Count a try; None, and no more of it, where there is nothing left to tell."""
    key = names.call_back_key(job)
    fields: Any = redis.hgetall(key)
    found = {name.decode(): value.decode() for name, value in fields.items()}
    result = None
    if TOLD not in found and GIVEN_UP not in found and "call_id" in found:
        result = late.result(redis, found["call_id"], found["tool_call_id"])
    if result is None:
        redis.zrem(names.CALL_BACKS, job)
        return None
    tries: Any = redis.hincrby(key, "tries", 1)
    return CallBack(job_id=job, token=token, tries=int(tries), result=result)


def _end(redis: Redis, call_back: CallBack, how: str, now: float) -> None:
    with redis.pipeline() as pipe:
        pipe.hset(names.call_back_key(call_back.job_id), how, repr(now))
        pipe.expire(names.call_back_key(call_back.job_id), TTL_S)
        pipe.zrem(names.CALL_BACKS, call_back.job_id)
        pipe.execute()


def _let_go(redis: Redis, call_back: CallBack) -> None:
    """Give the claim back, unless it ran out and is another's now."""
    key = names.call_back_claim_key(call_back.job_id)
    owner: Any = redis.get(key)
    if owner == call_back.token.encode():
        redis.delete(key)
