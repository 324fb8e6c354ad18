"""A tool of an MCP server: through the queue and directly, and a hundred faults on such jobs.

    uv run python tests/bench/mcp_jobs.py calls [--calls 200] [--at-once 50] [--workers 4]
    uv run python tests/bench/mcp_jobs.py faults [--faults 100] [--seed N]

calls: a real server of the SDK (streamable HTTP) in a process of its own, and `count`, a tool that takes no time.
*direct* is one session that is kept open, as for quick calls; *alone* a session for each call in this process; *queue*
a call as a job: enqueued, run by a tool worker in a session of its own, its result pushed back. One after another, and
so many at once.

faults: payments (effects once) and look-ups (idempotent) run as jobs while the server or a tool worker is killed, the
latter with and without its job. At the end every payment has been made at most once, each outcome is true (`unknown` is
the only word for what can't be told), and each who asked was answered in time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.tools.mcp.rig import ShopServer  # noqa: E402
from tools import rig  # noqa: E402
from tools.define.context import ToolContext  # noqa: E402
from tools.mcp.asking import Ask  # noqa: E402
from tools.mcp.client import Session, with_session  # noqa: E402
from tools.mcp.job import alone  # noqa: E402
from tools.mcp.specs import offered_by  # noqa: E402
from tools.queue.queued import QueuedRunner, QueueSettings  # noqa: E402
from tools.run.catalog import Catalog, ToolRequest  # noqa: E402
from tools.run.inline import InlineRunner  # noqa: E402
from tools.tool_call.outcome import Outcome  # noqa: E402

OPTIONS = {"*": {"timeout": 20.0, "backoff": 1.0}}
PATIENCE_S = 25.0
WORKER = """
import json, sys
sys.path[:0] = [{root!r}]
from tools import rig
from tools.mcp.server import McpServer
rig.serve({url!r}, {ready!r}, servers=[McpServer.model_validate(json.loads({server!r}))], log={log!r})
"""


@dataclass
class House:
    """A Redis, an MCP server and tool workers, each in a process of its own."""

    folder: Path
    redis: rig.RedisServer
    shop: ShopServer
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_worker(self, *, wait: bool = True) -> None:
        ready = self.folder / f"ready{len(self.workers)}"
        server = {"label": "shop", "url": self.shop.url, "tools": OPTIONS}
        code = WORKER.format(
            root=str(ROOT),
            url=self.redis.url,
            ready=str(ready),
            server=json.dumps(server),
            log=str(self.folder / "log"),
        )
        self.workers.append(subprocess.Popen([sys.executable, "-c", code]))
        if wait:
            rig.wait_until(ready.exists, "a tool worker")

    def stop(self) -> None:
        for worker in self.workers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.kill()  # one that has just begun leads no group yet
            worker.wait()
        self.shop.kill()


@contextlib.contextmanager
def house(workers: int, fsync: str) -> Iterator[House]:
    with tempfile.TemporaryDirectory(prefix="offhook-") as folder, rig.RedisServer.temporary() as redis:
        redis.kill()
        redis.fsync = fsync
        redis.start()
        found = House(Path(folder), redis, ShopServer(Path(folder)))
        found.shop.start()
        try:
            for _ in range(workers):
                found.start_worker()
            yield found
        finally:
            found.stop()


# --- calls


def figures(name: str, values: list[float]) -> None:
    cuts = statistics.quantiles(values, n=100)
    print(f"{name:<28} p50 {cuts[49]:7.1f} ms   p99 {cuts[98]:7.1f} ms   max {max(values):7.1f} ms   n {len(values)}")


async def timed(body: Callable[[int], Awaitable[Any]], calls: int, at_once: int) -> list[float]:
    found: list[float] = []

    async def one(number: int) -> None:
        began = time.perf_counter()
        await body(number)
        found.append((time.perf_counter() - began) * 1000)

    for first in range(0, calls, at_once):
        await asyncio.gather(*(one(number) for number in range(first, min(first + at_once, calls))))
    return found


async def measure(found: House, calls: int, at_once: int, workers: int) -> None:
    server = found.shop.definition(tools=OPTIONS)
    runner = QueuedRunner(QueueSettings(url=found.redis.url))
    listed = await with_session(server, {}, Session.tools)
    catalog = Catalog(offered_by(server, listed, alone({})).specs, inline=InlineRunner(), queued=runner)
    once = alone({})

    def ask(number: int) -> Ask:
        context = ToolContext(call_id="bench", tool_call_id=str(number))
        return Ask(tool="count", arguments={"of": number}, context=context, limit_s=20.0)

    runs: list[float] = []
    waits: list[float] = []

    async def through_queue(number: int) -> None:
        key = f"{time.monotonic_ns()}"
        request = ToolRequest(call_id="bench", tool_call_id=key, name="shop__count", arguments=f'{{"of": {number}}}')
        outcome = await catalog.run(request)
        assert outcome.status == "ok", outcome
        runs.append(float(outcome.run_ms or 0))
        waits.append(float(outcome.wait_ms or 0))

    async def by_itself(number: int) -> None:
        await once(server, ask(number))

    async def kept(session: Session) -> None:
        await timed(lambda number: session.call(ask(number)), 20, 1)
        figures("direct, one by one", await timed(lambda number: session.call(ask(number)), calls, 1))
        figures(f"direct, {at_once} at once", await timed(lambda number: session.call(ask(number)), calls, at_once))

    try:
        await with_session(server, {}, kept)
        figures("alone, one by one", await timed(by_itself, calls, 1))
        figures(f"alone, {at_once} at once", await timed(by_itself, calls, at_once))
        await timed(through_queue, 20, 1)
        waits.clear()
        runs.clear()
        figures("queue, one by one", await timed(through_queue, calls, 1))
        figures("  enqueued -> taken", waits)
        figures("  the tool in the fork", runs)
        figures(f"queue, {at_once} at once", await timed(through_queue, calls, at_once))
    finally:
        await runner.aclose()
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{workers} tool workers, {os.cpu_count()} cores, load {load}")


# --- faults


@dataclass
class Storm:
    """Calls, the faults strewn over them, and what came of both."""

    house: House
    catalog: Catalog
    dice: random.Random
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    waited_s: list[float] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def call(self, number: int) -> None:
        key = f"k{number}"
        if self.dice.random() < 0.7:
            arguments: dict[str, Any] = {"key": key, "seconds": self.dice.choice([0.0, 0.1, 0.4])}
            self.ask(ToolRequest(call_id="c", tool_call_id=key, name="shop__pay", arguments=json.dumps(arguments)))
        else:
            arguments = {"order": key}
            name = "shop__order_status"
            self.ask(ToolRequest(call_id="c", tool_call_id=key, name=name, arguments=json.dumps(arguments)))

    def ask(self, request: ToolRequest) -> None:
        async def body() -> None:
            began = time.monotonic()
            outcome = await self.catalog.run(request)
            self.waited_s.append(time.monotonic() - began)
            self.outcomes.setdefault(request.tool_call_id, []).append(outcome)

        self.tasks.append(asyncio.create_task(body()))

    async def fault(self) -> None:
        chosen = self.dice.choice([self.kill_server, self.kill_worker, self.kill_worker_and_job, self.kill_job])
        await asyncio.sleep(self.dice.uniform(0, 0.3))
        await chosen()
        self.done[chosen.__name__] += 1

    async def kill_server(self) -> None:
        await asyncio.to_thread(self.house.shop.kill)
        await asyncio.sleep(self.dice.uniform(0, 1.0))
        await asyncio.to_thread(self.house.shop.start)

    def a_worker(self) -> subprocess.Popen[bytes]:
        return self.dice.choice([one for one in self.house.workers if one.poll() is None])

    def forks(self, worker: subprocess.Popen[bytes]) -> list[int]:
        path = Path(f"/proc/{worker.pid}/task/{worker.pid}/children")
        return [int(word) for word in path.read_text().split()] if path.exists() else []

    async def kill_worker(self) -> None:
        """Its fork is told, stops the tool at the server and says so."""
        self.a_worker().kill()
        self.house.start_worker(wait=False)

    async def kill_worker_and_job(self) -> None:
        worker = self.a_worker()
        self.kill(*self.forks(worker), worker.pid)
        self.house.start_worker(wait=False)

    async def kill_job(self) -> None:
        self.kill(*self.forks(self.a_worker()))

    def kill(self, *pids: int) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def lies(key: str, said: set[str], effects: int, *, pays: bool) -> list[str]:
    """What the outcomes of one call say that isn't so."""
    wrong = []
    if effects > 1:
        wrong.append(f"{key}: paid {effects} times ({said})")
    if pays and "ok" in said and not effects:
        wrong.append(f"{key}: ok without its payment")
    if pays and effects and said & {"failed", "unavailable", "cancelled", "timeout"}:
        wrong.append(f"{key}: told as undone, but paid ({said})")
    return wrong


async def storm(found: House, faults: int, seed: int) -> int:
    server = found.shop.definition(tools=OPTIONS)
    runner = QueuedRunner(QueueSettings(url=found.redis.url))
    listed = await with_session(server, {}, Session.tools)
    catalog = Catalog(offered_by(server, listed, alone({})).specs, inline=InlineRunner(), queued=runner)
    weather = Storm(found, catalog, random.Random(seed))
    calls = 0
    try:
        for _number in range(faults):
            for _ in range(3):
                weather.call(calls)
                calls += 1
            await weather.fault()
            await asyncio.sleep(0.4 * weather.dice.random())
        await asyncio.gather(*weather.tasks)
    finally:
        await runner.aclose()
    effects = Counter(found.shop.lines("effects"))
    paid = {request for request in weather.outcomes if effects[request]}
    wrong = [
        line
        for key, outcomes in weather.outcomes.items()
        for line in lies(key, {o.status for o in outcomes}, effects[key], pays=key in paid or _pays(outcomes))
    ]
    statuses = Counter(outcome.status for some in weather.outcomes.values() for outcome in some)
    late = sum(waited > PATIENCE_S for waited in weather.waited_s)
    doubled = sum(count > 1 for count in effects.values())
    print(f"seed {seed}: {faults} faults {dict(weather.done)} over {calls} calls: {dict(statuses)}")
    print(f"doubled {doubled}, lost {calls - len(weather.outcomes)}, untrue {len(wrong)}, over {PATIENCE_S:g} s {late}")
    cuts = statistics.quantiles(weather.waited_s, n=100)
    print(f"waited p50 {cuts[49]:.2f} s, p99 {cuts[98]:.2f} s; payments made {sum(effects.values())}")
    for line in wrong:
        print(line)
    return 1 if wrong or doubled or late else 0


def _pays(outcomes: list[Outcome]) -> bool:
    return any("paid" in outcome.output for outcome in outcomes)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["calls", "faults"])
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=50)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    # A killed Redis is not among the faults; payments take "always" in production all the same.
    print(f"seed {options.seed}", flush=True)
    with house(options.workers, "everysec" if options.what == "calls" else "always") as found:
        if options.what == "calls":
            asyncio.run(measure(found, options.calls, options.at_once, options.workers))
            failed = 0
        else:
            failed = asyncio.run(storm(found, options.faults, options.seed))
    print(f"again: uv run python tests/bench/mcp_jobs.py {' '.join(sys.argv[1:])}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
