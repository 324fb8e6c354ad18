"""What a caller typed reaches a job on a real tool worker, and stands nowhere in Redis."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.tools import till
from tools.errors import ToolDefinitionError
from tools.queue.queued import QueuedRunner, QueueSettings
from tools.queue.sealed_digits import new_key
from tools.rig import RedisServer, tool_worker
from tools.run.catalog import Catalog
from tools.run.inline import InlineRunner
from tools.testing import run_tool
from tools.tool_call.request import ToolRequest
from tools.worker.running import Kit

CARD = "4111111111111111"
SPECS = [one.__tool__ for one in (till.pay, till.breaks, till.refuses)]  # type: ignore[attr-defined]
KEY, OTHER = new_key(), new_key()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with RedisServer.temporary() as redis, tool_worker(redis.url, [till.__file__], KEY):
        yield redis.url


@pytest.fixture
async def queued(url: str, request: pytest.FixtureRequest) -> AsyncIterator[Catalog]:
    runner = QueuedRunner(QueueSettings(url=url, digits=getattr(request, "param", KEY)))
    yield Catalog(SPECS, inline=InlineRunner(), queued=runner)
    await runner.aclose()


async def run(catalog: Catalog, name: str, **arguments: Any) -> tuple[Any, list[str]]:
    heard: list[str] = []
    call = f"call{name}"
    request = ToolRequest(
        call_id=call, tool_call_id="1", name=name, arguments=json.dumps(arguments), typed={"card": CARD}
    )
    outcome = await catalog.run(request, on_progress=lambda _request, text: heard.append(text))
    return outcome, heard


def everything(url: str) -> bytes:
    """All that is in Redis: names and values of every kind."""
    client: Any = Redis.from_url(url)
    found = b""
    for key in client.scan_iter():
        kind = client.type(key).decode()
        read = {
            "string": lambda key: client.get(key),
            "hash": lambda key: client.hgetall(key),
            "list": lambda key: client.lrange(key, 0, -1),
            "set": lambda key: client.smembers(key),
            "zset": lambda key: client.zrange(key, 0, -1),
            "stream": lambda key: client.xrange(key),
        }[kind]
        value = read(key)
        found += key + repr(value).encode()
        if kind == "hash" and b"data" in value:
            import zlib

            found += zlib.decompress(value[b"data"]) if value[b"data"][:1] == b"x" else value[b"data"]
    return found


async def test_the_job_has_it_and_redis_does_not(queued: Catalog, url: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        outcome, heard = await run(queued, "pay", folder=folder)
        assert Path(folder, "paid").read_text() == CARD
    assert heard == ["asking the bank about [typed digits]"]
    assert json.loads(outcome.output) == {
        "entered": {"card": "entered, 16 digits, ending in 1111"},
        "paid": "yes",
        "card": "[typed digits]",
        "shown": "**********",
    }
    there = everything(url)
    assert b'"typed"' in there and b"callpay" in there, "it was looked at"
    assert CARD.encode() not in there and CARD[:8].encode() not in there


@pytest.mark.parametrize("name", ["breaks", "refuses"])
async def test_a_job_that_fails_tells_nobody(queued: Catalog, url: str, name: str) -> None:
    outcome, _ = await run(queued, name)
    assert outcome.status == "failed" and CARD not in outcome.output + outcome.detail
    assert CARD.encode() not in everything(url)


@pytest.mark.parametrize("queued", [OTHER], indirect=True, ids=["other"])
async def test_a_tool_worker_with_another_key_runs_nothing(queued: Catalog) -> None:
    with tempfile.TemporaryDirectory() as folder:
        request = ToolRequest(
            call_id="other",
            tool_call_id="1",
            name="pay",
            arguments=json.dumps({"folder": folder}),
            typed={"card": CARD},
        )
        outcome = await queued.run(request)
        assert outcome.status == "failed" and "OFFHOOK_DIGITS_KEY" in outcome.detail
        assert not Path(folder, "paid").exists()


async def test_without_a_key_a_queued_tool_is_refused_on_both_sides_and_an_auto_one_is_inline(url: str) -> None:
    runner = QueuedRunner(QueueSettings(url=url))
    try:
        with pytest.raises(ToolDefinitionError, match="set OFFHOOK_DIGITS_KEY"):
            Catalog(SPECS, inline=InlineRunner(), queued=runner)
        with pytest.raises(ToolDefinitionError, match="set OFFHOOK_DIGITS_KEY"):
            Kit.of(SPECS, {})
    finally:
        await runner.aclose()


async def test_where_nobody_can_type_it_is_not_run() -> None:
    catalog = Catalog(SPECS, inline=InlineRunner())
    outcome = await catalog.run(ToolRequest(call_id="c", tool_call_id="1", name="breaks", arguments="{}"))
    assert outcome.status == "unavailable" and "nobody typed card" in outcome.detail


def test_an_author_tries_such_a_tool() -> None:
    assert run_tool(till.refuses, typed={"card": CARD}).value["error"] == "The card [typed digits] has expired."
