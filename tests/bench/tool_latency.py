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
import json
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from rig.agent import AGENT  # noqa: E402
from rig.bench_tools import wait_for  # noqa: E402
from rig.jobs import job_queue  # noqa: E402

from tools.queue.queued import QueuedRunner, QueueSettings  # noqa: E402
from tools.run.catalog import Catalog, ToolRequest  # noqa: E402
from tools.run.inline import InlineRunner  # noqa: E402


def figures(name: str, values: list[float]) -> None:
    cuts = statistics.quantiles(values, n=100)
    print(f"{name:<32} p50 {cuts[49]:6.1f} ms   p99 {cuts[98]:6.1f} ms   max {max(values):6.1f} ms   n {len(values)}")


async def measure(url: str, calls: int, pending: int, polling: bool) -> None:
    runner = QueuedRunner(QueueSettings(url=url))
    if polling:
        runner._reader._push = False
    for number in range(pending):
        runner._reader.watch(f"parked-{number}")
    catalog = Catalog([wait_for.__tool__], inline=InlineRunner(), queued=runner)  # type: ignore[attr-defined]
    starts, ends = [], []
    try:
        for number in range(calls + 10):
            at_once = '{"seconds": 0}'
            request = ToolRequest(call_id="bench", tool_call_id=str(number), name="wait_for", arguments=at_once)
            asked = time.monotonic_ns()
            outcome = await catalog.run(request)
            heard = time.monotonic_ns()
            times = json.loads(outcome.output)
            if number >= 10:  # the first ones connect and load RQ's script into Redis
                starts.append((times["began"] - asked) / 1e6)
                ends.append((heard - times["done"]) / 1e6)
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
    with job_queue(AGENT, simple=options.simple) as url:
        asyncio.run(measure(url, options.calls, options.pending, options.polling))
    print(f"again: .venv/bin/python tests/bench/tool_latency.py {' '.join(sys.argv[1:])}")


if __name__ == "__main__":
    main()
