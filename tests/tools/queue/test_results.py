"""The reader of results beside a real Redis, with entries in the order that a tool worker writes them."""

from __future__ import annotations

import asyncio
import base64

import pytest

from tests.tools.conftest import RedisServer
from tools.queue import names
from tools.queue.finished import Finished
from tools.queue.results import ResultReader

DONE = {"type": "1", "return_value": base64.b64encode(b'{"done": true}')}


def with_password(server: RedisServer, rights: str) -> str:
    server.client.execute_command(f"ACL SETUSER caller on >pass ~* &* {rights}")
    return server.url.replace("unix://", "unix://caller:pass@")


@pytest.mark.parametrize("rights", ["+@all", "+@all -xread"], ids=["pushed", "polled"])
async def test_what_was_reported_before_the_result_is_heard_before_it(redis_server: RedisServer, rights: str) -> None:
    """Whatever is looked at first: a job may report and end between two looks."""
    client = redis_server.client
    reader = ResultReader(with_password(redis_server, rights))
    heard: list[str] = []

    def hear(text: str) -> None:
        heard.append(text)
        if len(heard) == 1:
            client.xadd(names.progress_key("job"), {"text": "two"})
            client.xadd(names.result_key("job"), DONE)

    try:
        future = reader.watch("job", hear)
        reader.enqueued("job", certain=True)
        client.hset(names.job_key("job"), "status", "started")
        client.xadd(names.progress_key("job"), {"text": "one"})
        end = await asyncio.wait_for(asyncio.shield(future), 5)
        assert (end, heard) == (Finished("returned", {"done": True}), ["one", "two"])
        reader.forget("job")
    finally:
        await reader.aclose()


async def test_polling_goes_on_where_a_waiter_leaves_as_it_hears(redis_server: RedisServer) -> None:
    """Another job's report is not lost by it, nor is the reader held up."""
    client = redis_server.client
    reader = ResultReader(with_password(redis_server, "+@all -xread"))
    heard: list[str] = []
    try:
        futures = [reader.watch(job, heard.append) for job in ("a", "b")]
        futures[0].add_done_callback(lambda _: reader.forget("a"))
        for job in ("a", "b"):
            reader.enqueued(job, certain=True)
            client.xadd(names.progress_key(job), {"text": job})
            client.xadd(names.result_key(job), DONE)
        await asyncio.wait_for(asyncio.gather(*futures), 5)
        assert heard == ["a", "b"]
    finally:
        await reader.aclose()
