"""A tool worker that runs tools in its own process: sooner, and bound to them for better or worse."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tools import conftest
from tools import rig
from tools.queue import names
from tools.run.catalog import load_tools
from tools.tool_call.outcome import Outcome

SPECS = {spec.name: spec for spec in load_tools([str(conftest.SHOP)])}
Run = Callable[..., Awaitable[Outcome]]


@pytest.fixture
def run(runner, request_for) -> Run:
    async def body(name: str, timeout_s: float = 8.0, **arguments: Any) -> Outcome:
        return await runner.run(SPECS[name], request_for(name, json.dumps(arguments)), timeout_s=timeout_s)

    return body


async def pid_of(run: Run) -> int:
    found: int = json.loads((await run("sometimes", seconds=0)).output)["pid"]
    return found


async def test_tools_run_in_the_workers_process_and_it_survives_their_faults(workers, run: Run) -> None:
    worker = workers.start(simple=True)
    assert await pid_of(run) == worker.pid
    for name, status in (("leaky", "failed"), ("sold_out", "failed"), ("when", "failed"), ("add_later", "ok")):
        arguments = {"left": 1, "right": 2} if name == "add_later" else {}
        assert (await run(name, **arguments)).status == status
    assert await pid_of(run) == worker.pid


@pytest.mark.parametrize("tool", ["slow", "slow_later"])
async def test_a_time_out_holds_and_the_worker_goes_on(workers, run: Run, tmp_path: Path, tool: str) -> None:
    worker = workers.start(simple=True)
    assert (await run(tool, timeout_s=0.8, seconds=30)).status == "timeout"
    assert await pid_of(run) == worker.pid
    assert not (tmp_path / f"{tool}.ended").exists()


async def test_a_running_job_is_cancelled(workers, runner, run: Run, request_for, redis_server, tmp_path: Path) -> None:
    worker = workers.start(simple=True)
    request = request_for("slow", '{"seconds": 30}')
    waiting = asyncio.create_task(runner.run(SPECS["slow"], request))
    await asyncio.to_thread(rig.wait_until, (tmp_path / "slow.started").exists, "the tool's start")
    assert await runner.cancel(request.job_id) == "stopped"
    assert (await waiting).status == "cancelled"
    assert await pid_of(run) == worker.pid
    assert redis_server.client.hget(names.job_key(request.job_id), "status") == b"stopped"


async def test_a_tool_that_does_not_stop_takes_its_worker_with_it(
    workers, run: Run, redis_server, tmp_path: Path
) -> None:
    worker = workers.start(simple=True)
    assert (await run("stubborn", timeout_s=0.8)).status == "timeout"
    assert await asyncio.to_thread(worker.wait, 20.0) == os.EX_SOFTWARE
    assert "tool_hangs" in workers.log and "without --simple" in workers.log
    client = redis_server.client
    assert client.scard(names.workers_key(names.QUEUE)) == 0
    assert client.zcard(f"rq:wip:{names.QUEUE}") == 0


async def test_sigterm_lets_the_job_in_hand_finish(workers, run: Run, tmp_path: Path) -> None:
    worker = workers.start(simple=True)
    waiting = asyncio.create_task(asyncio.wait_for(run("slow", seconds=0.8), 10))
    await asyncio.to_thread(rig.wait_until, (tmp_path / "slow.started").exists, "the tool's start")
    os.kill(worker.pid, signal.SIGTERM)
    assert (await waiting).status == "ok"
    assert await asyncio.to_thread(worker.wait) == 0
