"""Worker, realtime server and callers together, as the benches use them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from rig.agent import AGENT
from rig.audio import SILENT, phone_noise, pulses
from rig.caller import Caller
from rig.load import LOAD_CORE, loading
from rig.load_figures import step
from rig.realtime import RealtimeServer, Session
from rig.variant import Variant
from rig.worker import Worker

PULSE_FRAMES = 17
"""A pulse each 340 ms: no multiple of the 40 ms in which a worker may gather audio."""
CALLS_PER_S = 20.0
LOOPS: dict[str, Sequence[bytes]] = {"silence": [SILENT]}


@dataclass(slots=True)
class Bench:
    """What runs."""

    server: RealtimeServer
    caller: Caller
    worker: Worker

    @property
    def recordings(self) -> Path:
        """Where the calls' records are, if they are kept."""
        return self.worker.recordings

    async def call(self, loop: str = "silence", *, keep: bool = False) -> tuple[int, Session]:
        """Make one call; returns its line at the caller and its session at the provider."""
        (number,) = await self.caller.dial(self.worker.target, loop, keep=keep)
        return number, await self.server.next()


def _caller() -> Caller:
    return Caller({**LOOPS, "noise": phone_noise(2000), "pulses": pulses(PULSE_FRAMES)})


@contextlib.asynccontextmanager
async def running(
    pjsua2: str | None = None, *, agent: str = AGENT, record: bool = False, redis_url: str = ""
) -> AsyncIterator[Bench]:
    """Start all three; end all three. `redis_url`: where jobs go, if not to the worker's own Redis and tool worker."""
    server = RealtimeServer()
    await server.start()
    caller = _caller()
    try:
        extra = _queue(redis_url)
        start = functools.partial(Worker, server.url, pjsua2=pjsua2, agent=agent, record=record, extra=extra)
        worker = await asyncio.to_thread(start)
        try:
            yield Bench(server, caller, worker)
        finally:
            await asyncio.to_thread(worker.stop)
    finally:
        caller.stop()
        await server.stop()


@contextlib.asynccontextmanager
async def running_beside(
    calls: int, pjsua2: str | None = None, *, record: bool = False, redis_url: str = ""
) -> AsyncIterator[Bench]:
    """The same while so many further calls are up in the same worker, all of them full of audio both ways.

    The worker has core 0 to itself, all else is on core 1. Says at the end how those calls fared.
    """
    os.sched_setaffinity(0, {LOAD_CORE})
    variant = Variant(pjsua2=pjsua2 or "", environment={"OFFHOOK_OVERLOAD": "accept", **_queue(redis_url)})
    with tempfile.TemporaryDirectory() as commits:
        with loading(variant, Path(commits), record=record) as load:
            idle = load.worker.usage().rss_mb
            up = await asyncio.to_thread(load.reach, calls, CALLS_PER_S)
            print(f"beside {up} calls" + (f", NOT {calls}: {load.why()}" if up < calls else ""))
            server, caller = RealtimeServer(), _caller()
            await server.start(load.server.hand_over())
            try:
                began = await asyncio.to_thread(load.begin)
                yield Bench(server, caller, load.worker)
                window = await asyncio.to_thread(load.end, began)
                told = step(window, calls, idle, window.begin.rss_mb).lines()
                print("\nthe calls beside:", *told, sep="\n")
            finally:
                caller.stop()
                await server.stop()
                await asyncio.to_thread(load.clear)


def bench_with(
    beside: int, pjsua2: str | None, *, record: bool = False, redis_url: str = ""
) -> AbstractAsyncContextManager[Bench]:
    """A bench with so many calls beside it, if any."""
    if beside:
        return running_beside(beside, pjsua2, record=record, redis_url=redis_url)
    return running(pjsua2, record=record, redis_url=redis_url)


def _queue(redis_url: str) -> dict[str, str]:
    return {"REDIS_URL": redis_url} if redis_url else {}
