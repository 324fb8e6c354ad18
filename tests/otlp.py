"""A receiver of OTLP over HTTP, in the test's own loop: it decodes what the exporter really sends."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import pickle
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tools import rig


@dataclass(frozen=True)
class Got:
    """One span as it came."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    events: tuple[str, ...]
    error: str | None


@dataclass
class Otlp:
    """Takes spans. silent: it reads a request and never answers it."""

    port: int = 0
    silent: bool = False
    asked: int = 0
    raw: bytes = b""
    spans: list[Got] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What the SDK is to be told."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}", "OTEL_BSP_SCHEDULE_DELAY": "20"}

    def named(self, name: str) -> Got:
        [found] = [span for span in self.spans if span.name == name]
        return found

    async def until(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        give_up = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < give_up, [span.name for span in self.spans]
            await asyncio.sleep(0.01)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.asked += 1
        if self.silent:
            await asyncio.Event().wait()
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.raw += body
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _read(resource.resource.attributes).get("service.name", "")
            self.spans += [_got(service, span) for scope in resource.scope_spans for span in scope.spans]
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type="application/x-protobuf")


def _got(service: str, span: Any) -> Got:
    return Got(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.kind,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _read(span.attributes),
        tuple(event.name for event in span.events),
        span.status.message if span.status.code == 2 else None,
    )


def _read(attributes: Any) -> dict[str, Any]:
    found = {}
    for one in attributes:
        kind = one.value.WhichOneof("value")
        value = getattr(one.value, kind)
        found[one.key] = [v.string_value for v in value.values] if kind == "array_value" else value
    return found


def traced_tool_worker(url: str, folder: Path, otlp: Otlp, *tools: Path, **options: Any) -> subprocess.Popen[bytes]:
    """Start a tool worker that tells this receiver of its jobs; its log and its tools' marks are in `folder`."""
    ready, log = folder / "ready", folder / "log"
    given = {"secrets": {"SHOP_KEY": "sk-shop-77"}, **options}
    start = f"serve(*sys.argv[1:], traces=True, **pickle.loads({pickle.dumps(given)!r}))"
    code = f"import pickle, sys; sys.path[:] = {sys.path!r}; from tools.rig import serve; {start}"
    command = [sys.executable, "-c", code, url, str(ready), *map(str, tools)]
    with open(log, "wb") as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, env={**os.environ, **otlp.environment})
    rig.wait_until(lambda: ready.exists() or process.poll() is not None, log.read_text)
    assert process.poll() is None, log.read_text()
    return process


@contextlib.asynccontextmanager
async def receiving(
    beside: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None,
) -> AsyncIterator[Otlp]:
    """Run a receiver. beside: takes what is posted to any other path."""
    found = Otlp()
    app = web.Application()
    app.router.add_post("/v1/traces", found.take)
    if beside is not None:
        app.router.add_post("/{other}", beside)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.port = runner.addresses[0][1]
    try:
        yield found
    finally:
        await runner.cleanup()
