"""The worker: composes one process of endpoint, sessions, tools and what they need, drains it and ends it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import structlog

from telephony import events as phone
from telephony.bridge import Bridge
from telephony.endpoint import Endpoint
from telephony.library import EndpointInfo
from tools.define.loading import load_tools
from tools.queue.queued import QueuedRunner
from tools.queue.store.call_backs import CallBack
from tools.queue.store.late import LateResult
from tools.run.catalog import Catalog
from tools.run.inline import InlineRunner
from worker.agent.agent_file import Agent, AgentFile
from worker.call.audio import prepare as prepare_audio
from worker.call.config import check_tools, prepare_canned
from worker.call.factory import make_session
from worker.call.session import CallInfo, CallSession, PhoneLine, Services
from worker.call_tools.durations import UsualTimes, filled
from worker.embedded.services import Embedded
from worker.realtime.choose import codec_for, prepare
from worker.realtime.provider import Provider
from worker.records.late import LateRecords
from worker.records.metrics import Metrics
from worker.records.recorder import CallRecord, Observer
from worker.service.call_backs import CallBacks
from worker.service.governor import Governor
from worker.service.http import HttpEndpoint, Part, start_http
from worker.service.load_watch import LoadWatch
from worker.service.pacer import Pacer
from worker.service.presence import Presence, reached_at
from worker.service.queue_watch import FINE, QueueWatch
from worker.service.switchboard import Observe, Switchboard
from worker.settings.settings import Settings, reveal

__all__ = ["App"]

log = structlog.get_logger(__name__)

SWITCH_INTERVAL_S = 0.0001
"""With Python's 5 ms a busy loop delays the media clock: p99 gap 66 ms against 24 ms (measured with 60 calls)."""
PHONE_HZ = 8000
"""The rate of the endpoint's conference, and so of every bridge."""


class App:
    """One worker process: one endpoint, one event loop, any number of calls up to its capacity."""

    def __init__(
        self,
        settings: Settings,
        agents: AgentFile,
        *,
        observe: Observe = lambda session: None,
        embedded: Embedded | None = None,
        calls_back: bool = False,
        takes_calls: bool = True,
    ) -> None:
        """`observe` is called for every new call; what it returns is told the call's edges.

        calls_back: whether this worker calls back those whom any worker has promised it. takes_calls: False where
        the proxy in front of the workers is to send it none.
        """
        self.settings = settings
        self.agents = agents
        self.metrics = Metrics()
        self.info: EndpointInfo | None = None
        self.http: HttpEndpoint | None = None
        self.draining = False
        self._observe = observe
        self._embedded = embedded or Embedded(settings)
        self._inline = InlineRunner()
        self._queue: QueuedRunner | None = None
        self._watch: QueueWatch | None = None
        self._provider: Provider | None = None
        self._catalogs: dict[tuple[tuple[str, ...], float], Catalog] = {}
        self._usual = UsualTimes()
        self._later = settings.later_ways()
        self._calls_back = calls_back
        self._takes_calls = takes_calls
        self._call_backs: CallBacks | None = None
        self._late: LateRecords | None = None
        self._endpoint: Endpoint | None = None
        self._board: Switchboard | None = None
        self._governor = Governor(time.monotonic())
        self._load = LoadWatch(self._governor, self._in_progress, self.metrics)
        self._tasks: list[asyncio.Task[None]] = []

    # --- start and stop -----------------------------------------------------------------------------------------------

    async def start(self) -> EndpointInfo:
        """Start everything, the endpoint last. Raises OffhookError or SipStartError; then nothing is left running."""
        try:
            return await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> EndpointInfo:
        settings = self.settings
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        tools = {agent.tools.modules: load_tools(agent.tools.modules) for agent in self.agents.agents()}
        secrets = settings.secrets_for_tools()
        check_tools(self.agents, tools)
        await asyncio.gather(self._embedded.start(), asyncio.to_thread(prepare_audio, PHONE_HZ))
        self._provider = settings.provider(self._embedded.realtime_url)
        can = codec_for(self._provider).capabilities
        await asyncio.to_thread(prepare_canned, self.agents, tools, PHONE_HZ, self._later, can)
        await asyncio.to_thread(prepare, self._provider)
        self._queue = QueuedRunner(settings.queue_settings(self._embedded.redis_url))
        for agent in self.agents.agents():
            specs, most_s = tools[agent.tools.modules], agent.limits.tool_seconds
            if agent.tools_key not in self._catalogs:
                catalog = Catalog(
                    specs, inline=self._inline, queued=self._queue, most_s=most_s, secrets=secrets, paged=True
                )
                self._catalogs[agent.tools_key] = catalog
        self._watch = QueueWatch(
            self._queue,
            dict.fromkeys(name for catalog in self._catalogs.values() for name in catalog.may_queue()),
            settings.backlog(),
            self._usual,
            self.metrics,
            in_use=lambda: any(catalog.queues() for catalog in self._catalogs.values()),
        )
        loop = asyncio.get_running_loop()
        sip = dataclasses.replace(settings.sip_settings(), takes_calls=self._takes_calls)
        self._endpoint = Endpoint(sip, lambda event: self._post(loop, event))
        if settings.overload == "refuse":
            self._endpoint.overloaded = lambda: self._governor.refusal(time.monotonic())
        pacer = Pacer(self._load.lagged)
        self._board = Switchboard(
            self._endpoint,
            pacer,
            self.metrics,
            self._session,
            answer_s=settings.answer_seconds,
            recordings=settings.recordings,
            observe=self._observe,
            refuse=self._refuse,
            recorded=self._recorded,
        )
        for coroutine in (pacer.run(), self._load.run(), self._watch.run(), self._board.drain_recordings()):
            self._spawn(coroutine)
        if settings.recordings is not None:
            self._late = LateRecords(settings.recordings, self._queue.late_results)
            self._spawn(self._late.run())
        if settings.http is not None:
            self.http = await start_http(settings.http, self, self.metrics)
            if (url := reveal(settings.redis_url)) is not None:
                self._spawn(Presence(self._queue, reached_at(settings.http.host, self.http.port, url)).run())
        self.info = await asyncio.to_thread(self._endpoint.start)
        self.metrics.calls_capacity.set(self.info.limit)
        # Looking through the 150,000 objects that start has made takes the collector 60 to 170 ms, in which no thread
        # moves audio. They stay to the end anyhow: it need not look at them again.
        gc.collect()
        gc.freeze()
        if self._calls_back and self._later.uri is not None:
            self._call_backs = self._make_call_backs(self._board, self._queue, self._later.uri)
            self._spawn(self._call_backs.run())
        return self.info

    def _make_call_backs(self, board: Switchboard, queue: QueuedRunner, uri: str) -> CallBacks:
        async def dial(uri: str, found: CallBack, observer: Observer) -> CallSession:
            def make(call_id: str, _: str, __: str, bridge: Bridge, hang_up: Callable[[str], None]) -> CallSession:
                orphan = found.result.orphan
                info = CallInfo(call_id, orphan.caller, orphan.dialled, calls_back=orphan.call_id)
                session = self._make(info, bridge, hang_up, found.result)
                session.recorder.subscribe(observer)
                return session

            return await board.dial(uri, make)

        def room(beginning: int) -> bool:
            limit = self.info.limit if self.info is not None else 0
            free = limit - len(board) - beginning
            return not self.draining and free > (1 if limit > 1 else 0)  # one line is left to those who call us

        agent_for = self.agents.agent_for
        return CallBacks(queue, uri, agent_for, self.metrics, dial=dial, hang_up=board.hang_up, room=room)

    def _make(
        self, info: CallInfo, bridge: Bridge, hang_up: Callable[[str], None], brings: LateResult | None = None
    ) -> CallSession:
        assert self._provider is not None
        agent = self.agents.agent_for(info.dialled)
        services = Services(
            self._catalogs[agent.tools_key],
            self.metrics,
            self._provider,
            usual=self._usual,
            later=self._later,
        )
        return make_session(info, agent, PhoneLine(bridge, hang_up, self._load.late), services, brings)

    def _session(
        self, call_id: str, caller: str, dialled: str, bridge: Bridge, hang_up: Callable[[str], None]
    ) -> CallSession:
        session = self._make(CallInfo(call_id, caller, dialled), bridge, hang_up)
        agent: Agent = session.agent
        catalog = self._catalogs[agent.tools_key]
        judged = self._watch.judged if self._watch is not None else FINE
        if judged.answer != "ok" and catalog.queues():
            words = (filled(text, judged.wait_s, agent.language) for text in agent.limits.busy)
            if (notice := next(filter(None, words), None)) is not None:
                session.notice(notice)
        return session

    def _refuse(self) -> int | None:
        """The s after which a new call may try again, where it is refused for the backlog."""
        judged = self._watch.judged if self._watch is not None else FINE
        return judged.retry_after_s if judged.answer == "refuse" else None

    def _recorded(self, record: CallRecord) -> None:
        if self._late is not None:
            self._late.note(record, time.time())

    def _post(self, loop: asyncio.AbstractEventLoop, event: phone.CallEvent) -> None:
        """On the pj thread: hand the event to the loop, and nothing else."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is interested any more
            loop.call_soon_threadsafe(self._on_phone, event)

    def _in_progress(self) -> tuple[int, int]:
        return (0, 0) if self._board is None else (len(self._board), self._board.coming)

    def _on_phone(self, event: phone.CallEvent) -> None:
        if self._board is not None:
            self._board.on_event(event)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(coroutine))

    async def dial(self, uri: str) -> CallSession:
        """Call somebody; the agent speaks once they answer."""
        assert self._board is not None
        return await self._board.dial(uri)

    async def drain(self, bound_s: float) -> None:
        """Take no new calls, un-REGISTER, and let the calls in progress end: politely, and within a bound."""
        if self._endpoint is None or self._board is None:
            return
        self.draining = True
        self.metrics.draining.set(1)
        self._endpoint.accepting = False
        self._endpoint.unregister()
        if self._call_backs is not None:
            self._call_backs.stop()
        log.info("draining", calls=len(self._board), bound_s=bound_s)
        await self._board.drain(bound_s)

    async def stop(self) -> None:
        """End everything; calls that are still up are hung up."""
        gc.unfreeze()  # the library's objects go on its own thread, cycles and all
        if self._endpoint is not None:
            await asyncio.to_thread(self._endpoint.stop)
        if self._board is not None:
            await self._board.all_ended(2.0)
        if self._call_backs is not None:
            await self._call_backs.aclose()
        if self.http is not None:
            await self.http.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._queue is not None:
            for catalog in self._catalogs.values():
                await catalog.aclose()
            await self._queue.aclose()
        await self._inline.aclose()
        await self._embedded.stop()

    # --- what the HTTP endpoint asks ----------------------------------------------------------------------------------

    def healthy(self) -> bool:
        """Whether the process still works: none of its background tasks has ended."""
        return not any(task.done() for task in self._tasks)

    def parts(self) -> Sequence[Part]:
        """How each part stands."""
        limit = self.info.limit if self.info is not None else 0
        active = len(self._board) if self._board is not None else 0
        unready = self._embedded.unready()
        redis_up = self._watch is None or self._watch.up
        parts = [
            Part("redis", redis_up, "up" if redis_up else "not reachable"),
            Part("capacity", active < limit, f"{active} of {limit} calls"),
            Part("load", not self._governor.closed or self.settings.overload == "accept", self._load.words()),
            Part("draining", not self.draining, "yes" if self.draining else "no"),
            Part("children", not unready, f"starting again: {', '.join(unready)}" if unready else "up"),
        ]
        if self.settings.sip_proxy is not None or self.settings.sip_registrar is not None:
            parts.append(self._registration())
        return parts

    def _registration(self) -> Part:
        state = self._endpoint.registration if self._endpoint is not None else None
        if state is None:
            where = "registrar" if self.settings.sip_proxy is None else "proxy"
            return Part("registration", False, f"no answer from the {where} yet")
        return Part("registration", state.registered, f"{state.status} {state.reason}")

    def calls(self) -> Sequence[Mapping[str, object]]:
        """The calls in progress."""
        return self._board.status() if self._board is not None else ()
