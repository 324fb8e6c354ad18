"""Stops of a job: one each, of its fork and what the tool has started, and of nobody else. Real workers and forks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from rq.command import send_command

from tests.tools import conftest
from tools import rig
from tools.queue import names
from tools.run.catalog import load_tools
from tools.worker.fork import Fork

SPECS = {spec.name: spec for spec in load_tools([str(conftest.SHOP)])}


class Shell:
    """A tool worker and another process that one shell has started: they share its process group."""

    def __init__(self, url: str, folder: Path) -> None:
        ready = folder / "ready"
        worker = (
            "import os, sys; sys.path[:] = eval(sys.argv[1]); os.setsid = lambda: None;"
            "from tools.rig import serve; serve(sys.argv[2], sys.argv[3], sys.argv[4],"
            " log=sys.argv[5], folder=sys.argv[6], secrets={'SHOP_KEY': 'sk'})"
        )
        script = 'sleep 300 & echo $! > beside; "$@" & echo $! > worker; wait'
        arguments = [repr(sys.path), url, str(ready), str(conftest.SHOP), str(folder / "log"), str(folder)]
        self.process = subprocess.Popen(
            ["sh", "-c", script, "sh", sys.executable, "-c", worker, *arguments], cwd=folder, start_new_session=True
        )
        self.log = folder / "log"
        rig.wait_until(ready.exists, lambda: f"a tool worker: {self.log.read_text()}")
        self.beside = int((folder / "beside").read_text())
        self.worker = int((folder / "worker").read_text())

    def stands(self) -> bool:
        """Whether all three live."""
        return all(is_alive(pid) for pid in (self.process.pid, self.beside, self.worker))

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def shell(redis_server, tmp_path: Path) -> Iterator[Shell]:
    found = Shell(redis_server.url, tmp_path)
    try:
        yield found
    finally:
        found.end()


def stop(redis: Redis, job_id: str) -> None:
    """Send what RQ's `send_stop_job_command` sends."""
    owner = redis.hget(names.job_key(job_id), "worker_name")
    if isinstance(owner, bytes):
        send_command(redis, owner.decode(), "stop-job", job_id=job_id)


async def started(path: Path) -> None:
    await asyncio.to_thread(rig.wait_until, path.exists, str(path))


async def test_two_stops_of_a_job_kill_its_fork_alone(shell, redis_server, runner, request_for, tmp_path) -> None:
    redis = redis_server.client
    for number, pause_s in enumerate([0.0, 0.001, 0.003, 0.01, 0.03, 0.06, 0.06, 0.06]):
        request = request_for("slow", json.dumps({"seconds": 30, "name": f"slow{number}"}))
        waiting = asyncio.create_task(runner.run(SPECS["slow"], request))
        await started(tmp_path / f"slow{number}.started")
        stop(redis, request.job_id)
        await asyncio.sleep(pause_s)
        stop(redis, request.job_id)
        assert (await waiting).status == "cancelled"
        await asyncio.sleep(0.05)
        stop(redis, request.job_id)  # and one that comes when all is over
        assert shell.stands(), shell.log.read_text()
        assert (await runner.run(SPECS["add"], request_for("add", '{"left": 1, "right": 1}'))).status == "ok"
    assert "Traceback" not in shell.log.read_text()


def workers_name(redis: Redis) -> str:
    (key,) = redis.smembers(names.workers_key(names.QUEUE))
    assert isinstance(key, bytes)
    return key.decode().removeprefix("rq:worker:")


@pytest.mark.parametrize(("tool", "status"), [("leave", "failed"), ("leave_paying", "unknown")])
async def test_a_fork_that_leaves_by_itself_is_a_failed_job_at_once(
    shell, redis_server, runner, request_for, tool: str, status: str
) -> None:
    for _ in range(3):
        request = request_for(tool)
        outcome = await runner.run(SPECS[tool], request)
        assert outcome.status == status and outcome.detail.endswith("left by itself: exit code 0")
        redis = redis_server.client
        assert redis.hget(names.job_key(request.job_id), "status") == b"failed"
        stop(redis, request.job_id)
        await runner.cancel(request.job_id)
        await asyncio.sleep(0.05)
        assert shell.stands()
    send_command(redis, workers_name(redis), "kill-horse")  # RQ's other word, where there is no fork
    await asyncio.sleep(0.3)
    assert shell.stands()
    assert not redis_server.client.zcard("rq:wip:tools")


async def test_a_stop_ends_what_the_tool_has_started(shell, runner, request_for, tmp_path) -> None:
    request = request_for("with_child")
    waiting = asyncio.create_task(runner.run(SPECS["with_child"], request))
    await started(tmp_path / "child")
    child = int((tmp_path / "child").read_text())
    assert is_alive(child)
    assert await runner.cancel(request.job_id) == "stopped"
    assert (await waiting).status == "cancelled"
    await asyncio.to_thread(rig.wait_until, lambda: not is_alive(child), "the child's end")
    assert shell.stands()


async def test_what_is_no_command_leaves_it_listening(shell, redis_server, runner, request_for, tmp_path) -> None:
    redis = redis_server.client
    channel = f"rq:pubsub:{workers_name(redis)}"
    for words in (b"\xff\xfe", "no JSON", "[]", "{}", '{"command": 7}', '{"command": "stop-job"}'):
        redis.publish(channel, words)
    request = request_for("slow", '{"seconds": 30}')
    waiting = asyncio.create_task(runner.run(SPECS["slow"], request))
    await started(tmp_path / "slow.started")
    await runner.cancel(request.job_id)
    assert (await waiting).status == "cancelled"
    rig.wait_until(lambda: redis.hget(names.job_key(request.job_id), "status") == b"stopped", "its fork's end", 4)


async def test_a_second_sigterm_kills_the_job_and_says_so(workers, redis_server, runner, request_for, tmp_path) -> None:
    worker = workers.start()
    request = request_for("slow", '{"seconds": 30}')
    waiting = asyncio.create_task(runner.run(SPECS["slow"], request))
    await started(tmp_path / "slow.started")
    os.kill(worker.pid, signal.SIGTERM)
    await asyncio.sleep(1.1)  # RQ takes two within a second for one
    os.kill(worker.pid, signal.SIGTERM)
    outcome = await waiting
    assert (outcome.status, outcome.detail.rpartition("job: ")[2]) == ("failed", "its process died: signal 9")
    assert await asyncio.to_thread(worker.wait) == 0


def forked() -> int:
    """Fork a process that sleeps, as RQ does."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    return pid


def test_a_fork_is_killed_once_and_not_after_its_end() -> None:
    fork = Fork(forked())
    assert os.getpgid(fork.pid) == fork.pid != os.getpgrp(), "it leads a group from the start"
    assert fork.kill()
    assert not fork.kill()
    fork.wait()
    left = fork.reap()
    assert left.killed and str(left) == "signal 9"
    assert not fork.kill()
