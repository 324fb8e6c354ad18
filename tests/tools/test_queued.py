"""The queued runner against a real Redis and real tool workers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tools import names
from tools.catalog import Catalog, load_tools
from tools.errors import QueueUnavailable
from tools.inline import InlineRunner
from tools.outcome import Outcome
from tools.queued import QueuedRunner, QueueSettings
from tools.request import ToolRequest
from tools.spec import ToolSpec

SHOP = Path(__file__).with_name("shop.py")
SPECS = {spec.name: spec for spec in load_tools([str(SHOP)])}

Make = Callable[..., ToolRequest]


async def until(condition: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, f"waited {seconds} s in vain for {what}"
        await asyncio.sleep(0.01)


def lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def answer(outcome: Outcome) -> Any:
    return json.loads(outcome.output)


@pytest.fixture
def run(runner: QueuedRunner, request_for: Make) -> Callable[..., Awaitable[Outcome]]:
    async def call(name: str, *, timeout_s: float | None = None, **arguments: Any) -> Outcome:
        return await runner.run(SPECS[name], request_for(name, json.dumps(arguments)), timeout_s=timeout_s)

    return call


async def test_a_tool_runs_as_a_job_and_its_result_comes_back(workers, run) -> None:
    workers.start()
    outcome = await run("add", left=2, right=3)
    assert (outcome.status, outcome.output) == ("ok", '{"result":5}')
    assert outcome.job_id == "call-fc_0"
    assert outcome.wait_ms is not None and outcome.run_ms is not None


async def test_an_async_tool_runs_as_a_job(workers, run) -> None:
    workers.start()
    assert answer(await run("add_later", left=2, right=3)) == {"result": 5}
