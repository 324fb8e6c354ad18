"""One call without a telephone: what a worker has but the SIP endpoint, driven from a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import TextIO

from rich.console import Console

from telephony.bridge import Bridge
from worker.agent.agent_file import AgentFile, Route, load_agent_file
from worker.call.audio import prepare as prepare_audio
from worker.call.config import prepare_canned
from worker.call.session import CallInfo, CallSession
from worker.console.line import take_all
from worker.console.microphone import sound_card
from worker.console.typed import Typist, read
from worker.demo.show import Show
from worker.embedded.children import to_stderr
from worker.embedded.services import Embedded
from worker.realtime.choose import codec_for, prepare
from worker.records import record as records
from worker.records.metrics import Metrics
from worker.service.checks.look import load
from worker.service.loaded import Loaded
from worker.service.pacer import Pacer
from worker.service.run import run_loop
from worker.service.sessions import Sessions
from worker.service.tooling import Tooling
from worker.settings.settings import Settings
from worker.tasks import end_tasks

__all__ = ["run_console"]

RATE_HZ = 24_000
"""That of most sessions: nothing need be resampled."""
SETTLED_S = 0.4
"""So long nothing has happened: the agent has said what it had to say."""
ANSWERED_S = 120.0
"""A line that comes from a pipe waits no longer for the one before."""


def run_console(
    settings: Settings, *, caller: str = "console", dialled: str = "agent", microphone: bool = False
) -> records.CallRecord:
    """Talk with the agent until either side hangs up; returns the record. Raises OffhookError for a bad start."""
    loaded = load(settings, load_agent_file(settings.agent))
    loaded = replace(loaded, agents=patient(loaded.agents))
    info = CallInfo(uuid.uuid4().hex, caller, dialled)
    record: records.CallRecord = run_loop(_Console(settings, loaded, info, microphone).run())
    return record


def patient(agents: AgentFile) -> AgentFile:
    """Return the agents as they are to somebody who edits a prompt meanwhile: they wait."""

    def waits(route: Route) -> Route:
        limits = route.agent.limits.model_copy(update={"silence_seconds": None})
        return replace(route, agent=route.agent.model_copy(update={"limits": limits}))

    limits = agents.default.limits.model_copy(update={"silence_seconds": None})
    default = agents.default.model_copy(update={"limits": limits})
    return replace(agents, default=default, routes=tuple(map(waits, agents.routes)))


class _Console:
    """One run. source: where lines come from."""

    def __init__(
        self, settings: Settings, loaded: Loaded, info: CallInfo, microphone: bool, source: TextIO = sys.stdin
    ) -> None:
        self._settings = settings
        self._loaded = loaded
        self._info = info
        self._microphone = microphone
        self._source = source
        self._live = source.isatty()
        """Somebody sits there, and sees what they type."""
        self._show = Show(Console(file=sys.stdout, soft_wrap=True))

    async def run(self) -> records.CallRecord:
        """Bring up what the call needs, and hold it."""
        self._show.step("starting; a moment")
        debug = self._settings.log_level == "debug"
        embedded = Embedded(self._settings, sink=to_stderr if debug else lambda name, line: None)
        tooling = Tooling(self._settings, self._loaded, Metrics())
        try:
            await embedded.start()
            provider = self._settings.provider(embedded.realtime_url)
            await asyncio.to_thread(prepare, provider)
            await asyncio.to_thread(prepare_audio, (RATE_HZ,))
            can, later = codec_for(provider).capabilities, self._settings.later_ways()
            await asyncio.to_thread(prepare_canned, self._loaded.agents, self._loaded.tools, (RATE_HZ,), later, can)
            await tooling.open(embedded.redis_url)
            services = tooling.services(provider)
            sessions = Sessions(self._loaded.agents, services, tooling.judged, lambda seconds: None)
            return await self._call(sessions, tooling)
        finally:
            await tooling.close()
            await embedded.stop()

    async def _call(self, sessions: Sessions, tooling: Tooling) -> records.CallRecord:
        hung_up = asyncio.Event()
        session = sessions.for_call(self._info, Bridge(RATE_HZ), lambda reason: hung_up.set())
        session.recorder.subscribe(self._edge)
        by, reason = "caller", "the console hangs up"
        async with self._driven(session, tooling):
            talking = asyncio.create_task(self._talk(session))
            ended = asyncio.create_task(hung_up.wait())
            await asyncio.wait({talking, ended}, return_when=asyncio.FIRST_COMPLETED)
            if hung_up.is_set():
                by, reason = "agent", "the agent hangs up"
            await end_tasks({ended, talking} - {task for task in (ended, talking) if task.done()})
            await session.end_tools()
            session.hung_up(by, reason)
            await session.close()
            if talking.done() and not talking.cancelled():
                talking.result()
        return session.recorder.ended(time.monotonic() * 1000, "completed")

    @contextlib.asynccontextmanager
    async def _driven(self, session: CallSession, tooling: Tooling) -> AsyncIterator[None]:
        """Audio flows, the clock is looked at, and the queue is watched, as in a worker."""
        pacer = Pacer()
        pacer.add(session)
        assert tooling.watch is not None
        tasks = {asyncio.create_task(pacer.run())}
        try:
            await session.open()
            tasks.add(asyncio.create_task(tooling.watch.run()))
            session.answered()
            session.start_media()
            with self._sound(session.bridge, tasks):
                yield
        finally:
            await end_tasks(tasks)

    @contextlib.contextmanager
    def _sound(self, bridge: Bridge, tasks: set[asyncio.Task[None]]) -> Iterator[None]:
        if self._microphone:
            with sound_card(bridge):
                yield
        else:
            tasks.add(asyncio.create_task(take_all(bridge)))
            yield

    async def _talk(self, session: CallSession) -> None:
        """Say what is typed, until there is no more."""
        typist = Typist(self._source, self._prompt)
        await self._settled(session)
        typist.start()
        while (line := await typist.next()) is not None:
            typed = read(line)
            if typed.what == "hangup":
                return
            if typed.what == "wrong":
                self._show.step(typed.text)
            elif typed.what == "keys":
                for key in typed.text:
                    session.digit(key)
            elif typed.what == "words":
                session.said(typed.text)
            if not self._live:
                await self._settled(session)

    async def _settled(self, session: CallSession) -> None:
        """Wait until the agent has said what it has to say; a terminal's user need not."""
        give_up = time.monotonic() + (0.0 if self._live else ANSWERED_S)
        quiet_since = time.monotonic()
        while (now := time.monotonic()) < give_up and now - quiet_since < SETTLED_S:
            await asyncio.sleep(0.02)
            if not session.machine.idle or session.bridge.playing() is not None:
                quiet_since = time.monotonic()

    def _prompt(self) -> None:
        if self._live:
            print("> ", end="", flush=True)

    def _edge(self, event: records.RecordEvent) -> None:
        """Show an edge; what somebody has just typed stands there already."""
        if not self._microphone:
            if isinstance(event, records.TurnEnded):
                return  # taken faster than it comes, a sentence ends many times before its text is whole
            if self._live:
                if isinstance(event, records.TurnStarted) and event.who == "caller":
                    return
                print("\r", end="")
        self._show.observe(event)
        if isinstance(event, records.Ended) and event.record.cost is not None:
            cost = event.record.cost
            self._show.step(f"cost {cost.amount:.4f} {cost.currency} by the prices of {cost.prices}")
