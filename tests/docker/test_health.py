"""docker/health, the health check of the worker's container, against the worker's own HTTP endpoint."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from worker.records.metrics import Metrics
from worker.service.http import Part, start_http
from worker.settings.values import HttpAddress

HEALTH = Path(__file__).parents[2] / "docker" / "health"


class Status:
    """A worker as its HTTP endpoint sees it."""

    alive = True

    def healthy(self) -> bool:
        return self.alive

    def parts(self) -> Sequence[Part]:
        return [Part("redis", False, "not reachable")]

    def calls(self) -> Sequence[dict[str, Any]]:
        return []


async def check(address: str | None) -> tuple[int | None, str]:
    """Exit code and words of the health check."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", HEALTH, env={"OFFHOOK_HTTP": address} if address is not None else {},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode, out.decode()


@pytest.mark.parametrize("listen", ["127.0.0.1", "0.0.0.0", "::", "::1"])
async def test_it_asks_where_the_worker_listens(listen: str) -> None:
    status = Status()
    endpoint = await start_http(HttpAddress(listen, 0), status, Metrics())
    try:
        address = f"[{listen}]:{endpoint.port}" if ":" in listen else f"{listen}:{endpoint.port}"
        code, words = await check(address)
        assert (code, words.split()[0]) == (0, "200"), "Redis being away is nothing that a restart would mend"
        status.alive = False
        code, words = await check(address)
        assert (code, words.split()[0]) == (1, "503")
    finally:
        await endpoint.stop()
    code, words = await check(address)
    assert code == 1 and "does not answer" in words


async def test_there_is_nothing_to_ask() -> None:
    assert await check("off") == (0, "")
