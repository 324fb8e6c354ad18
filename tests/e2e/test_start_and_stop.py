"""Starting and stopping a worker, as processes: whatever fails at the start, and whenever a signal comes, it ends."""

from __future__ import annotations

import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from parts.program import OFFHOOK, Program, descendants, environment, until
from parts.services import RedisServer, Worker

NOWHERE = "ws://127.0.0.1:9/v1"
"""A provider that is not there: no call is made here."""
START_S = 100.0
"""A bound for a loaded machine: an idle one takes some two seconds to import what a worker is made of."""
STEPS = (
    "services of our own",
    "provider",
    "canned fillers",
    "tools",
    "background tasks",
    "OFFHOOK_HTTP",
    "switchboard",
    "memory",
    "SIP endpoint",
    "call backs",
    "load",
    "checks beside",
)


@pytest.fixture(autouse=True)
def _started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """By `python -m worker`, as an operator does: the other scenes fork what has imported everything."""
    monkeypatch.setenv("OFFHOOK_TEST_FORKED", "off")


class Serve(Program):
    """`offhook serve` on free ports, telling each step; by itself it needs no Redis and no realtime server."""

    def __init__(self, **settings: Any) -> None:
        own = {
            "OFFHOOK_SIP_PORT": 0,
            "OFFHOOK_RTP_PORTS": "0-0",
            "OFFHOOK_HTTP": "127.0.0.1:0",
            "OFFHOOK_REALTIME": "gateway",
            "OFFHOOK_REALTIME_URL": NOWHERE,
            "REDIS_URL": "redis://127.0.0.1:1",
            "OFFHOOK_LOG_FORMAT": "json",
            "OFFHOOK_LOG_LEVEL": "debug",
            **settings,
        }
        super().__init__([*OFFHOOK, "serve"], environment(**{k: v for k, v in own.items() if v is not None}))

    def reaches(self, step: str) -> None:
        """Wait until it begins a step."""
        line = f'"step": "{step}", "event": "starting"'
        until(lambda: any(line in one for one in list(self.err)) or not self.alive, lambda: self.text(), START_S)
        assert any(line in one for one in list(self.err)), self.text()

    @property
    def last_words(self) -> list[str]:
        """What it says to the operator, log lines aside."""
        return [line for line in self.err if not line.startswith("{")]


@pytest.fixture
def serve() -> Iterator[Callable[..., Serve]]:
    """Start workers; in the end none is left, nor a child of one."""
    started: list[Serve] = []

    def start(**settings: Any) -> Serve:
        started.append(Serve(**settings))
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def refused(serve: Callable[..., Serve], tmp_path: Path) -> Callable[..., str]:
    """Start a worker that can't: it ends by itself and says why in one line, which is returned."""

    def start(code: int = 1, agent: str | None = None, **settings: Any) -> str:
        if agent is not None:
            (tmp_path / "agent.toml").write_text(agent)
            settings["OFFHOOK_AGENT"] = tmp_path / "agent.toml"
        one = serve(**settings)
        assert one.wait(START_S) == code, one.text()
        (line,) = one.last_words
        assert line.startswith("offhook: ")
        return line

    return start


@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_a_sip_port_that_is_taken(refused: Callable[..., str], offhook: Callable[..., Any], kind: str) -> None:
    with socket.socket(type=socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == "tcp":
            taken.listen()
        port = taken.getsockname()[1]
        line = refused(OFFHOOK_SIP_PORT=port)
        _, said, _ = offhook("check", within=START_S, OFFHOOK_SIP_PORT=port, OFFHOOK_HTTP="off")
    assert f"can't listen on 127.0.0.1:{port} ({kind})" in line and "OFFHOOK_SIP_PORT" in line
    assert line.removeprefix("offhook: ") in said, "check says it in the same words"


def test_an_http_port_that_is_taken_ends_every_start(serve: Callable[..., Serve], redis: RedisServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        several = [serve(OFFHOOK_HTTP=address, REDIS_URL=redis.url) for _ in range(3)]
        assert [one.wait(START_S) for one in several] == [1, 1, 1], several[0].text()
    for one in several:
        (line,) = one.last_words
        assert f"OFFHOOK_HTTP={address}: can't listen there" in line and "OFFHOOK_HTTP=off" in line


def test_an_agent_file_that_is_wrong(refused: Callable[..., str]) -> None:
    assert "greting: there is no such key; did you mean greeting?" in refused(2, 'greting = "Hello."')


def test_a_tool_module_that_raises(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("raise SystemExit(3)\n")
    line = refused(1, '[tools]\nmodules = ["shop.py"]\n')
    assert "importing it raised SystemExit: 3; mend the module" in line


def test_recordings_that_can_not_be_written(refused: Callable[..., str]) -> None:
    line = refused(2, OFFHOOK_RECORDINGS="/proc/offhook/calls")
    assert "OFFHOOK_RECORDINGS=/proc/offhook/calls: can't write in /proc (" in line and "another folder" in line


def test_a_voice_that_is_not_there(refused: Callable[..., str]) -> None:
    agent = '[fillers]\nmode = "canned"\nvoice = "no-such-voice"\n'
    assert "fillers.mode = canned: " in refused(1, agent)


def test_a_realtime_server_that_does_not_come_up(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "pocketsphinx.py").write_text("raise ImportError('it was built for another machine')\n")
    settings = {"OFFHOOK_REALTIME": "local", "OFFHOOK_REALTIME_URL": None, "PYTHONPATH": tmp_path}
    line = refused(1, **settings)
    assert "realtime-server ended with exit code 1; its last words: " in line and "pocketsphinx" in line


@pytest.mark.parametrize("how", ["away", "frozen", "refuses"])
def test_without_its_redis_a_worker_starts_and_says_so(serve: Callable[..., Serve], tmp_path: Path, how: str) -> None:
    """Calls go on without queued tools, so a Redis that is away keeps no worker from answering."""
    with ExitStack() as stack:
        url = "redis://127.0.0.1:1"
        if how == "frozen":
            silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        elif how == "refuses":
            server = RedisServer(tmp_path)
            server.start()
            stack.callback(server.kill)
            server.client.config_set("requirepass", "hush")
            url = server.url
        one = serve(REDIS_URL=url)
        status = one.line(r"^status (http://\S+)/readyz", START_S)[1]
        assert status
        until(lambda: any('"event": "redis_gone"' in line for line in list(one.err)), lambda: one.text())
        one.signal(signal.SIGTERM)
        assert one.wait() == 0, one.text()
        assert one.last_words == []


@pytest.mark.parametrize("step", STEPS)
def test_a_signal_during_each_step_of_the_start_ends_it(serve: Callable[..., Serve], step: str) -> None:
    plans = ((signal.SIGTERM,), (signal.SIGINT, signal.SIGINT))
    plan = plans[STEPS.index(step) % len(plans)]
    # The first step starts children: they are to be gone, too.
    own = {"REDIS_URL": None} if step == STEPS[0] else {}
    one = serve(**own)
    one.reaches(step)
    children = descendants(one.pid)
    for number in plan:
        one.signal(number)
        time.sleep(0.05)
    # The second one of two may come when all is undone and nobody listens any more.
    assert one.wait(START_S) in (0, -plan[-1] if plan[1:] else 0), one.text()
    assert one.last_words == [] and not any("Traceback" in line for line in one.err), one.text()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), f"the children {children} are gone")


def test_a_signal_before_anything_has_started_ends_it_at_once(serve: Callable[..., Serve], tmp_path: Path) -> None:
    """A tool module that takes for ever to import."""
    (tmp_path / "shop.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(600)\n")
    (tmp_path / "agent.toml").write_text('[tools]\nmodules = ["shop.py"]\n')
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        one = serve(OFFHOOK_AGENT=tmp_path / "agent.toml")
        one.line("importing", START_S)
        one.signal(number)
        assert one.wait() == code and one.last_words == [], one.text()


BLOCKING = '''
import time
from tools import tool

@tool(mode="inline")
async def block() -> str:
    """Hold the event loop, as no tool should."""
    time.sleep(600)
'''


def test_a_worker_whose_loop_is_blocked_ends_at_the_third_signal(
    redis: RedisServer, provider: Any, dial: Callable[[str], Any], tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(BLOCKING)
    (tmp_path / "agent.toml").write_text('goodbye = "Goodbye."\n[tools]\nmodules = ["shop.py"]\n')
    worker = Worker(
        tmp_path / "calls",
        REDIS_URL=redis.url,
        OFFHOOK_AGENT=tmp_path / "agent.toml",
        **provider.settings,
    )
    try:
        worker.ready()
        dial(worker.uri)
        provider.session().calls("block")
        time.sleep(1.0)
        for _ in range(3):
            worker.signal(signal.SIGTERM)
            time.sleep(0.2)
        assert worker.wait() == 128 + signal.SIGTERM
        assert re.search("^offhook: did not end in time: taken down$", "\n".join(worker.err), re.M), worker.text()
    finally:
        worker.kill()
