"""A tool that is stopped in the middle: because its tool worker was killed, or on the worker's own word."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools import conftest
from tools import rig
from tools.queue import names
from tools.run.catalog import load_tools
from tools.worker.leash import SIGNAL, Leash, ToolStopped

SPECS = {spec.name: spec for spec in load_tools([str(conftest.SHOP)])}


async def until_exists(path: Path) -> None:
    await asyncio.to_thread(rig.wait_until, path.exists, str(path))


def is_gone(pid: int) -> bool:
    """Whether a process has ended; as an orphan it may wait for somebody to take note of it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize(("tool", "status"), [("slow", "failed"), ("slow_later", "failed"), ("pay", "unknown")])
async def test_a_job_whose_worker_is_killed_gives_up_and_says_so(
    workers, runner, request_for, redis_server, tmp_path: Path, tool: str, status: str
) -> None:
    worker = workers.start()
    request = request_for(tool, '{"seconds": 30}')
    waiting = asyncio.create_task(runner.run(SPECS[tool], request, timeout_s=25))
    await until_exists(tmp_path / f"{tool}.started")
    (fork,) = conftest.children_of(worker.pid)
    os.kill(worker.pid, signal.SIGKILL)
    outcome = await waiting
    assert (outcome.status, outcome.detail) == (
        status,
        "the tool worker lost the job: tools.worker.leash.ToolStopped: its tool worker died",
    )
    await asyncio.to_thread(rig.wait_until, lambda: is_gone(fork), "the fork's end")
    client = redis_server.client
    assert client.hget(names.job_key(request.job_id), "status") == b"failed"
    assert client.scard(names.workers_key(names.QUEUE)) == 0
    assert not (tmp_path / f"{tool}.ended").exists()
    assert "its tool worker died" in workers.log


async def test_one_that_swallows_it_is_killed(workers, runner, request_for, tmp_path: Path) -> None:
    worker = workers.start()
    waiting = asyncio.create_task(runner.run(SPECS["stubborn"], request_for("stubborn")))
    await until_exists(tmp_path / "stubborn.started")
    (fork,) = conftest.children_of(worker.pid)
    os.kill(worker.pid, signal.SIGKILL)
    await asyncio.to_thread(rig.wait_until, lambda: is_gone(fork), "the fork's end")
    assert (tmp_path / "stubborn.swallowed").exists()
    waiting.cancel()


@pytest.fixture
def leash() -> Iterator[Leash]:
    before = signal.getsignal(SIGNAL)
    found = Leash()
    found.overdue = lambda: None
    found.install()
    try:
        yield found
    finally:
        signal.signal(SIGNAL, before)


def test_nothing_is_cut_but_the_tools_own_code(leash: Leash) -> None:
    leash.pull()
    with pytest.raises(ToolStopped), leash.around_tool():
        leash.pull()
        signal.pause()
    leash.pull()
    with leash.around_tool():
        pass
    assert not leash.cut


def test_a_tied_process_takes_the_signal_for_its_workers_death_though_its_parent_lives(leash: Leash) -> None:
    leash.tie(os.getppid())
    assert not leash.cut
    leash.pull()
    rig.wait_until(lambda: leash.cut, "the signal")


def test_a_process_whose_worker_is_dead_begins_no_tool(leash: Leash) -> None:
    leash.cut = True
    ran = False
    with pytest.raises(ToolStopped), leash.around_tool():
        ran = True
    assert not ran
