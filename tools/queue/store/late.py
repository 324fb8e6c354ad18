"""What becomes of tool calls whose caller has hung up: which calls those are, how they ended, and for how long we know.

Two sides meet here, in either order and possibly at once: the call that ends (`hung_up`) and the tool that ends
(`ended`). Each writes its own mark and reads the other's in one transaction, so that at least one of them sees both.
What follows may be done by both: it is made so that the second time changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tools.queue import names
from tools.tool_call.outcome import Outcome

if TYPE_CHECKING:
    from redis import Redis

TTL_S = 7 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """A tool call that goes on after its call. channel: where its end is told; None: nowhere. Times are Unix times.

    arguments: what the model sent, as JSON text, where the end is to be told in another call; else "". facts: the
    same of what the INVITE said, since it chose the agent.
    """

    call_id: str
    tool_call_id: str
    job_id: str
    tool: str
    summary: str
    caller: str
    dialled: str
    hung_up_at: float
    channel: str | None = None
    arguments: str = field(default="", repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    not_before: float = 0.0
    """When the caller may be called back at the earliest; 0: at once."""

    def as_dict(self) -> dict[str, Any]:
        """What is kept of it. Without the last two it is what workers of before they were known can read."""
        found = asdict(self)
        for name in ("facts", "not_before"):
            if not found[name]:
                del found[name]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class LateResult:
    """How a tool call ended whose caller had hung up. output: JSON text, as the model would have got it."""

    orphan: Orphan
    status: str
    output: str
    ended_at: float
    delivered_at: float | None = None


def hung_up(redis: Redis, orphan: Orphan) -> Outcome | None:
    """Write down that the call is over; return how its tool ended if it has."""
    with redis.pipeline() as pipe:
        pipe.set(names.orphan_key(orphan.job_id), json.dumps(orphan.as_dict()), ex=TTL_S, nx=True)
        pipe.get(names.ended_key(orphan.job_id))
        _, found = pipe.execute()
    return _outcome(found) if found else None


def known(redis: Redis, job_id: str, outcome: Outcome) -> None:
    """Write down how a tool call ended whose caller is still there, for as long as any call lasts."""
    redis.set(names.ended_key(job_id), json.dumps(outcome.as_dict()), ex=TTL_S, nx=True)


def ended(redis: Redis, job_id: str, outcome: Outcome) -> tuple[Orphan | None, Outcome]:
    """Write down how a tool call ended; return the mark of its hang-up, if any, and the outcome that came first."""
    with redis.pipeline() as pipe:
        pipe.set(names.ended_key(job_id), json.dumps(outcome.as_dict()), ex=names.ENDED_TTL_S, nx=True)
        pipe.get(names.ended_key(job_id))
        pipe.get(names.orphan_key(job_id))
        _, first, mark = pipe.execute()
    return (_orphan(mark) if mark else None), _outcome(first).of_job(job_id)


def keep(redis: Redis, orphan: Orphan, outcome: Outcome, now: float) -> None:
    """Keep a late result with its call; the first one stays."""
    entry = {"orphan": orphan.as_dict(), "status": outcome.status, "output": outcome.output, "ended_at": now}
    with redis.pipeline() as pipe:
        pipe.hsetnx(names.late_key(orphan.call_id), orphan.tool_call_id, json.dumps(entry))
        pipe.expire(names.late_key(orphan.call_id), TTL_S)
        pipe.execute()


def delivered(redis: Redis, late: LateResult, now: float) -> None:
    """Write down that the end of a tool call has been told."""
    redis.set(names.delivered_key(late.orphan.job_id), repr(now), ex=TTL_S)


def result(redis: Redis, call_id: str, tool_call_id: str) -> LateResult | None:
    """Return one late result."""
    found: Any = redis.hget(names.late_key(call_id), tool_call_id)
    return _read(redis, found) if found else None


def results(redis: Redis, call_id: str) -> list[LateResult]:
    """Return what came after a call's end, in the order in which it came."""
    found: Any = redis.hvals(names.late_key(call_id))
    read = (_read(redis, entry) for entry in found)
    return sorted((late for late in read if late is not None), key=lambda late: late.ended_at)


def _read(redis: Redis, entry: bytes) -> LateResult | None:
    """Read what `keep` wrote; None for what it didn't write."""
    try:
        data = json.loads(entry)
        orphan = Orphan(**data.pop("orphan"))
        found = LateResult(orphan=orphan, **data)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    told: Any = redis.get(names.delivered_key(orphan.job_id))
    return replace(found, delivered_at=float(told)) if told else found


def _orphan(mark: bytes) -> Orphan | None:
    try:
        return Orphan(**json.loads(mark))
    except (ValueError, TypeError):
        return None


def _outcome(entry: bytes) -> Outcome:
    try:
        return Outcome.from_dict(json.loads(entry))
    except ValueError:
        return Outcome.from_dict(None)
