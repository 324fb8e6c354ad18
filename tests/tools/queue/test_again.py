"""What may run again, and what need not: retries of idempotent tools, and answers out of the cache."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tools.conftest import SHOP
from tools.define.spec import spec_of
from tools.queue import names
from tools.queue.queued import QueuedRunner
from tools.queue.store import cache
from tools.run.catalog import Catalog, load_tools
from tools.run.inline import InlineRunner
from tools.tool_call.outcome import Outcome
from tools.tool_call.request import ToolRequest

SPECS = {spec.name: spec for spec in load_tools([str(SHOP)])}
SECRETS = {"SHOP_KEY": "sk-shop-77"}


def lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture
def catalog(runner: QueuedRunner) -> Catalog:
    return Catalog(SPECS.values(), inline=InlineRunner(), queued=runner, secrets=SECRETS)


async def test_an_idempotent_tool_is_tried_again_and_nobody_is_woken_between(
    workers, catalog, request_for, redis_server, tmp_path
) -> None:
    workers.start()
    request = request_for("flaky", '{"good_at": 3}')
    outcome = await catalog.run(request)
    assert (outcome.status, outcome.output) == ("ok", '{"tries":3}')
    assert redis_server.client.xlen(names.result_key(request.job_id)) == 1  # the only result is the last
    assert "tool_raised" in workers.log and "job_failed" not in workers.log


async def test_when_all_tries_fail_the_last_one_is_told(workers, catalog, request_for, tmp_path) -> None:
    workers.start()
    outcome = await catalog.run(request_for("flaky", '{"good_at": 9}'))
    assert outcome.status == "failed"
    assert outcome.detail.startswith("RuntimeError at shop.py")
    assert lines(tmp_path / "flaky") == 3


async def test_a_tool_that_took_its_process_with_it_comes_again_after_its_pause(
    workers, catalog, request_for, tmp_path
) -> None:
    workers.start()
    outcome = await catalog.run(request_for("dies_first"))
    assert (outcome.status, outcome.output) == ("ok", '{"tries":2}')


async def test_words_for_the_caller_are_an_answer_and_not_tried_again(workers, catalog, request_for, tmp_path) -> None:
    workers.start()
    outcome = await catalog.run(request_for("refuses"))
    assert "We are closed." in outcome.output
    assert lines(tmp_path / "refuses") == 1


async def test_a_pause_is_as_long_as_it_says(workers, catalog, request_for, redis_server, tmp_path) -> None:
    workers.start()
    request = request_for("dies_first")
    waiting = asyncio.create_task(catalog.run(request))
    while not (due := redis_server.client.zrange("rq:scheduled:tools", 0, 0, withscores=True)):
        await asyncio.sleep(0.01)
    assert due[0][1] >= (tmp_path / "dies").stat().st_mtime + 1, "not cut to the second that has begun"
    await catalog.cancel(request.call_id, request.tool_call_id)
    await waiting


async def test_a_job_in_its_pause_can_be_cancelled(workers, catalog, request_for, redis_server, tmp_path) -> None:
    workers.start()
    request = request_for("dies_first")
    waiting = asyncio.create_task(catalog.run(request))
    client = redis_server.client
    while not client.zcard("rq:scheduled:tools"):
        await asyncio.sleep(0.01)
    assert await catalog.cancel(request.call_id, request.tool_call_id)
    assert (await waiting).status == "cancelled"
    assert client.zcard("rq:scheduled:tools") == 0
    assert lines(tmp_path / "dies") == 1


@pytest.mark.parametrize("sync", [True, False])
async def test_inline_tools_are_tried_again_too(sync: bool) -> None:
    tries: list[int] = []

    def attempt() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise RuntimeError("not yet")
        return len(tries)

    async def attempt_later() -> int:
        return attempt()

    function: Callable[[], Any] = attempt if sync else attempt_later
    spec = spec_of(function, name="it", description="It.", effects="idempotent", retries=2, backoff=0.01)
    catalog = Catalog([spec], inline=InlineRunner())
    request = ToolRequest(call_id="c", tool_call_id="t", name="it", arguments="{}")
    assert (await catalog.run(request)).output == '{"result":3}'


# The cache


async def test_the_same_question_is_answered_out_of_the_cache(workers, catalog, request_for, tmp_path) -> None:
    workers.start()
    first = await catalog.run(request_for("price", '{"article": "427"}'))
    again = await catalog.run(request_for("price", '{"article": 427}', call_id="another"))
    assert (first.cached, again.cached) == (False, True)
    assert (again.status, again.output, again.run_ms) == ("ok", first.output, 0)
    other = await catalog.run(request_for("price", '{"article": "427", "currency": "USD"}'))
    assert not other.cached
    assert lines(tmp_path / "price") == 2


async def test_inline_answers_are_cached_too_and_for_their_time_only(runner, redis_server) -> None:
    ran: list[int] = []

    async def count() -> int:
        ran.append(1)
        return len(ran)

    catalog = Catalog(
        [spec_of(count, description="Count.", mode="inline", cache=60)], inline=InlineRunner(), queued=runner
    )

    async def ask(number: int) -> Outcome:
        return await catalog.run(ToolRequest(call_id="c", tool_call_id=str(number), name="count", arguments="{}"))

    assert [(await ask(n)).cached for n in range(3)] == [False, True, True]
    client = redis_server.client
    [key] = client.keys("offhook:cache:count:*")
    assert 0 < client.ttl(key) <= 60
    client.pexpire(key, 1)
    while client.exists(key):
        pass
    assert not (await ask(3)).cached
    redis_server.kill()
    assert (await ask(4)).status == "ok"  # without Redis, without a cache


def test_the_key_is_of_the_tool_its_version_and_its_arguments() -> None:
    def key(arguments: dict[str, Any], name: str = "price", caller: str = "") -> str:
        return cache.key_of(SPECS[name], arguments, caller, "")

    same = key({"article": "1", "currency": "EUR"})
    assert same == key({"currency": "EUR", "article": 1})
    assert same != key({"article": "2", "currency": "EUR"})
    assert same == key({"article": "1", "currency": "EUR"}, caller="+1")  # it does not know who calls
    assert key({}, "steps", caller="+1") != key({}, "steps", caller="+2")  # this one does: another caller's is not told

    def price(article: str, currency: str = "EUR") -> dict[str, Any]:
        """Ask for a price, which takes its time."""
        return {"another": "source"}

    other = cache.key_of(spec_of(price, cache=60), {"article": "1", "currency": "EUR"}, "", "")
    assert other != same and json.dumps(other)
