"""POST /calls: what a program is answered. The worker behind it says when a call is over."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from telephony.errors import SipRequestError
from worker.records.metrics import Metrics
from worker.service.dial_orders import DialOrders
from worker.service.dial_rules import DialLedger, DialRules, Order, Refused, Target
from worker.service.http import start_http
from worker.settings.values import HttpAddress

from .test_http import Worker

TOKEN = "a-token-of-programs"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
RULES = DialRules(to=("+49*",), callers=("+49555",), trunk="sip:{caller}@trunk.example.com")


@dataclass
class Phone:
    """What dials: it notes whom, and says what the test says."""

    placed: list[tuple[Order, Target, str | None]] = field(default_factory=list)
    sessions: list[Any] = field(default_factory=list)
    busy: str | None = None
    error: Exception | None = None
    pause_s: float = 0.0
    hung_up: list[str] = field(default_factory=list)

    def takes_orders(self) -> str | None:
        return self.busy

    async def place(self, order: Order, target: Target, caller_id: str | None) -> Any:
        await asyncio.sleep(self.pause_s)
        if self.error is not None:
            raise self.error
        self.placed.append((order, target, caller_id))
        info = SimpleNamespace(call_id=f"call-{len(self.placed)}")
        self.sessions.append(SimpleNamespace(info=info, ended=asyncio.Event()))
        return self.sessions[-1]

    def hang_up(self, call_id: str) -> None:
        self.hung_up.append(call_id)


@dataclass
class Site:
    port: int
    phone: Phone

    async def post(self, body: Any, headers: dict[str, str] | None = None, **more: Any) -> tuple[int, Any, Any]:
        given = {"data": body} if isinstance(body, bytes | str) else {"json": body}
        url = f"http://127.0.0.1:{self.port}/calls"
        async with (
            aiohttp.ClientSession() as client,
            client.post(url, headers=BEARER if headers is None else headers, **given, **more) as answer,
        ):
            return answer.status, await answer.json(), answer.headers


async def site_of(token: str | None) -> AsyncIterator[Site]:
    phone = Phone()
    orders = DialOrders(phone, RULES, DialLedger(2, 5), token, bound_s=0.3)
    endpoint = await start_http(HttpAddress("127.0.0.1", 0), Worker(), Metrics(), orders=orders)
    yield Site(endpoint.port, phone)
    await endpoint.stop()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async for one in site_of(TOKEN):
        yield one


@pytest.fixture
async def closed() -> AsyncIterator[Site]:
    async for one in site_of(None):
        yield one


async def test_an_order_is_dialled_and_named(site: Site) -> None:
    body = {"to": "+49 30 1", "context": "Order 4711.", "from": "+49555", "agent": "shop", "headers": {"X-Shop": "7"}}
    status, said, headers = await site.post(body)
    assert (status, said, headers["Location"]) == (202, {"call_id": "call-1"}, "/calls/call-1")
    [(order, target, caller_id)] = site.phone.placed
    assert (target.uri, caller_id, order.context) == ("sip:+49301@trunk.example.com", "+49555", "Order 4711.")
    assert (order.agent, order.headers) == ("shop", {"X-Shop": "7"})


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": f"Basic {TOKEN}"}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer \udcff"}],
)
async def test_without_the_token_nobody_is_called(site: Site, closed: Site, headers: dict[str, str]) -> None:
    status, said, answered = await site.post({"to": "+491"}, headers)
    assert (status, said) == (401, {"error": "the token is wrong, or missing"}) and "WWW-Authenticate" in answered
    status, said, _ = await closed.post({"to": "+491"}, headers)
    assert status == 401 and "OFFHOOK_DIAL_TOKEN" in said["error"]
    assert site.phone.placed == closed.phone.placed == []


JSON = {**BEARER, "Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        (b"to=%2B491", BEARER, 415, "application/json"),
        (b"{", JSON, 400, "JSON"),
        (b"\xff\xfe", JSON, 400, "UTF-8"),
        (b"[" * 10_000, JSON, 400, "JSON"),
        ({}, BEARER, 400, "to: Field required"),
        ({"to": "+491", "uri": "x"}, BEARER, 400, "uri: Extra"),
        ({"to": 491}, BEARER, 400, "to: Input should be a valid string"),
        ({"to": "+491", "context": "x" * 4001}, BEARER, 400, "context: String should have at most 4000"),
        ({"to": "+491", "headers": {"X": 1}}, BEARER, 400, "headers.X"),
        ({"to": "+491", "headers": {"Route": "<sip:evil.example>"}}, BEARER, 400, "headers: Route is a header"),
        ({"to": "+491", "headers": {"X": "1\r\nY: 2"}}, BEARER, 400, "headers: X: a value has no line breaks"),
        ({"to": "+43"}, BEARER, 403, "OFFHOOK_DIAL_TO"),
        ({"to": "+491", "from": "110"}, BEARER, 403, "OFFHOOK_DIAL_FROM"),
        ({"to": "+491"}, {**BEARER, "Idempotency-Key": "k" * 129}, 400, "Idempotency-Key"),
    ],
)
async def test_a_wrong_order_is_told_what_is_wrong(
    site: Site, body: Any, headers: dict[str, str], status: int, said: str
) -> None:
    found, answer, _ = await site.post(body, headers)
    assert (found, site.phone.placed) == (status, []) and said in answer["error"]


async def test_a_call_that_can_not_be_made_is_said_and_may_be_tried_again(site: Site) -> None:
    key = {**BEARER, "Idempotency-Key": "one"}
    site.phone.busy = "the worker is draining"
    status, said, headers = await site.post({"to": "+491"}, key)
    assert (status, said["error"]) == (503, "the worker is draining") and headers["Retry-After"]
    site.phone.busy = None
    for error, expected in (
        (SipRequestError("all calls in use"), 503),
        (OSError("gone"), 503),
        (Refused(400, "agent: there is no 'x'"), 400),
    ):
        site.phone.error = error
        assert (await site.post({"to": "+491"}, key))[0] == expected
    site.phone.error = None
    assert (await site.post({"to": "+491"}, key))[0] == 202


async def test_a_call_that_is_made_after_it_was_given_up_is_ended(site: Site) -> None:
    """Nobody knows of it: who answered it would hear nothing, or an agent that the order's program did not expect."""
    site.phone.pause_s = 0.5
    status, said, _ = await site.post({"to": "+491"})
    assert status == 503 and "did not answer within 0.3 s" in said["error"] and site.phone.hung_up == []
    await asyncio.sleep(0.4)
    assert site.phone.hung_up == ["call-1"]


async def test_no_more_go_on_at_once_than_allowed(site: Site) -> None:
    said = await asyncio.gather(*(site.post({"to": f"+49{number}"}) for number in range(4)))
    assert sorted(status for status, _, _ in said) == [202, 202, 429, 429]
    site.phone.sessions[0].ended.set()
    await asyncio.sleep(0.01)
    assert (await site.post({"to": "+497"}))[0] == 202
    assert (await site.post({"to": "+498"}))[2]["Retry-After"]


async def test_an_order_that_comes_twice_makes_one_call(site: Site) -> None:
    key = {**BEARER, "Idempotency-Key": "order 4711"}
    said = await asyncio.gather(*(site.post({"to": "+491"}, key) for _ in range(5)))
    assert {answer["call_id"] for _, answer, _ in said} == {"call-1"} and len(site.phone.placed) == 1
    assert (await site.post({"to": "+492"}, key))[0] == 422
