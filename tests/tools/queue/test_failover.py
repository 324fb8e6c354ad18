"""Redis fails over on one address: an old master that answers READONLY, a full one, one that wants a password.

The address is a TCP forwarder, as a load balancer or a virtual address is: what is connected stays so, what dials anew
reaches whoever is the master by then.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from redis import Redis

from tests.ports import free_port
from tests.tools import conftest
from tools import rig
from tools.queue import names
from tools.queue.queued import QueuedRunner, QueueSettings
from tools.run.catalog import load_tools

SPECS = {spec.name: spec for spec in load_tools([str(conftest.SHOP)])}
ADD = '{"left": 1, "right": 2}'


@dataclass
class Forwarder:
    """Forwards connections to a Unix socket, which may be changed for those that come later."""

    target: str
    pipes: set[asyncio.Task[None]] = field(default_factory=set)
    server: asyncio.Server | None = None

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    @property
    def url(self) -> str:
        assert self.server is not None
        return f"redis://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward both ways until either side ends, then end the other: nothing of a connection outlives the test."""
        task = asyncio.current_task()
        assert task is not None
        self.pipes.add(task)
        writers = [writer]
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(self.target)
            writers.append(far_writer)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, far_writer))
                both.create_task(self._pump(far_reader, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.pipes.discard(task)
            for each in writers:
                each.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while words := await source.read(65536):
                sink.write(words)
                await sink.drain()
        sink.close()

    async def stop(self) -> None:
        assert self.server is not None
        self.server.close()
        pipes = tuple(self.pipes)
        for task in pipes:
            task.cancel()
        await asyncio.gather(*pipes, return_exceptions=True)
        await asyncio.sleep(0)  # an aborted transport closes its socket in the loop's next round


@dataclass
class Pair:
    """Two Redis servers, and the address that leads to one of them."""

    old: conftest.RedisServer
    new: conftest.RedisServer
    forwarder: Forwarder

    def fail_over(self) -> None:
        """The new one takes over, the old one follows it (over TCP); what is connected to it stays connected."""
        port = free_port()
        self.new.client.config_set("port", port)
        self.new.client.config_set("protected-mode", "no")
        self.new.client.slaveof()
        self.old.client.slaveof("127.0.0.1", port)
        self.forwarder.target = self.new.socket


@pytest.fixture
def second() -> Iterator[conftest.RedisServer]:
    with conftest.RedisServer.temporary() as server:
        yield server


@pytest.fixture
async def pair(redis_server, second) -> AsyncIterator[Pair]:
    forwarder = Forwarder(redis_server.socket)
    await forwarder.start()
    try:
        yield Pair(redis_server, second, forwarder)
    finally:
        await forwarder.stop()


@contextlib.asynccontextmanager
async def runner_on(url: str) -> AsyncIterator[QueuedRunner]:
    runner = QueuedRunner(QueueSettings(url=url))
    try:
        yield runner
    finally:
        await runner.aclose()


async def answers(redis: Redis, command: str) -> str:
    try:
        await asyncio.to_thread(redis.execute_command, *command.split())
    except Exception as error:
        return str(error)
    return "OK"


async def test_the_calling_side_follows_a_failover(pair, tmp_path: Path, request_for) -> None:
    async with runner_on(pair.forwarder.url) as runner:
        workers = conftest.ToolWorkers(pair.forwarder.url, tmp_path)
        try:
            worker = await asyncio.to_thread(workers.start)
            # Several connections on each side, and a read that blocks.
            before = await asyncio.gather(*(runner.run(SPECS["add"], request_for("add", ADD)) for _ in range(8)))
            assert {outcome.status for outcome in before} == {"ok"} and await runner.healthy()
            await asyncio.to_thread(pair.fail_over)
            for _ in range(5):
                outcome = await runner.run(SPECS["add"], request_for("add", ADD))
                assert outcome.status == "ok", (outcome, workers.log)
            assert await runner.healthy()
            assert await runner.workers() == 1, "asked of the new one, where the tool worker is"
            assert worker.poll() is None and "Traceback" not in workers.log
        finally:
            workers.stop()


async def test_a_result_that_is_waited_for_comes_from_the_new_master(pair, tmp_path: Path, request_for) -> None:
    """The old one is cut off: nothing that the new one gets ever reaches it."""
    async with runner_on(pair.forwarder.url) as runner:
        waiting = asyncio.create_task(runner.run(SPECS["add"], request_for("add", ADD), timeout_s=20))
        await asyncio.to_thread(rig.wait_until, lambda: pair.old.client.llen("rq:queue:tools") == 1, "the job")
        pair.new.client.config_set("port", port := free_port())
        copy = {key: pair.old.client.dump(key) for key in pair.old.client.keys("*")}
        for key, value in copy.items():
            pair.new.client.restore(key, 0, value)
        pair.old.client.slaveof("127.0.0.1", free_port())  # a master that isn't there
        pair.forwarder.target = pair.new.socket
        assert port
        workers = conftest.ToolWorkers(pair.new.url, tmp_path)
        try:
            await asyncio.to_thread(workers.start)
            outcome = await waiting
            assert outcome.status == "ok", (outcome, workers.log)
        finally:
            workers.stop()


async def test_a_replica_is_not_healthy_and_says_how_to_mend_it(pair, request_for) -> None:
    async with runner_on(pair.forwarder.url) as runner:
        assert await runner.healthy()
        pair.old.client.slaveof("127.0.0.1", free_port())
        assert await answers(pair.old.client, "PING") == "OK"
        assert not await runner.healthy()
        outcome = await runner.run(SPECS["add"], request_for("add", ADD))
        assert (outcome.status, outcome.detail) == (
            "unavailable",
            "Redis refuses (READONLY): this Redis is a replica: where that stays so, point REDIS_URL to the master",
        )
        pair.old.client.slaveof()
        assert await runner.healthy()


REFUSALS = {
    "READONLY": ("SLAVEOF 127.0.0.1 1", "SLAVEOF NO ONE"),
    "OOM": ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
    "MASTERDOWN": ("CONFIG SET replica-serve-stale-data no|SLAVEOF 127.0.0.1 1", "SLAVEOF NO ONE"),
    "NOREPLICAS": ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"),
    "NOAUTH": ("CONFIG SET requirepass hush|CLIENT KILL TYPE normal SKIPME yes", "CONFIG SET requirepass ''"),
    "NOPERM": ("ACL SETUSER default -@write", "ACL SETUSER default +@write"),
}


@pytest.mark.parametrize("answer", REFUSALS)
async def test_no_answer_of_redis_ends_a_tool_worker(workers, redis_server, runner, request_for, answer: str) -> None:
    refuse, mend = REFUSALS[answer]
    operator = redis_server.client
    operator.ping()
    worker = workers.start()
    assert (await runner.run(SPECS["add"], request_for("add", ADD))).status == "ok"
    for command in refuse.split("|"):
        operator.execute_command(*command.split())
    await asyncio.to_thread(rig.wait_until, lambda: "redis_refuses" in workers.log, "the line", 20)
    assert not await runner.healthy()
    assert (await runner.run(SPECS["add"], request_for("add", ADD))).status == "unavailable"
    assert worker.poll() is None and "mend=" in workers.log
    operator.execute_command(*[word.strip("'") for word in mend.split()])
    for _ in range(2):
        outcome = await runner.run(SPECS["add"], request_for("add", ADD), timeout_s=20)
        assert outcome.status == "ok", (outcome, workers.log)
    assert worker.poll() is None and "Traceback" not in workers.log
    assert "hush" not in workers.log


@pytest.mark.parametrize("answer", ["READONLY", "OOM"])
async def test_a_result_in_hand_outlives_a_refusal(
    workers, redis_server, runner, request_for, answer: str, tmp_path: Path
) -> None:
    refuse, mend = REFUSALS[answer]
    workers.start()
    request = request_for("slow", '{"seconds": 0.5}')
    waiting = asyncio.create_task(runner.run(SPECS["slow"], request, timeout_s=20))
    await asyncio.to_thread(rig.wait_until, (tmp_path / "slow.started").exists, "its start")
    redis_server.client.execute_command(*refuse.split())
    await asyncio.to_thread(rig.wait_until, (tmp_path / "slow.ended").exists, "its end")
    await asyncio.sleep(0.5)
    redis_server.client.execute_command(*mend.split())
    assert (await waiting).status == "ok", workers.log
    assert redis_server.client.hget(names.job_key(request.job_id), "status") == b"finished"


async def test_a_tool_worker_that_starts_on_a_replica_waits(workers, redis_server, runner, request_for) -> None:
    redis_server.client.slaveof("127.0.0.1", free_port())
    worker = workers.start(wait=False)
    await asyncio.to_thread(rig.wait_until, lambda: "redis_refuses" in workers.log, "the line")
    assert worker.poll() is None
    redis_server.client.slaveof()
    assert (await runner.run(SPECS["add"], request_for("add", ADD), timeout_s=20)).status == "ok"
