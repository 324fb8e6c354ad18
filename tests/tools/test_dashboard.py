"""rq-dashboard with our ways of cancelling: what a browser may ask of it, and what becomes of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer

from tools.define.chain import chain
from tools.define.loading import load_tools
from tools.queue import names
from tools.queue.client import QueueClient, QueueSettings, tickets_of
from tools.tool_call.request import ToolRequest

pytest.importorskip("rq_dashboard")

from tools.dashboard import make_app

SPECS = {spec.name: spec for spec in load_tools([str(Path(__file__).with_name("shop.py"))])}


@pytest.fixture
def page(redis_server) -> Any:
    return make_app(QueueSettings(url=redis_server.url)).test_client()


@pytest.fixture
def enqueue(redis_server) -> Any:
    """Put a tool call's jobs into the queue, which nobody takes out; returns their ids."""
    client = QueueClient(QueueSettings(url=redis_server.url))

    def put(name: str, **arguments: Any) -> list[str]:
        call = ToolRequest(call_id="call", tool_call_id=f"fc_{name}", name=name, arguments=json.dumps(arguments))
        steps = chain(SPECS[name], arguments, SPECS.get)
        tickets = tickets_of(steps, call, 0.0, 1e12, 60.0)
        assert client.enqueue(tickets, 1e12)
        return [ticket.job_id for ticket in tickets]

    yield put
    client.close()


def status(redis: Redis, job: str) -> str:
    return Job.fetch(job, connection=redis, serializer=JSONSerializer).get_status().value


def test_delete_cancels_and_keeps_the_record(page, enqueue, redis_server) -> None:
    [job] = enqueue("add", left=1, right=2)
    assert page.post(f"/job/{job}/delete").json == {"how": "removed", "status": "OK"}
    assert status(redis_server.client, job) == "canceled"
    assert page.post(f"/job/{job}/delete").json == {"how": "over", "status": "ERROR"}
    assert page.post("/job/nobody/delete").json == {"how": "gone", "status": "ERROR"}


def test_empty_cancels_what_waits_and_leaves_what_is_over(page, enqueue, redis_server) -> None:
    [one], [other] = enqueue("add", left=1, right=2), enqueue("slow", seconds=1)
    assert page.post(f"/queue/{names.QUEUE}/queued/empty").json == {"cancelled": 2, "status": "OK"}
    assert page.post(f"/queue/{names.QUEUE}/canceled/empty").json == {"status": "DISABLED"}
    assert {status(redis_server.client, job) for job in (one, other)} == {"canceled"}


def test_a_step_is_cancelled_with_all_that_waits_for_it(page, enqueue, redis_server) -> None:
    jobs = enqueue("route", number="427")
    assert len(jobs) == 2
    assert page.post(f"/job/{jobs[0]}/delete").json["status"] == "OK"
    assert {status(redis_server.client, job) for job in jobs} == {"canceled"}


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/job/x/delete", {"Origin": "http://elsewhere.example"}),
        ("POST", "/queue/tools/queued/empty", {"Origin": "null"}),
        ("GET", "/requeue/tools", {}),
        ("GET", "/", {"Host": "rebound.example"}),
    ],
)
def test_another_sites_page_can_do_nothing(page, method: str, path: str, headers: dict[str, str]) -> None:
    assert page.open(path, method=method, headers=headers).status_code == 403


def test_its_own_page_can(page) -> None:
    assert page.post("/requeue/tools", headers={"Origin": "http://localhost"}).json == {"count": 0, "status": "OK"}


def test_redis_away_is_an_answer(page, redis_server) -> None:
    redis_server.kill()
    assert page.post("/job/x/delete").json["status"] == "ERROR"
    assert page.post("/queue/tools/queued/empty").json["status"] == "ERROR"


async def test_the_page_of_the_workers_shows_no_arguments(page, workers, runner, request_for) -> None:
    workers.start()
    request = request_for("slow", '{"seconds": 30}')
    waiting = asyncio.create_task(runner.run(SPECS[request.name], request))
    while page.get("/0/data/workers.json").json["workers"][0]["current_job"] == "idle":
        await asyncio.sleep(0.02)
    [worker] = page.get("/0/data/workers.json").json["workers"]
    assert worker["current_job"]["job_id"] == request.job_id and "seconds" not in json.dumps(worker)
    assert page.post(f"/job/{request.job_id}/delete").json["how"] == "stopped"
    assert (await waiting).status == "cancelled"
