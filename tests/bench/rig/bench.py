"""Worker, realtime server and callers together, as the benches use them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rig.agent import AGENT
from rig.audio import SILENT, phone_noise, pulses
from rig.caller import Caller
from rig.load import Load
from rig.realtime import RealtimeServer, Session
from rig.worker import Worker

PULSE_FRAMES = 17
"""A pulse each 340 ms: no multiple of the 40 ms in which a worker may gather audio."""
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
async def running(pjsua2: str | None = None, *, agent: str = AGENT, record: bool = False) -> AsyncIterator[Bench]:
    """Start all three; end all three."""
    server = RealtimeServer()
    await server.start()
    caller = _caller()
    try:
        worker = await asyncio.to_thread(lambda: Worker(server.url, pjsua2=pjsua2, agent=agent, record=record))
        try:
            yield Bench(server, caller, worker)
        finally:
            await asyncio.to_thread(worker.stop)
    finally:
        caller.stop()
        await server.stop()


@contextlib.asynccontextmanager
async def running_beside(load: Load) -> AsyncIterator[Bench]:
    """Start the rest beside calls that are up: further ones of the same worker are the bench's."""
    server = RealtimeServer()
    await server.start(load.server.hand_over())
    caller = _caller()
    try:
        yield Bench(server, caller, load.worker)
    finally:
        caller.stop()
        await server.stop()
