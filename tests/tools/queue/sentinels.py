"""A real set of Redis with Sentinels, for tests of a failover."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.ports import free_port
from worker.embedded.services import redis_program

PASSWORD = "for-the-queue"


def until(condition: Callable[[], Any], within: float = 30.0) -> Any:
    give_up = time.monotonic() + within
    while True:
        with suppress(RedisError, OSError):
            if found := condition():
                return found
        assert time.monotonic() < give_up, f"not in time: {condition}"
        time.sleep(0.05)


class Watched:
    """Two Redis and three Sentinels that watch them."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server") or shutil.which("redis-sentinel")
        if program is None:
            pytest.skip("redis-sentinel is not installed (Debian: redis-sentinel)")
        self.folder, self.program = folder, program
        self.ports = [free_port(), free_port()]
        self.sentinels = [free_port() for _ in range(3)]
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        for port in self.ports:
            more = [] if port == self.ports[0] else ["--replicaof", "127.0.0.1", str(self.ports[0])]
            self._start(port, str(redis_program()), *self._redis(port), *more)
        until(lambda: self._replicas(self.ports[1]) == 0 and self._replicas(self.ports[0]) == 1)
        for port in self.sentinels:
            config = self.folder / f"sentinel{port}.conf"
            config.write_text(
                f"port {port}\nbind 127.0.0.1\ndir {self.folder}\nsentinel monitor queue 127.0.0.1 {self.ports[0]} 2\n"
                f"sentinel auth-pass queue {PASSWORD}\nsentinel down-after-milliseconds queue 500\n"
                "sentinel failover-timeout queue 3000\n"
            )
            self._start(port, self.program, str(config), "--sentinel")
        until(lambda: all(self._sees(port) for port in self.sentinels))

    def _redis(self, port: int) -> list[str]:
        folder = self.folder / str(port)
        folder.mkdir()
        words = {"port": port, "bind": "127.0.0.1", "dir": folder, "save": "", "appendonly": "yes"}
        words |= {"requirepass": PASSWORD, "masterauth": PASSWORD, "repl-diskless-sync-delay": 0}
        return [text for name, value in words.items() for text in (f"--{name}", str(value))]

    def _start(self, port: int, *command: str) -> None:
        with (self.folder / f"{port}.log").open("ab") as out:
            self.processes[port] = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    def _sees(self, port: int) -> bool:
        with Redis(port=port, socket_timeout=1, protocol=2) as client:
            state: Any = client.execute_command("SENTINEL", "MASTER", "queue")
        found = dict(zip(state[::2], state[1::2], strict=True)) if isinstance(state, list) else state
        text = {_text(name): _text(value) for name, value in found.items()}
        return text["num-slaves"] == "1" and text["num-other-sentinels"] == "2"

    def _replicas(self, port: int) -> int:
        with Redis(port=port, password=PASSWORD, socket_timeout=1) as client:
            found: Any = client.info("replication")
        return int(found["connected_slaves"])

    def somebody_waits_for_jobs(self) -> bool:
        """Whether a tool worker is blocked in a read of the master's queue."""
        with Redis(port=self.ports[0], password=PASSWORD, socket_timeout=1) as client:
            found: Any = client.client_list()
        return any(one["cmd"] == "blmove" and "b" in one["flags"] for one in found)

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        return f"redis+sentinel://:{PASSWORD}@{hosts}/queue/0?wait=1&wait_ms=1000"

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
