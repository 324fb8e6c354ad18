"""More tool calls than the tool workers can do: new callers are told, then new calls are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts.caller import Call
from parts.program import until
from parts.provider import WORDS_HZ, Provider
from parts.services import RedisServer, ToolWorker, Worker

SHOP = Path(__file__).parent / "parts" / "shop.py"

AGENT = """
greeting = "Hello."
[tools]
modules = ["{shop}"]
[limits]
busy = ["It may take {{about}}."]
"""


@pytest.fixture
def busy(folder: Path, tmp_path: Path, provider: Provider) -> Iterator[Worker]:
    """A worker with a queue and one tool worker of its own."""
    (own := folder / "busy").mkdir()
    agent = own / "agent.toml"
    agent.write_text(AGENT.format(shop=SHOP))
    redis = RedisServer(own)
    redis.start()
    hands = ToolWorker(redis.url, agent, own).ready()
    worker = Worker(
        tmp_path / "calls",
        REDIS_URL=redis.url,
        OFFHOOK_AGENT=agent,
        **provider.settings,
        OFFHOOK_BACKLOG_TELL_SECONDS=9,
        OFFHOOK_BACKLOG_REFUSE_SECONDS=19,
        SHOP_FOLDER=own,
    )
    try:
        yield worker.ready()
    finally:
        worker.stop()
        hands.stop()
        redis.kill()


def test_callers_are_told_then_refused_and_taken_again(
    busy: Worker, provider: Provider, dial: Callable[[str], Call], sipp: Any
) -> None:
    first = dial(busy.uri)
    session = provider.session()
    asked: list[str] = []

    def ask(count: int) -> None:
        name = f"job{len(asked)}"
        asked.extend(session.calls("slow", {"seconds": 60, "name": name}) for _ in range(count))

    ask(3)  # one runs, two wait; nothing is known of them: 5 s each
    until(lambda: busy.metric(r'offhook_tool_queue_depth\{tool="slow"\}') == 2, "two jobs wait")
    assert busy.metric("offhook_tool_workers") == 1
    assert busy.metric("offhook_tool_queue_wait_seconds") == 10
    busy.wait_log("backlog", answer="tell")
    told = dial(busy.uri)
    second = provider.session()
    said = lambda: [one["response"]["instructions"] for one in second.got("response.create")]  # noqa: E731
    until(lambda: len(said()) == 2, "greeting and notice")
    assert said() == ["Say exactly: Hello.", "Say exactly: It may take a few seconds."]
    told.hears_tone(WORDS_HZ, 500)

    ask(2)
    busy.wait_log("backlog", answer="refuse")
    calls = len(busy.logged("call"))
    sipp("refused_503", busy.target).finish()
    assert busy.wait_log("call_refused", status=503, reason="backlog")["retry_after_s"] == 20
    assert len(busy.logged("call")) == calls, "there was no call"
    assert busy.metric(r'offhook_calls_total\{outcome="rejected"\}') == 1
    told.waits(200)
    assert told.up, "calls in progress go on"

    first.hang_up()
    busy.wait_log("backlog", answer="ok")  # what was only for this caller left the queue
    dial(busy.uri)
