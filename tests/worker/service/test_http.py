import json
import socket

import aiohttp
import pytest

from worker.call_tools.approvals import Told
from worker.errors import HostError
from worker.records.metrics import Metrics
from worker.service.http import Part, start_http
from worker.settings.values import HttpAddress

TOKEN = "quite-a-long-random-text"


class Worker:
    """A worker's status, as the endpoint sees it."""

    def __init__(self) -> None:
        self.alive = True
        self.standing = [Part("redis", True, "pong"), Part("registration", True, "registered")]
        self.in_progress = [{"call_id": "c1", "caller": "sip:a@b"}]
        self.waiting: dict[int, dict[str, object]] = {1: {"number": 1, "tool": "pay", "arguments": {"amount": 40}}}
        self.answers: dict[int, tuple[bool, str]] = {}

    def healthy(self) -> bool:
        return self.alive

    def parts(self) -> list[Part]:
        return self.standing

    def calls(self) -> list[dict[str, str]]:
        return self.in_progress

    def approvals(self, call_id: str) -> list[dict[str, object]] | None:
        return list(self.waiting.values()) if call_id == "c1" else None

    def approve(self, call_id: str, number: int, approved: bool, who: str) -> Told:
        if call_id != "c1" or number not in self.waiting:
            return "unknown"
        if number in self.answers:
            return "answered"
        self.answers[number] = (approved, who)
        return "done"


async def get(port: int, path: str) -> tuple[int, str, object]:
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}{path}") as answer:
        body = await answer.json() if answer.content_type == "application/json" else await answer.text()
        return answer.status, answer.headers["Content-Type"], body


@pytest.fixture
async def served():
    worker, metrics = Worker(), Metrics()
    endpoint = await start_http(HttpAddress("127.0.0.1", 0), worker, metrics, TOKEN)
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


async def ask(
    port: int, path: str, body: object = None, *, token: str | None = TOKEN, scheme: str = "Bearer"
) -> tuple[int, object]:
    headers = {} if token is None else {"Authorization": f"{scheme} {token}"}
    data = body if isinstance(body, str) else json.dumps(body)
    async with aiohttp.ClientSession() as client:
        sent = client.get(path, headers=headers) if body is None else client.post(path, data=data, headers=headers)
        async with sent as answer:
            return answer.status, await answer.json() if answer.content_type == "application/json" else None


async def test_an_operator_sees_what_waits_and_answers_once(served) -> None:
    port, worker, _ = served
    calls = f"http://127.0.0.1:{port}/calls"
    status, body = await ask(port, f"{calls}/c1/approvals")
    assert (status, body) == (200, {"approvals": [{"number": 1, "tool": "pay", "arguments": {"amount": 40}}]})
    assert await ask(port, f"{calls}/c1/approvals/1", {"approve": True, "by": "Grace"}) == (200, {"approved": True})
    assert worker.answers == {1: (True, "Grace")}
    assert (await ask(port, f"{calls}/c1/approvals/1", {"approve": False}))[0] == 409
    assert worker.answers == {1: (True, "Grace")}


@pytest.mark.parametrize(("path", "body"), [("c2/approvals", None), ("c1/approvals/2", {"approve": True})])
async def test_what_is_not_there_is_404(served, path: str, body: object) -> None:
    port, _, _ = served
    assert (await ask(port, f"http://127.0.0.1:{port}/calls/{path}", body))[0] == 404


@pytest.mark.parametrize(
    ("token", "scheme"),
    [
        (None, "Bearer"),
        ("", "Bearer"),
        (TOKEN[:-1], "Bearer"),
        (TOKEN + "x", "Bearer"),
        (TOKEN, "Basic"),
        ("é", "Bearer"),
    ],
)
@pytest.mark.parametrize("body", [None, {"approve": True}])
async def test_without_the_token_nothing_is_shown_and_nothing_approved(
    served, token: str | None, scheme: str, body: object
) -> None:
    port, worker, _ = served
    path = f"http://127.0.0.1:{port}/calls/c1/approvals" + ("/1" if body else "")
    status, answer = await ask(port, path, body, token=token, scheme=scheme)
    assert status == 401 and answer == {"error": "the token is wrong, or missing"} and worker.answers == {}


@pytest.mark.parametrize("body", ["", "[]", "approve", {"approve": "true"}, {"approve": 1}, {}])
async def test_what_is_no_answer_is_400(served, body: object) -> None:
    port, worker, _ = served
    status, answer = await ask(port, f"http://127.0.0.1:{port}/calls/c1/approvals/1", body)
    assert status == 400 and "approve" in str(answer) and worker.answers == {}


async def test_where_there_is_no_token_nobody_approves() -> None:
    endpoint = await start_http(HttpAddress("127.0.0.1", 0), worker := Worker(), Metrics())
    try:
        path = f"http://127.0.0.1:{endpoint.port}/calls/c1/approvals"
        for body in (None, {"approve": True}):
            for token in (None, "", TOKEN):
                status, answer = await ask(endpoint.port, path + ("/1" if body else ""), body, token=token)
                assert status == 401 and "OFFHOOK_APPROVAL_TOKEN" in str(answer)
        assert worker.answers == {}
    finally:
        await endpoint.stop()


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
