"""The HTTP endpoint: /healthz /readyz /metrics, and what shows calls (`call_pages`).

For machines and operators, not for the internet: it listens on loopback unless OFFHOOK_HTTP says otherwise, and what is
told of single calls wants a token then (`gate`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web

from worker.errors import HostError
from worker.records.archive import Archive
from worker.records.metrics import CONTENT_TYPE, Metrics
from worker.service.call_book import CallBook
from worker.service.call_pages import CallPages
from worker.service.gate import Gate
from worker.settings.values import HttpAddress

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


@dataclass(slots=True)
class HttpEndpoint:
    """A running endpoint. port: where it listens, also when 0 was asked for."""

    port: int
    _runner: web.AppRunner

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()


def make_app(status: Status, metrics: Metrics, pages: CallPages) -> web.Application:
    """Return the application; it starts nothing."""

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

    app = web.Application()
    app.add_routes(
        [
            web.get("/healthz", healthz),
            web.get("/readyz", readyz),
            web.get("/metrics", exposition),
            *pages.routes(),
        ]
    )
    return app


async def start_http(
    address: HttpAddress,
    status: Status,
    metrics: Metrics,
    book: CallBook | None = None,
    *,
    token: str | None = None,
    hosts: tuple[str, ...] = (),
) -> HttpEndpoint:
    """Listen on `address`. Raises `HostError` when that is not possible, such as on a busy port.

    book: the calls that are told of. token, hosts: see `gate`.
    """
    gate = Gate(address.host, token, hosts)
    pages = CallPages(book or CallBook(Archive(None, None)), gate, status.calls)
    return await _serve(make_app(status, metrics, pages), address)


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


def _sick(body: Mapping[str, Any]) -> web.Response:
    return web.json_response(body, status=503)
