"""The SIP endpoint: one per process, one thread that alone calls pjsua2.

Others talk to it through `submit` and the functions made of it, and hear of what happens through `on_event`,
which is called on the pj thread and must return at once (an application hands the event to its loop there).
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import structlog

from telephony.access import Access, Network, resolve
from telephony.binding import explain, pj
from telephony.bridge import Bridge
from telephony.core import Core
from telephony.errors import AllowListError, SipRequestError, SipStartError, TelephonyError
from telephony.events import CallEvent, RegistrationChanged
from telephony.families import Version, looked_up, version_of_host
from telephony.library import EndpointInfo, Library
from telephony.settings import SipSettings
from telephony.sip.hand_over import HandOverRules
from telephony.sip.uri import host_of, registrar_uri

log = structlog.get_logger(__name__)

T = TypeVar("T")

POLL_MS = 10
"""Longest time that a submitted function waits for its turn."""

_one = threading.Lock()


class Endpoint:
    """Listens, registers, takes and makes calls. Every public function may be called from any thread."""

    def __init__(self, settings: SipSettings, on_event: Callable[[CallEvent], None]) -> None:
        self.settings = settings
        self.accepting = True
        """False: INVITEs are answered 503 with Retry-After, calls in progress go on."""
        self.overloaded: Callable[[], int | None] = lambda: None
        """Asked on the pj thread of each INVITE that there is a line for: the s after which it may try again, or None:
        it is taken. Must return at once."""
        self.registration: RegistrationChanged | None = None
        """How we stand with the registrar; None before its first answer, or without one. Of several the last answer."""
        self.registrations: dict[str, RegistrationChanged] = {}
        """The same by the accounts' names."""
        self._on_event = on_event
        self._work: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._bridges: dict[str, Bridge] = {}
        self._names: dict[str, str] = {}
        self._thread: threading.Thread | None = None
        self._core: Core | None = None
        self._quit = threading.Event()
        self._deadline = 0.0

    def start(self) -> EndpointInfo:
        """Start the pj thread; returns when it listens. Raises SipStartError, which says how to mend it."""
        if not _one.acquire(blocking=False):
            raise SipStartError("an endpoint is running already: pjsua2 carries one per process")
        try:
            access, servers = self._allow_lists()
        except ValueError as error:
            _one.release()
            raise AllowListError(f"the list of allowed sources can't be used: {error}") from None
        started: Future[EndpointInfo] = Future()
        self._thread = threading.Thread(target=self._main, args=(access, servers, started), name="pj", daemon=True)
        self._thread.start()
        atexit.register(self.stop)
        return started.result()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Hang up, un-REGISTER, and take the library down; calls get up to `timeout_s` to end cleanly."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._deadline = time.monotonic() + timeout_s
        self._quit.set()
        thread.join(timeout_s + 10.0)
        atexit.unregister(self.stop)

    def submit(self, fn: Callable[[], T]) -> Future[T]:
        """Run `fn` on the pj thread. A pj.Error it raises becomes SipRequestError."""
        future: Future[T] = Future()
        if self._thread is None:
            future.set_exception(SipRequestError("the endpoint is not running"))
        else:
            self._work.append((fn, future))
        return future

    def answer(
        self, call_id: str, status: int = 200, reason: str = "", headers: Mapping[str, str] | None = None
    ) -> Future[None]:
        """Answer an incoming call: 180, 200, or a final refusal. The future may raise NoSuchCall."""
        return self.submit(lambda: self._running.call(call_id).reply(status, reason, headers))

    def hang_up(self, call_id: str, status: int = 0, reason: str = "") -> Future[None]:
        """End a call in any state; 0 lets the library choose the status. The future may raise NoSuchCall."""
        return self.submit(lambda: self._running.call(call_id).finish(status, reason))

    def invite(
        self,
        uri: str,
        *,
        headers: Mapping[str, str] | None = None,
        caller_id: str | None = None,
        account: str | None = None,
        made_for: str | None = None,
    ) -> Future[str]:
        """Call `uri`; the future's result is the call_id. It may raise SipRequestError, such as NotRegistered.

        caller_id: the number or name that we call from, where it is not the account's. account: the name of the one to
        call by; None: by `accounts.goes_by`. made_for: the account of the call that this one is made for.
        """

        def dial(version: Version | None = None) -> Future[str]:
            return self.submit(
                lambda: self._running.invite(uri, headers, caller_id, account, made_for, by_name=version)
            )

        host = host_of(registrar_uri(uri))
        if len(self.settings.places) == 1 or version_of_host(host) is not None:
            return dial()
        # Of which family a name is, is asked here: the pj thread has all calls, and a resolver may be silent.
        future: Future[str] = Future()

        def found(version: Version | None) -> None:
            if future.set_running_or_notify_cancel():  # else who asked has given up: nobody is called
                dial(version).add_done_callback(partial(_settle, future))

        looked_up(host, [place.version for place in self.settings.places], found)
        return future

    def account_of(self, call_id: str) -> str:
        """The name of the account that a call came or goes by; "" where it has none."""
        return self._names.get(call_id, "")

    def send_digits(self, call_id: str, digits: str) -> Future[None]:
        """Send keys as RTP events (RFC 4733). The future may raise NoSuchCall."""
        return self.submit(lambda: self._running.call(call_id).send_digits(digits))

    def refer(self, call_id: str, uri: str) -> Future[None]:
        """Ask a call's other side to call `uri` in our place (RFC 3515); ReferAnswered and ReferNotified tell of it.

        The future may raise NoSuchCall or SipRequestError.
        """
        return self.submit(lambda: self._running.refer(call_id, uri))

    def permit(self, call_id: str, rules: HandOverRules) -> Future[None]:
        """Say who may have this call go on elsewhere, by REFER or Replaces; nobody may until then.

        HandOverBegan and HandOverEnded tell of it. The future may raise NoSuchCall.
        """
        return self.submit(lambda: self._running.permit(call_id, rules))

    def join(self, call_id: str, other_id: str) -> Future[None]:
        """Let two calls hear each other; from then on the end of one ends the other, and keys are passed on.

        What is played to one of them is still heard, by that one alone. The future may raise NoSuchCall or
        SipRequestError.
        """
        return self.submit(lambda: self._running.join(call_id, other_id))

    def beep(self, call_id: str, seconds: float) -> Future[None]:
        """Let a call hear the beeps that tell of a recording, at this interval (s, 1 to 30); 0: no more.

        The future may raise NoSuchCall.
        """
        return self.submit(lambda: self._running.beep(call_id, seconds))

    def bridge(self, call_id: str) -> Bridge | None:
        """A call's audio; None when no such call is up."""
        return self._bridges.get(call_id)

    def unregister(self) -> Future[None]:
        """Take our registration back and stay without; the future is done when the registrar has answered."""
        done: Future[None] = Future()

        def start() -> None:
            self._running.unregister(done)

        def report(started: Future[None]) -> None:
            if started.cancelled():  # the endpoint stopped before it came to this, and un-REGISTERs by itself
                done.cancel()
            elif (error := started.exception()) is not None:
                done.set_exception(error)

        self.submit(start).add_done_callback(report)
        return done

    @property
    def calls(self) -> int:
        """Calls that are up or being set up."""
        return len(self._bridges)

    @property
    def _running(self) -> Core:
        if self._core is None:
            raise SipRequestError("the endpoint is not running")
        return self._core

    def _allow_lists(self) -> tuple[Access, dict[str, Access]]:
        """Whose INVITEs are taken, and which of these are each account's. Raises ValueError."""
        settings = self.settings
        networks = [network for name in settings.allow for network in resolve(name)]
        if settings.registers_with is not None:
            networks += _addresses(host_of(registrar_uri(settings.registers_with)))
        hosts = {one.name: one.servers for one in settings.accounts}
        with ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:  # a name that is not known takes its time
            found = pool.map(lambda names: [network for host in names for network in _addresses(host)], hosts.values())
            servers = {name: Access(own, restricted=True) for name, own in zip(hosts, found, strict=True)}
        for own in servers.values():
            networks += own.networks
        return Access(networks, restricted=bool(settings.allow or settings.registers_with or servers)), servers

    def _main(self, access: Access, servers: Mapping[str, Access], started: Future[EndpointInfo]) -> None:
        """The pj thread."""
        library = Library(self.settings)
        doors = (lambda: self.accepting, lambda: self.overloaded())
        core = Core(self.settings, library, access, servers, self._bridges, self._names, self._post, *doors)
        try:
            info = core.start()
        except BaseException as error:
            if not isinstance(error, TelephonyError):
                log.exception("sip_start_failed")
            failure = without_frames(error)
            core.close()
            _one.release()
            started.set_exception(failure)
            return
        self._core = core
        log.info(
            "sip_listening",
            addresses=info.addresses,
            build=info.build,
            capacity=info.capacity,
            limit=info.limit,
            tls=info.tls,
        )
        started.set_result(info)
        try:
            while not self._quit.is_set():
                self._turn(core)
            core.leave()
            while core.busy() and time.monotonic() < self._deadline:
                self._turn(core)
        finally:
            self._core = None
            core.close()
            del core, library
            for _, future in self._work:
                future.cancel()
            self._work.clear()
            _one.release()

    def _turn(self, core: Core) -> None:
        """One round of the pj thread."""
        while self._work:
            fn, future = self._work.popleft()
            if future.set_running_or_notify_cancel():
                _carry_out(fn, future)
        core.poll(POLL_MS)

    def _post(self, event: CallEvent) -> None:
        if isinstance(event, RegistrationChanged):
            self.registration = self.registrations[event.account] = event
        try:
            self._on_event(event)
        except Exception:
            log.exception("event_handler_failed", event_type=type(event).__name__)


def _settle(future: Future[T], done: Future[T]) -> None:
    """Give a future the outcome of another."""
    if error := done.exception():
        future.set_exception(error)
    else:
        future.set_result(done.result())


def _addresses(host: str) -> list[Network]:
    """The addresses of a registrar."""
    try:
        return resolve(host.strip("[]"))
    except ValueError:  # known by SRV alone, or not up yet: its answers will tell its address
        log.warning("registrar_does_not_resolve", registrar=host)
        return []


def _carry_out(fn: Callable[[], Any], future: Future[Any]) -> None:
    """Run `fn` and settle the future."""
    result: Any = None
    failure: BaseException | None = None
    try:
        result = fn()
    except pj.Error as error:
        failure = SipRequestError(explain(error))
    except TelephonyError as error:
        failure = error
    except BaseException as error:
        log.exception("submitted_function_failed")
        failure = error
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(without_frames(failure))


def without_frames(error: BaseException) -> BaseException:
    """The exception without its traceback and context, to be handed to another thread.

    A frame keeps the pjsua2 objects in it alive until the collector meets them, on a thread that pjlib doesn't know.
    """
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error
