"""The worker: composes one process of endpoint, sessions, tools and what they need, drains it and ends it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import sys
import time
from collections.abc import Mapping, Sequence

import structlog

from telephony import events as phone
from telephony.endpoint import Endpoint
from telephony.errors import SipStartError
from telephony.library import EndpointInfo
from telephony.recording import WavFile
from tools.queue.queued import QueuedRunner
from tools.queue.store import workers
from worker.call.audio import CALL_RATES_HZ
from worker.call.audio import prepare as prepare_audio
from worker.call.config import prepare_canned
from worker.call.session import CallSession
from worker.call_tools.approvals import Told
from worker.embedded.services import Embedded
from worker.realtime.choose import codec_for, prepare
from worker.records.archive import Archive
from worker.records.late import LateRecords
from worker.records.metrics import Metrics
from worker.records.record import CallRecord
from worker.records.sealed import file_maker
from worker.service.account_parts import part_of_one, parts_of_accounts
from worker.service.background import Background
from worker.service.call_backs import CallBacks
from worker.service.call_book import CallBook
from worker.service.call_files import CallFiles
from worker.service.certificate import CertificateWatch
from worker.service.checks.look import tell_beside
from worker.service.checks.start import sip_refused
from worker.service.dial_orders import DialOrders
from worker.service.dial_rules import DialLedger, DialRules, Order, Target
from worker.service.governor import Governor
from worker.service.homer import Homer
from worker.service.http import HttpEndpoint, Part, start_http
from worker.service.lifecycle import Lifecycle, Step
from worker.service.load_watch import LoadWatch
from worker.service.loaded import Loaded
from worker.service.outgoing import OutgoingCalls
from worker.service.pacer import Pacer
from worker.service.peers import Peers
from worker.service.presence import Presence, own_name, reached_at
from worker.service.reload import Reloader
from worker.service.sessions import Sessions
from worker.service.switchboard import Observe, Switchboard
from worker.service.tooling import Tooling
from worker.settings.settings import Settings
from worker.settings.values import reveal
from worker.tasks import end_tasks

__all__ = ["App"]

log = structlog.get_logger(__name__)

SWITCH_INTERVAL_S = 0.0001
"""With Python's 5 ms a busy loop delays the media clock: p99 gap 66 ms against 24 ms (measured with 60 calls)."""
SETTLED_S = 1.0
"""After the start: the first callers are not to wait for what is only looked at."""
RECORDS_S = 2.0
"""For calls that were hung up to write their records."""


class App:
    """One worker process: one endpoint, one event loop, any number of calls up to its capacity."""

    def __init__(
        self,
        settings: Settings,
        loaded: Loaded,
        *,
        observe: Observe = lambda session: None,
        embedded: Embedded | None = None,
        calls_back: bool = False,
        takes_calls: bool = True,
        reload: bool = False,
    ) -> None:
        """`observe` is called for every new call; what it returns is told the call's edges.

        calls_back: whether this worker calls back those whom any worker has promised it. takes_calls: False where
        the proxy in front of the workers is to send it none. reload: whether agents and tools are read again when
        their files change.
        """
        self.settings, self._loaded, self._observe, self._calls_back = settings, loaded, observe, calls_back
        self._takes_calls, self._reload = takes_calls, reload
        self._accounts = settings.account_settings()
        self.metrics = Metrics()
        self.info: EndpointInfo | None = None
        self.http: HttpEndpoint | None = None
        self.draining = False
        archive = Archive(settings.records_folder(), settings.journal_folder(), settings.recordings)
        self.book = CallBook(archive, on=settings.told().journal, days=settings.journal_days)
        self._embedded = embedded or Embedded(settings)
        self._tooling = Tooling(settings, loaded, self.metrics)
        self._governor = Governor()
        self._load = LoadWatch(self._governor, self._in_progress, self.metrics)
        self._certificate = CertificateWatch(settings.tls_settings())
        self._background = Background()
        self._looking: asyncio.Task[None] | None = None
        self._late: LateRecords | None = None
        self._endpoint: Endpoint | None = None
        self._listening: asyncio.Future[EndpointInfo] | None = None
        self._board: Switchboard | None = None
        self._outgoing: OutgoingCalls | None = None
        self._call_backs: CallBacks | None = None
        self._homer: Homer | None = None
        self._lifecycle = Lifecycle(self._steps())

    # --- start and stop -----------------------------------------------------------------------------------------------

    def _steps(self) -> Sequence[Step]:
        """All that is brought up, in order: what takes calls comes last, and goes first."""
        return (
            Step("services of our own", self._start_services, self._embedded.stop, undo_s=12.0),
            Step("provider", self._prepare_provider),
            Step("canned fillers", self._prepare_fillers),
            Step("tools", self._open_tools, self._tooling.close, undo_s=10.0),
            Step("background tasks", self._start_background, self._background.stop, undo_s=8.0),
            Step("OFFHOOK_HTTP", self._start_http, self._stop_http),
            Step("switchboard", self._make_board, self._end_calls, undo_s=RECORDS_S + 8.0),
            Step("memory", self._freeze),
            Step("SIP endpoint", self._start_endpoint, self._stop_endpoint, undo_s=16.0),
            Step("call backs", self._start_call_backs, self._stop_call_backs),
            Step("load", self._begin_load),
            Step("checks beside", self._look_beside, self._stop_looking),
        )

    @property
    def at(self) -> str:
        """The step at which a start or stop stands; empty where neither goes on."""
        return self._lifecycle.at

    async def start(self) -> EndpointInfo:
        """Start everything, the endpoint last. Raises OffhookError; then nothing is left running."""
        await self._lifecycle.start()
        assert self.info is not None
        return self.info

    async def stop(self) -> None:
        """End everything; calls that are still up are hung up. May be called at any time, and again."""
        await self._lifecycle.stop()

    async def _start_services(self) -> None:
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        audio = asyncio.create_task(asyncio.to_thread(prepare_audio, CALL_RATES_HZ))
        try:  # no gather: cancelled, it would not wait for the children's end
            await self._embedded.start()
            await audio
        finally:
            audio.cancel()

    async def _prepare_fillers(self) -> None:
        await self._prepare_fillers_of(self._loaded)

    async def _prepare_fillers_of(self, loaded: Loaded) -> None:
        later, can = self.settings.later_ways(), codec_for(self._provider).capabilities
        await asyncio.to_thread(prepare_canned, loaded.agents, loaded.tools, CALL_RATES_HZ, later, can)

    async def _prepare_provider(self) -> None:
        self._provider = self.settings.provider(self._embedded.realtime_url)
        await asyncio.to_thread(prepare, self._provider)

    async def _open_tools(self) -> None:
        await self._tooling.open(self._embedded.redis_url)

    async def _start_background(self) -> None:
        queue, watch, folder = self._tooling.queue, self._tooling.watch, self.settings.records_folder()
        assert queue is not None and watch is not None
        self._pacer = Pacer(self._load.lagged)
        self._background.run("pacer", self._pacer.run())
        self._background.run("queue watch", watch.run())
        if folder is not None:
            self._late = LateRecords(folder, queue.late_results)
            self._background.run("late records", self._late.run())
        if self.book.archive.journals is not None:
            self._background.run("journals", self.book.sweep())
        if self.settings.recordings is not None and self.settings.recordings_days is not None:
            self._background.run("old recordings", self.book.sweep_recordings(self.settings.recordings_days))
        if (settings := self.settings).hep is not None:
            first = settings.sip_places()[0]
            host = first.public_address or first.host
            self._homer = Homer(settings.hep, settings.hep_id, reveal(settings.hep_password), host)
            self._background.run("HEP", self._homer.run())

    async def _start_http(self) -> None:
        settings = self.settings
        if settings.http is not None:
            queue, url = self._tooling.queue, reveal(settings.redis_url)
            peers = self._peers(queue) if queue is not None and url is not None else None
            self.http = await start_http(
                settings.http,
                self,
                self.metrics,
                reveal(settings.approval_token),
                book=self.book,
                calls_token=reveal(settings.http_token),
                hosts=settings.http_hosts,
                orders=self._orders(),
                peers=peers,
            )
            if queue is not None and url is not None and peers is not None:  # a Redis that others may share
                there = reached_at(settings.http.host, self.http.port, url)
                self._background.run("presence", Presence(queue, there, peers.own).run())

    def _peers(self, queue: QueuedRunner) -> Peers:
        """The workers that share a Redis which is not our own."""
        token = reveal(self.settings.http_token) or reveal(self.settings.approval_token)
        return Peers(lambda: queue.ask(workers.known), own_name(), token)

    def _orders(self) -> DialOrders:
        settings = self.settings
        trunk, one_trunk = settings.later_ways().uri, settings.call_back_uri is not None
        rules = DialRules(settings.dial_to, settings.dial_from, trunk, self._accounts, one_trunk)
        ledger = DialLedger(settings.dial_calls, settings.dial_per_minute)
        return DialOrders(self, rules, ledger, reveal(settings.dial_token))

    async def _stop_http(self) -> None:
        if self.http is not None:
            await self.http.stop()

    async def _make_board(self) -> None:
        loop, settings, tooling = asyncio.get_running_loop(), self.settings, self._tooling
        sip = dataclasses.replace(settings.sip_settings(), takes_calls=self._takes_calls)
        self._endpoint = Endpoint(sip, lambda event: self._post(loop, event))
        if settings.overload == "refuse":
            self._endpoint.overloaded = lambda: self._governor.refusal(time.monotonic())
        self.metrics.expect_accounts(one.name for one in sip.accounts if one.registers)
        services = tooling.services(self._provider)
        self._sessions = Sessions(self._loaded.agents, services, tooling.judged, self._load.late)
        self._board = Switchboard(
            self._endpoint,
            self._pacer,
            self.metrics,
            self._sessions.for_call,
            answer_s=settings.answer_seconds,
            files=CallFiles(
                settings.recordings,
                records=settings.records_folder(),
                make_file=WavFile if settings.recordings_key is None else file_maker(settings.recordings_key),
                recorded=self._recorded,
            ),
            observe=self._observe,
            refuse=self._refuse,
            finished=self.book.finished,
        )
        self.book.calls = self._board
        self._outgoing = OutgoingCalls(
            self._endpoint,
            self._board,
            self._sessions,
            self._accounts,
            by_proxy=settings.sip_proxy is not None,
            one_trunk=settings.call_back_uri is not None,
        )
        self._background.run("recordings", self._board.drain_recordings())

    async def _end_calls(self) -> None:
        if self._board is not None:
            await self._board.all_ended(RECORDS_S)
        if self._call_backs is not None:
            await self._call_backs.aclose()

    async def _freeze(self) -> None:
        # Looking through the 150,000 objects that start has made takes the collector 60 to 170 ms, in which no thread
        # moves audio. They stay to the end anyhow: it need not look at them again.
        gc.collect()
        gc.freeze()

    async def _start_endpoint(self) -> None:
        assert self._endpoint is not None
        self._listening = asyncio.get_running_loop().run_in_executor(None, self._endpoint.start)
        try:
            self.info = await asyncio.shield(self._listening)
        except SipStartError as error:
            raise sip_refused(error) from None
        if self._homer is not None:
            self._homer.port = self.info.port
        self.metrics.calls_capacity.set(self.info.limit)
        self.metrics.sip_registration_wanted.set(self._registers)

    async def _stop_endpoint(self) -> None:
        gc.unfreeze()  # the library's objects go on its own thread, cycles and all
        if self._endpoint is not None and self._listening is not None:
            await asyncio.wait({self._listening})  # a stop before its thread runs would stop nothing
            await asyncio.to_thread(self._endpoint.stop)

    async def _start_call_backs(self) -> None:
        uri, board, queue = self.settings.later_ways().uri, self._board, self._tooling.queue
        if not self._calls_back or uri is None or board is None or queue is None:
            return
        assert self._outgoing is not None
        self._call_backs = CallBacks(
            queue,
            uri,
            self._sessions.agent_of,
            self.metrics,
            dial=self._outgoing.call_back,
            hang_up=board.hang_up,
            room=self._room,
        )
        self._background.run("call backs", self._call_backs.run())

    async def _stop_call_backs(self) -> None:
        if self._call_backs is not None:
            self._call_backs.stop()

    async def _begin_load(self) -> None:
        self._load.begin()
        self._background.run("load watch", self._load.run())
        self._background.run("certificate", self._certificate.run())
        if self._reload:
            self._background.run("reload", Reloader(self.settings, self._loaded, self._use).run())

    async def _use(self, loaded: Loaded) -> None:
        """Take agents and tools that were read again, for the calls to come."""
        await self._prepare_fillers_of(loaded)
        await self._tooling.use(loaded)
        self._sessions.use(loaded.agents, self._tooling.services(self._provider))
        self._loaded = loaded
        if not self._embedded.renew_tool_worker():
            log.info("tool_workers_not_reloaded", mend="start them again: they are not this worker's")

    async def _look_beside(self) -> None:
        async def look(capacity: int) -> None:
            await asyncio.sleep(SETTLED_S)
            await tell_beside(self.settings, self._loaded, capacity)

        assert self.info is not None
        self._looking = asyncio.create_task(look(self.info.capacity), name="checks beside")

    async def _stop_looking(self) -> None:
        await end_tasks({self._looking} if self._looking is not None else ())

    # --- calls --------------------------------------------------------------------------------------------------------

    def _room(self, beginning: int) -> bool:
        """Whether one more call back may be made while so many begin."""
        limit = self.info.limit if self.info is not None else 0
        free = limit - self._in_progress()[0] - beginning
        return not self.draining and free > (1 if limit > 1 else 0)  # one line is left to those who call us

    def _refuse(self) -> int | None:
        """The s after which a new call may try again, where it is refused for the backlog."""
        judged = self._tooling.judged()
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
        if self._homer is not None:
            self._homer.told(event)

    async def dial(
        self, uri: str, context: str = "", agent: str | None = None, account: str | None = None
    ) -> CallSession:
        """Call somebody for who has the command line; raises as `OutgoingCalls.dial`."""
        assert self._outgoing is not None
        return await self._outgoing.dial(uri, context, agent, account)

    def takes_orders(self) -> str | None:
        """Say why no call can be made at the moment; None where one can."""
        if self._board is None or self.info is None:
            return "the worker is starting"
        if self.draining:
            return "the worker is draining"
        return None if self._room(0) else "the worker has no line free"

    async def place(self, order: Order, target: Target, caller_id: str | None) -> CallSession:
        """Call somebody for who has ordered it; raises as `OutgoingCalls.place`."""
        assert self._outgoing is not None
        return await self._outgoing.place(order, target, caller_id)

    def hang_up(self, call_id: str) -> None:
        """End a call, whatever its state; one that is over is left alone."""
        if self._board is not None:
            self._board.hang_up(call_id)

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

    # --- what the HTTP endpoint asks ----------------------------------------------------------------------------------

    def healthy(self) -> bool:
        """Whether the process still works: none of its background tasks has ended."""
        return self._background.healthy()

    def parts(self) -> Sequence[Part]:
        """How each part stands."""
        limit = self.info.limit if self.info is not None else 0
        active, unready, redis_up = self._in_progress()[0], self._embedded.unready(), self._tooling.redis_up()
        starting = self.info is None
        parts = [
            Part("start", not starting, f"at {self.at}" if starting else "over"),
            Part("redis", redis_up, "up" if redis_up else "not reachable"),
            Part("capacity", active < limit, f"{active} of {limit} calls"),
            Part("load", not self._governor.closed or self.settings.overload == "accept", self._load.words()),
            Part("draining", not self.draining, "yes" if self.draining else "no"),
            Part("children", not unready, f"starting again: {', '.join(unready)}" if unready else "up"),
        ]
        endpoint = self._endpoint
        if self._accounts:
            parts += parts_of_accounts(self._accounts, endpoint.registrations if endpoint is not None else {})
        elif self._registers:
            state = endpoint.registration if endpoint is not None else None
            parts.append(part_of_one(state, by_proxy=self.settings.sip_proxy is not None))
        if (certificate := self._certificate.part()) is not None:
            parts.append(certificate)
        if mcp := self._tooling.mcp():
            words = "; ".join(f"{label}: {how}" for label, (_up, how) in mcp.items())
            parts.append(Part("mcp", all(up for up, _how in mcp.values()), words, needed=False))
        return parts

    @property
    def _registers(self) -> bool:
        several = any(one.registers for one in self._accounts)
        return several or self.settings.sip_proxy is not None or self.settings.sip_registrar is not None

    def calls(self) -> Sequence[Mapping[str, object]]:
        """The calls in progress."""
        return self._board.status() if self._board is not None else ()

    def approvals(self, call_id: str) -> Sequence[Mapping[str, object]] | None:
        """What waits for an operator in a call; None for an unknown one."""
        return None if self._board is None else self._board.approvals(call_id)

    def approve(self, call_id: str, number: int, approved: bool, who: str) -> Told:
        """Take an operator's answer."""
        return "unknown" if self._board is None else self._board.approve(call_id, number, approved, who)
