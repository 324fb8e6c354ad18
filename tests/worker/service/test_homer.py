"""A Homer on a real UDP socket, one that is away, and one whose name nobody knows."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from tests.worker.records.hep_decoder import decoded
from tests.worker.records.test_hep import HEAD, message
from worker.service.homer import Homer
from worker.settings.values import HttpAddress


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(5)
        yield made


async def looked_up(homer: Homer) -> asyncio.Task[None]:
    task = asyncio.create_task(homer.run())
    while homer._socket is None:
        await asyncio.sleep(0.01)
    return task


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


async def test_a_message_arrives_with_our_address_on_that_network(server: socket.socket) -> None:
    homer = Homer(HttpAddress("localhost", server.getsockname()[1]), 7, "pw", "0.0.0.0")
    homer.port = 5070
    task = await looked_up(homer)
    homer.told(message())
    found = decoded(await asyncio.to_thread(server.recv, 65536))
    assert (found["payload"], found["agent"], found["password"]) == (HEAD, 7, "pw")
    assert (found["target"], found["target_port"]) == ("127.0.0.1", 5070)
    await ended(task)
    homer.told(message())
    assert (homer.sent, homer.lost) == (1, 1)


async def test_one_that_is_away_costs_a_line_in_the_log_and_no_call() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        port = gone.getsockname()[1]
    homer = Homer(HttpAddress("127.0.0.1", port), 7, None, "127.0.0.1")
    task = await looked_up(homer)
    with capture_logs() as logs:
        for _ in range(50):
            homer.told(message())
            await asyncio.sleep(0)
    assert homer.lost > 0 and homer.lost + homer.sent == 50
    [line] = [line for line in logs if line["event"] == "hep_not_sent"]
    assert "refused" in line["reason"] and line["server"] == f"127.0.0.1:{port}"
    await ended(task)


async def test_a_buffer_that_is_full_drops_and_waits_for_nobody(server: socket.socket) -> None:
    homer = Homer(HttpAddress("127.0.0.1", server.getsockname()[1]), 7, None, "127.0.0.1")
    task = await looked_up(homer)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)  # UDP on loopback drops at the receiver
    ours.setblocking(False)
    real, homer._socket = homer._socket, ours
    while not homer.lost:
        homer.told(message())
    assert homer.sent > 0
    for one in (ours, theirs):
        one.close()
    homer._socket = real
    await ended(task)


async def test_a_name_that_nobody_knows_is_looked_for_again() -> None:
    homer = Homer(HttpAddress("nobody.invalid", 9060), 7, None, "127.0.0.1")
    with capture_logs() as logs:
        task = asyncio.create_task(homer.run())
        homer.told(message())
        async with asyncio.timeout(10):
            while not any(line["event"] == "hep_server_not_found" for line in logs):
                await asyncio.sleep(0.01)
    assert homer.lost == 1 and not task.done()
    await ended(task)
