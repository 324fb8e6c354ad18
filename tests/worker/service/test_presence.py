"""Workers say where they are, and `offhook calls` asks them all."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from aiohttp import web
from redis import Redis

from tools import rig
from tools.queue.queued import QueuedRunner, QueueSettings
from tools.queue.store import workers as store
from tools.queue.store.workers import Known
from worker.calls import calls_of_all, lines
from worker.service.presence import Presence, reached_at


@pytest.fixture
def redis_server() -> Iterator[rig.RedisServer]:
    with rig.RedisServer.temporary() as server:
        yield server


def test_where_an_endpoint_is_reached() -> None:
    assert reached_at("127.0.0.1", 8080, "redis://10.0.0.1") == "http://127.0.0.1:8080"
    assert reached_at("0.0.0.0", 8080, "redis://:word@127.0.0.1:6379/0") == "http://127.0.0.1:8080"
    assert reached_at("0.0.0.0", 8080, "unix:///tmp/r.sock") == "http://127.0.0.1:8080"
    assert reached_at("::1", 1, "redis://x") == "http://[::1]:1"


def test_a_worker_that_says_nothing_more_is_forgotten(redis_server) -> None:
    with Redis.from_url(redis_server.url) as client:
        store.note(client, Known(name="b", http="http://127.0.0.1:2", since=2.0))
        store.note(client, Known(name="a", http="http://127.0.0.1:1", since=1.0))
        assert [one.name for one in store.known(client)] == ["a", "b"]
        assert 0 < client.ttl("offhook:worker:a") <= store.TTL_S
        store.forget(client, "a")
        assert [one.name for one in store.known(client)] == ["b"]


async def test_the_calls_of_all_and_who_does_not_answer(redis_server) -> None:
    async def calls(_: web.Request) -> web.Response:
        return web.json_response({"calls": [{"call_id": "one", "caller": "1"}, {"call_id": "two", "caller": "2"}]})

    app = web.Application()
    app.add_routes([web.get("/calls", calls)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    settings = QueueSettings(url=redis_server.url)
    queue = QueuedRunner(settings)
    presence = Presence(queue, f"http://127.0.0.1:{port}")
    running = asyncio.create_task(presence.run())
    try:
        with Redis.from_url(redis_server.url) as client:
            store.note(client, Known(name="dead", http="http://127.0.0.1:9", since=0.0))
            while len(store.known(client)) < 2:
                await asyncio.sleep(0.01)
        answers = await calls_of_all(settings)
        found = [json.loads(line) for line in lines(answers)]
        assert found[0] == {"worker": "dead", "http": "http://127.0.0.1:9", "error": "does not answer"}
        assert [(one["worker"], one["call_id"]) for one in found[1:]] == [
            (presence.known.name, "one"),
            (presence.known.name, "two"),
        ]
        assert [json.loads(line).get("call_id") for line in lines(answers, "two")] == [None, "two"]
        assert presence.known.since <= time.time()
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        with Redis.from_url(redis_server.url) as client:
            assert [one.name for one in store.known(client)] == ["dead"]
        await queue.aclose()
        await runner.cleanup()
