import socket

import aiohttp
import pytest

from worker.errors import HostError
from worker.records.metrics import Metrics
from worker.service.http import Part, start_http
from worker.settings.values import HttpAddress


class Worker:
    """A worker's status, as the endpoint sees it."""

    def __init__(self) -> None:
        self.alive = True
        self.standing = [Part("redis", True, "pong"), Part("registration", True, "registered")]
        self.in_progress = [{"call_id": "c1", "caller": "sip:a@b"}]

    def healthy(self) -> bool:
        return self.alive

    def parts(self) -> list[Part]:
        return self.standing

    def calls(self) -> list[dict[str, str]]:
        return self.in_progress


async def get(port: int, path: str) -> tuple[int, str, object]:
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}{path}") as answer:
        body = await answer.json() if answer.content_type == "application/json" else await answer.text()
        return answer.status, answer.headers["Content-Type"], body


@pytest.fixture
async def served():
    worker, metrics = Worker(), Metrics()
    endpoint = await start_http(HttpAddress("127.0.0.1", 0), worker, metrics)
    yield endpoint.port, worker, metrics
    await endpoint.stop()


async def test_healthz_follows_the_worker(served) -> None:
    port, worker, _ = served
    assert (await get(port, "/healthz"))[0] == 200
    worker.alive = False
    assert (await get(port, "/healthz"))[0] == 503


async def test_readyz_is_503_and_says_why_while_one_part_is_not_ready(served) -> None:
    port, worker, _ = served
    assert (await get(port, "/readyz"))[0] == 200
    worker.standing[1] = Part("registration", False, "403 Forbidden, next try in 30 s")
    status, _, body = await get(port, "/readyz")
    assert status == 503
    assert body == {
        "ready": False,
        "parts": {
            "redis": {"ok": True, "detail": "pong"},
            "registration": {"ok": False, "detail": "403 Forbidden, next try in 30 s"},
        },
    }


async def test_calls_lists_the_calls_in_progress(served) -> None:
    port, _, _ = served
    assert (await get(port, "/calls"))[2] == {"calls": [{"call_id": "c1", "caller": "sip:a@b"}]}


async def test_metrics_are_in_prometheus_text(served) -> None:
    port, _, metrics = served
    metrics.calls_total.labels(outcome="completed").inc()
    status, kind, body = await get(port, "/metrics")
    assert status == 200 and kind.startswith("text/plain; version=0.0.4")
    assert 'offhook_calls_total{outcome="completed"} 1.0' in body


async def test_a_busy_port_is_an_error_that_says_what_to_set() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(HostError, match=rf"OFFHOOK_HTTP=127.0.0.1:{port}: can't listen there .* OFFHOOK_HTTP=off"):
            await start_http(HttpAddress("127.0.0.1", port), Worker(), Metrics())
