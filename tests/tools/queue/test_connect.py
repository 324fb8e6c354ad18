"""Sentinel URLs, and a real set of Sentinels that fails over."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.tools.conftest import SHOP, ToolWorkers
from tools.queue.connect import close, connect, parsed
from tools.queue.queued import QueuedRunner, QueueSettings
from tools.run.catalog import load_tools
from worker.embedded.services import redis_program

PASSWORD = "for-the-queue"
SPECS = {spec.name: spec for spec in load_tools([str(SHOP)])}


def test_the_parts_of_a_url() -> None:
    found = parsed("redis+sentinel://:p%40ss@one:26380,two,[::1]:5/queue/3?wait=1&sentinel_password=x")
    assert found is not None
    assert found.sentinels == (("one", 26380), ("two", 26379), ("::1", 5))
    assert (found.master, found.db, found.password, found.username) == ("queue", 3, "p@ss", None)
    assert (found.wait, found.wait_ms, found.sentinel_password, found.tls) == (1, 200, "x", False)
    assert "p@ss" not in repr(found)


@pytest.mark.parametrize("url", ["redis://one:1/0", "rediss://one", "unix:///tmp/r.sock"])
def test_other_urls_are_no_sentinels(url: str) -> None:
    assert parsed(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://one:26379",
        "redis+sentinel:///queue",
        "redis+sentinel://one:no/queue",
        "redis+sentinel://one:70000/queue",
        "redis+sentinel://one/queue/first",
        "redis+sentinel://one/queue?waits=1",
        "redis+sentinel://one/queue?wait=some",
    ],
)
def test_a_url_that_makes_no_sense(url: str) -> None:
    with pytest.raises(ValueError):
        parsed(url)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


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


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    found = Watched(tmp_path)
    try:
        found.start()
        yield found
    finally:
        found.stop()


async def test_a_failover_loses_no_job_that_was_acknowledged(
    watched: Watched, tmp_path: Path, request_for: Any
) -> None:
    """Jobs are enqueued, the master dies, and a tool worker that was idle meanwhile does them all on the new one."""
    runner = QueuedRunner(QueueSettings(url=watched.url))
    workers = ToolWorkers(watched.url, tmp_path)
    spec = SPECS["add"]
    queued: list[str] = []
    try:
        waiting = [
            asyncio.create_task(
                runner.run(
                    spec, request_for("add", f'{{"left": {n}, "right": 1}}'), on_queued=queued.append, timeout_s=60
                )
            )
            for n in range(5)
        ]
        await asyncio.to_thread(until, lambda: len(queued) == 5)
        watched.processes[watched.ports[0]].kill()
        # Between masters a tool says so, at once; it hangs nobody up.
        between = await runner.run(spec, request_for("add", '{"left": 1, "right": 1}'), timeout_s=20)
        assert between.status in ("unavailable", "ok")
        client = connect(watched.url, socket_timeout=1, socket_connect_timeout=1)
        await asyncio.to_thread(until, lambda: client.set("written", 1))
        assert {job for job in queued if client.exists(f"rq:job:{job}")} == set(queued)
        close(client)
        workers.start()
        outcomes = await asyncio.wait_for(asyncio.gather(*waiting), 60)
        assert [one.output for one in outcomes] == [f'{{"result":{n + 1}}}' for n in range(5)]
        assert (await runner.run(spec, request_for("add", '{"left": 2, "right": 2}'), timeout_s=20)).status == "ok"
    finally:
        workers.stop()
        await runner.aclose()


async def test_tool_workers_and_callers_follow_a_failover(watched: Watched, tmp_path: Path, request_for: Any) -> None:
    runner = QueuedRunner(QueueSettings(url=watched.url))
    workers = ToolWorkers(watched.url, tmp_path)
    try:
        process = workers.start()
        first = await runner.run(SPECS["add"], request_for("add", '{"left": 2, "right": 3}'), timeout_s=20)
        assert first.output == '{"result":5}'
        watched.processes[watched.ports[0]].kill()

        async def again() -> str:
            call = request_for("add", '{"left": 3, "right": 3}')
            return (await runner.run(SPECS["add"], call, timeout_s=8)).status

        give_up = time.monotonic() + 40
        while (status := await again()) != "ok":
            assert status in ("unavailable", "timeout") and time.monotonic() < give_up, f"{status}; {workers.log}"
            await asyncio.sleep(0.2)
        assert process.poll() is None
    finally:
        workers.stop()
        await runner.aclose()
