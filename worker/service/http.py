"""The HTTP endpoint: /healthz /readyz /metrics, what shows calls (`call_pages`) and makes them (`dial_orders`), and
/calls/ID/approvals.

For machines and operators, not for the internet: it listens on loopback unless OFFHOOK_HTTP says otherwise, and what is
told of single calls wants a token then (`gate`). Approvals want one in any case (OFFHOOK_APPROVAL_TOKEN), as
`Authorization: Bearer TOKEN`: they show what a tool call would run with, and let it run.

    GET  /calls/ID/approvals      what waits for an operator in a call
    POST /calls/ID/approvals/N    {"approve": true}, and "by": "a name for the record" if you like

401: no token, or a wrong one. 404: no such call, or nothing that an operator is asked. 409: it is answered already.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web

from worker.call_tools.approvals import Told
from worker.errors import HostError
from worker.records.archive import Archive
from worker.records.metrics import CONTENT_TYPE, Metrics
from worker.service.bearer import admit
from worker.service.call_book import CallBook
from worker.service.call_pages import CallPages
from worker.service.dial_orders import DialOrders
from worker.service.gate import Gate
from worker.service.peers import Peers
from worker.settings.values import HttpAddress

LARGEST = 16 * 1024
"""Bytes of a request: an answer is a line."""
UNSET = "approvals want a token: set OFFHOOK_APPROVAL_TOKEN"
CLOSE_S = 1.0
"""For requests in progress when the endpoint stops: aiohttp's minute would outlast a supervisor's patience."""


@dataclass(frozen=True, slots=True)
class Part:
    """How one part of the worker stands.

    name: start, redis, capacity, load, draining, children, registration, certificate, mcp. ok: new calls can be taken,
    as far as it is concerned.
    detail: a few words for the operator, without secrets. needed: False for a part without which calls are taken, too.
    """

    name: str
    ok: bool
    detail: str
    needed: bool = True


class Status(Protocol):
    """What the endpoint asks the worker. The methods return at once: they run between frames."""

    def healthy(self) -> bool:
        """Tell whether the process still works; False means: restart it."""

    def parts(self) -> Sequence[Part]:
        """Return how each part stands."""

    def calls(self) -> Sequence[Mapping[str, object]]:
        """Return the calls in progress, JSON-ready."""

    def approvals(self, call_id: str) -> Sequence[Mapping[str, object]] | None:
        """Return what waits for an operator in a call, JSON-ready; None for an unknown call."""

    def approve(self, call_id: str, number: int, approved: bool, who: str) -> Told:
        """Take an operator's answer."""


@dataclass(slots=True)
class HttpEndpoint:
    """A running endpoint. port: where it listens, also when 0 was asked for."""

    port: int
    _runner: web.AppRunner

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()


def make_app(
    status: Status, metrics: Metrics, pages: CallPages, token: str | None = None, orders: DialOrders | None = None
) -> web.Application:
    """Return the application; it starts nothing. token: of the operators who approve; None: nobody may."""

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"healthy": True}) if status.healthy() else _sick({"healthy": False})

    async def readyz(_: web.Request) -> web.Response:
        parts = status.parts()
        body = {
            "ready": all(part.ok for part in parts if part.needed),
            "parts": {part.name: {"ok": part.ok, "detail": part.detail} for part in parts},
        }
        return web.json_response(body) if body["ready"] else _sick(body)

    async def exposition(_: web.Request) -> web.Response:
        return web.Response(body=metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})

    async def approvals(request: web.Request) -> web.Response:
        admit(request, token, UNSET)
        waiting = status.approvals(request.match_info["call_id"])
        if waiting is None:
            return _no(404, "there is no such call")
        return web.json_response({"approvals": [dict(one) for one in waiting]})

    async def approve(request: web.Request) -> web.Response:
        admit(request, token, UNSET)
        approved, who = await _answer(request)
        number = int(request.match_info["number"])
        told = status.approve(request.match_info["call_id"], number, approved, who)
        if told == "unknown":
            return _no(404, "there is no such call, or nothing of that number that an operator is asked")
        if told == "answered":
            return _no(409, "it is answered already")
        return web.json_response({"approved": approved})

    app = web.Application(client_max_size=LARGEST)
    app.add_routes(
        [
            web.get("/calls/{call_id}/approvals", approvals),
            web.post(r"/calls/{call_id}/approvals/{number:\d{1,9}}", approve),
            web.get("/healthz", healthz),
            web.get("/readyz", readyz),
            web.get("/metrics", exposition),
            *pages.routes(),
            *([] if orders is None else [web.post("/calls", orders.post)]),
        ]
    )
    return app


async def _answer(request: web.Request) -> tuple[bool, str]:
    """Read an operator's answer, and the name that they give. Raises web.HTTPBadRequest for anything else."""
    try:
        body = json.loads(await request.text())
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict) or not isinstance(body.get("approve"), bool):
        words = {"error": 'write {"approve": true} or {"approve": false}'}
        raise web.HTTPBadRequest(text=json.dumps(words), content_type="application/json")
    return body["approve"], str(body.get("by") or "")


async def start_http(
    address: HttpAddress,
    status: Status,
    metrics: Metrics,
    token: str | None = None,
    *,
    book: CallBook | None = None,
    calls_token: str | None = None,
    hosts: tuple[str, ...] = (),
    orders: DialOrders | None = None,
    peers: Peers | None = None,
) -> HttpEndpoint:
    """Listen on `address`. Raises `HostError` when that is not possible, such as on a busy port.

    token: of the operators who approve. book: the calls that are told of. calls_token, hosts: see `gate`.
    peers: the other workers, whose calls are told of, too.
    """
    gate = Gate(address.host, calls_token, hosts, operators=token)
    pages = CallPages(book or CallBook(Archive(None, None)), gate, status.calls, peers)
    return await _serve(make_app(status, metrics, pages, token, orders), address)


async def try_http(address: HttpAddress) -> None:
    """Listen for a moment, and serve nothing. Raises `HostError` as `start_http` does."""
    await (await _serve(web.Application(), address)).stop()


async def _serve(app: web.Application, address: HttpAddress) -> HttpEndpoint:
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=CLOSE_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, address.host, address.port).start()
    except OSError as error:
        await runner.cleanup()
        raise HostError(
            f"OFFHOOK_HTTP={address.host}:{address.port}: can't listen there ({error.strerror or error});"
            " choose another address, or set OFFHOOK_HTTP=off"
        ) from None
    return HttpEndpoint(runner.addresses[0][1], runner)


def _no(status: int, words: str) -> web.Response:
    return web.json_response({"error": words}, status=status)


def _sick(body: Mapping[str, Any]) -> web.Response:
    return web.json_response(body, status=503)
