"""Connections to Redis, for every side of the queue: one server, or the master that a set of Sentinels names.

    redis://[:PASSWORD@]HOST:PORT/DB      rediss://... (TLS)      unix://PATH
    redis+sentinel://[:PASSWORD@]HOST:PORT,HOST:PORT,.../MASTER[/DB][?wait=1&wait_ms=200&sentinel_password=...]

With `rediss+sentinel` the master and the Sentinels are spoken to over TLS. Each new connection asks the Sentinels for
the master, and one that answers READONLY is dropped: a failover needs no restart (redis-py's own Sentinel client).
`wait`: how many replicas must have a job before it counts as enqueued (Redis' WAIT): replication alone is
asynchronous, and what the old master acknowledged in its last moment may be unknown to the new one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.sentinel import Sentinel, SentinelManagedConnection, SentinelManagedSSLConnection

__all__ = ["SentinelUrl", "aclose", "close", "connect", "connect_async", "parsed"]

SENTINEL_SCHEMES = ("redis+sentinel", "rediss+sentinel")
SENTINEL_PORT = 26379
OPTIONS = {"wait", "wait_ms", "sentinel_username", "sentinel_password"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SentinelUrl:
    """What a Sentinel URL says. wait: replicas that acknowledge a job, within wait_ms."""

    sentinels: tuple[tuple[str, int], ...]
    master: str
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    tls: bool = False
    wait: int = 0
    wait_ms: int = 200


def parsed(url: str) -> SentinelUrl | None:
    """A Sentinel URL's parts; None for another URL. Raises ValueError for a Sentinel URL that makes no sense."""
    parts = urlsplit(url)
    if parts.scheme not in SENTINEL_SCHEMES:
        return None
    login, _, hosts = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    master, _, db = parts.path.strip("/").partition("/")
    query = {name: values[-1] for name, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()}
    if not hosts or not master or set(query) - OPTIONS:
        raise ValueError(
            "a Sentinel URL names hosts, a master, and no other options than " + ", ".join(sorted(OPTIONS))
        )
    return SentinelUrl(
        sentinels=tuple(_host(text) for text in hosts.split(",")),
        master=unquote(master),
        db=int(db or 0),
        username=unquote(username) or None,
        password=unquote(password) or None,
        sentinel_username=query.get("sentinel_username"),
        sentinel_password=query.get("sentinel_password"),
        tls=parts.scheme.startswith("rediss"),
        wait=int(query.get("wait", 0)),
        wait_ms=int(query.get("wait_ms", 200)),
    )


def _host(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not separator:
        host, port = text, str(SENTINEL_PORT)
    if not host or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is no HOST:PORT of a Sentinel")
    return host.strip("[]"), int(port)


class MasterConnection(SentinelManagedConnection):
    """A connection to whoever is master.

    redis-py asks the Sentinels only for a connection out of the pool. One that breaks under a command dials the address
    that it had, the dead master's, for as long as its retries go on: two minutes for an idle tool worker.
    """

    def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        """Connect, if it isn't. `connect` asks the Sentinels, and comes back here with no retries."""
        if retry_socket_connect:
            self.connect()  # type: ignore[no-untyped-call]
        else:
            super().connect_check_health(check_health, retry_socket_connect)


class MasterSSLConnection(MasterConnection, SentinelManagedSSLConnection):
    """The same over TLS."""


def connect(url: str, **options: Any) -> Redis:
    """A client of that server or master; connects to nothing yet. options: redis-py's of a connection."""
    found = parsed(url)
    if found is None:
        return Redis.from_url(url, **options)
    sentinel = Sentinel(found.sentinels, sentinel_kwargs=_sentinel(found, options))  # type: ignore[no-untyped-call]
    kind = MasterSSLConnection if found.tls else MasterConnection
    client: Redis = sentinel.master_for(  # type: ignore[no-untyped-call]
        found.master, connection_class=kind, **_master(found), **options
    )
    return client


def connect_async(url: str, **options: Any) -> AsyncRedis:
    """The same for the event loop."""
    found = parsed(url)
    if found is None:
        return AsyncRedis.from_url(url, **options)
    sentinel = AsyncSentinel(found.sentinels, sentinel_kwargs=_sentinel(found, options))  # type: ignore[no-untyped-call]
    client: AsyncRedis = sentinel.master_for(found.master, **_master(found), **options)
    return client


def close(client: Redis) -> None:
    """Close a client of `connect`, and those of its Sentinels."""
    for one in (client, *_sentinels(client)):
        one.close()


async def aclose(client: AsyncRedis) -> None:
    """The same for a client of `connect_async`."""
    for one in (client, *_sentinels(client)):
        await one.aclose()


def _sentinels(client: Any) -> list[Any]:
    manager = getattr(client.connection_pool, "sentinel_manager", None)
    return [] if manager is None else list(manager.sentinels)


def _master(url: SentinelUrl) -> dict[str, Any]:
    return {"db": url.db, "username": url.username, "password": url.password, "ssl": url.tls}


def _sentinel(url: SentinelUrl, options: dict[str, Any]) -> dict[str, Any]:
    """How a Sentinel is spoken to. One that hangs must not cost a caller more than a second: the next is asked then."""
    connect_s = options.get("socket_connect_timeout") or 1.0
    found = {
        "username": url.sentinel_username,
        "password": url.sentinel_password,
        "ssl": url.tls,
        "socket_timeout": min(1.0, options.get("socket_timeout") or 1.0),
        "socket_connect_timeout": min(1.0, connect_s),
    }
    return {name: value for name, value in found.items() if value is not None}
