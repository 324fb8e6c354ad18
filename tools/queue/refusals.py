"""Answers of Redis by which it refuses whatever it is asked: a replica, a full one, one that loads or wants a password.

None of them says anything about a job, and none is for ever: a demoted master keeps its connections, so READONLY is a
reason to dial again; the others are waited for. https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry


@dataclass(frozen=True, slots=True)
class Refusal:
    """answer: the word that Redis' answer begins with. mend: what an operator does about it."""

    answer: str
    mend: str


_REPLICA = "this Redis is a replica: where that stays so, point REDIS_URL to the master"
_MEND = {
    "READONLY": _REPLICA,
    "UNBLOCKED": _REPLICA,
    "LOADING": "Redis reads its data after a start: it goes on when that is done",
    "MASTERDOWN": "this Redis is a replica that has lost its master: point REDIS_URL to the master",
    "NOAUTH": "Redis wants a password, or another one: put it into REDIS_URL (redis://:PASSWORD@HOST)",
    "NOPERM": "the user of REDIS_URL lacks a right: give it ~rq:* ~offhook:* &rq:* and the commands (ACL SETUSER)",
    "OOM": "Redis is full: raise its maxmemory",
    "MISCONF": "Redis can't write to its disk: make room, or mend the rights of its folder",
    "NOREPLICAS": "Redis has too few replicas to write: start them, or lower min-replicas-to-write",
    "BUSY": "a script keeps Redis busy: SCRIPT KILL ends it",
    "CLUSTERDOWN": "the Redis cluster is down",
    "TRYAGAIN": "the Redis cluster moves its keys",
}
_WORD: tuple[tuple[type[RedisError], str], ...] = (
    (ReadOnlyError, "READONLY"),
    (BusyLoadingError, "LOADING"),
    (MasterDownError, "MASTERDOWN"),
    (AuthenticationError, "NOAUTH"),
    (AuthorizationError, "NOAUTH"),
    (NoPermissionError, "NOPERM"),
    (OutOfMemoryError, "OOM"),
)
"""redis-py takes the word off the text of those for which it has a class."""
_ANSWER = re.compile(rf"(?:^|: -?)({'|'.join(_MEND)}) ")
"""At the beginning; or after what redis-py says of a pipeline's command, or Redis 6 of a script's."""


def refusal_of(error: BaseException) -> Refusal | None:
    """Return what an error says of Redis as a whole; None where it is about one command, or a connection that broke."""
    for kind, word in _WORD:
        if isinstance(error, kind):
            return Refusal(word, _MEND[word])
    found = _ANSWER.search(str(error)) if isinstance(error, ResponseError) else None
    return Refusal(found[1], _MEND[found[1]]) if found else None


def is_away(error: BaseException) -> bool:
    """Tell whether Redis can't be used at all now: not reached, or it refuses everything."""
    return isinstance(error, RedisConnectionError | RedisTimeoutError | OSError) or refusal_of(error) is not None


FAULTS: tuple[type[Exception], ...] = (RedisConnectionError, RedisTimeoutError, TimeoutError, ResponseError)
"""What redis-py's Retry is to catch: what `is_away` says yes to is among them."""


class Redial(Retry):
    """Drops the connection on which Redis refused, and asks once more on a new one: it may lead to another server.

    A connection that broke is not tried again: what was sent on it may have been done.
    """

    def __init__(self, on_refused: Callable[[], None]) -> None:
        """Take who wants to know of a refusal: what was dialled before may lead to the same server."""
        super().__init__(NoBackoff(), 0, FAULTS)
        self._on_refused = on_refused

    def __deepcopy__(self, _memo: object) -> Redial:
        """Stay one object: redis-py copies it for each connection."""
        return self

    def call_with_retry(
        self,
        do: Callable[[], Any],
        fail: Callable[..., Any],
        is_retryable: Any = None,
        with_failure_count: bool = False,
    ) -> Any:
        """Call `do`, and once more where the server refused."""
        try:
            return super().call_with_retry(do, fail, is_away, with_failure_count)
        except ResponseError as error:
            if refusal_of(error) is None:
                raise
        self._on_refused()
        return super().call_with_retry(do, fail, is_away, with_failure_count)


class AsyncRedial(AsyncRetry):
    """The same for asyncio."""

    def __init__(self, on_refused: Callable[[], None]) -> None:
        """Take who wants to know of a refusal."""
        super().__init__(NoBackoff(), 0, (RedisError, TimeoutError))  # type: ignore[arg-type]
        self._on_refused = on_refused

    def __deepcopy__(self, _memo: object) -> AsyncRedial:
        """Stay one object: see Redial."""
        return self

    async def call_with_retry(
        self,
        do: Callable[[], Awaitable[Any]],
        fail: Callable[..., Any],
        is_retryable: Any = None,
        with_failure_count: bool = False,
    ) -> Any:
        """Call `do`, and once more where the server refused."""
        try:
            return await super().call_with_retry(do, fail, is_away, with_failure_count)
        except ResponseError as error:
            if refusal_of(error) is None:
                raise
        self._on_refused()
        return await super().call_with_retry(do, fail, is_away, with_failure_count)
