"""What lives on the pj thread: the account, the calls, their ports, the timers. Nobody else touches it.

Every reference to a pjsua2 object is held here and dropped here: Python's garbage collector must not destroy a
Call on a thread that pjlib doesn't know.
"""

from __future__ import annotations

import gc
import math
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import replace

import structlog

from telephony.access import Access
from telephony.account import SipAccount, set_family
from telephony.beeps import Beeps
from telephony.binding import explain, pj
from telephony.bridge import Bridge
from telephony.call import SipCall
from telephony.door import Door, call_id_of, open_door
from telephony.errors import NoSuchCall, SipRequestError
from telephony.events import CallEvent, CallRefused, IncomingCall
from telephony.families import Place, Version, offered_version, version_of_host
from telephony.identities import Identities, Identity
from telephony.joined import Joined
from telephony.legs import Legs
from telephony.library import EndpointInfo, Library
from telephony.port import PortPool, new_bridge
from telephony.rtp_source import new_source
from telephony.settings import SipSettings
from telephony.sip import own_headers
from telephony.sip.facts import facts_of
from telephony.sip.hand_over import HandOverRules
from telephony.sip.identity import caller_of, dialled_of
from telephony.sip.message import allows, body, cut, has_header, header, keys_in_clear, offered_codec
from telephony.sip.requests import Answer
from telephony.sip.target import DEFAULT_PORT, is_ours
from telephony.sip.uri import LONGEST, Uri, host_of, over_tls, parse, registrar_uri
from telephony.timers import Timers
from telephony.trace import Trace
from telephony.transfer import SECOND_LINE
from telephony.turned_away import REASONS, Refusal, TurnedAway
from telephony.wideband import rate_of

log = structlog.get_logger(__name__)

CHECK_S = 5.0
"""How often the calls are looked at for callers who have gone silent on the wire, and for calls gone astray."""


def _version_of(message: str, source: str) -> Version:
    """The family of IP that an INVITE's call is of: its offer's, else that by which it came ("ip:port")."""
    return offered_version(body(message)) or (6 if source.startswith("[") else 4)


class Core:
    """The endpoint's state and behaviour, driven by the pj thread: `start`, `poll` again and again, `close`."""

    def __init__(
        self,
        settings: SipSettings,
        library: Library,
        access: Access,
        servers: Mapping[str, Access],
        bridges: dict[str, Bridge],
        names: dict[str, str],
        post: Callable[[CallEvent], None],
        accepting: Callable[[], bool],
        overloaded: Callable[[], int | None],
    ) -> None:
        """servers: where calls of each account come from. bridges, names: each call's audio and account, by its id."""
        self.settings = settings
        self.library = library
        self.access = access
        self.limit = 0
        self._bridges, self._names = bridges, names
        self._post = post
        self._accepting = accepting
        self._overloaded = overloaded
        self._timers = Timers()
        self._later = self._timers.later
        self._calls: dict[str, SipCall] = {}
        self._joined = Joined(self._calls)
        self._beeps = Beeps()
        self._legs = Legs(self._calls, self._next_leg, self._may_dial, access.allows, self._later)
        self._own_uris: list[Uri] = []
        self._turned_away = TurnedAway(post, self._later)
        self._ports = PortPool()
        self._identities = Identities(
            settings,
            access,
            servers,
            invited=self._invited,
            post=post,
            later=self._later,
            calls=lambda: sum(not call.ended for call in self._calls.values()),
        )
        self._door: Door | None = None
        self._versions = tuple(place.version for place in settings.places)

    def start(self) -> EndpointInfo:
        """Bring the library up and register. Raises SipStartError."""
        self.library.endpoint.on_refused = lambda *refusal: self._post(CallRefused(*refusal))
        self.library.endpoint.on_connection_lost = self._identities.connection_lost
        self.library.endpoint.on_select = self._selected
        info = self.library.start()
        self.limit = info.limit
        self._turned_away.start(info.capacity)
        self._own_uris = [found for one in info.addresses if (found := parse(one)) is not None]
        self._door = open_door(self._answered, self.settings.codecs, self._families)
        self._identities.start(info)
        self._later(self._check_period(), self._check_calls)
        return info

    def poll(self, timeout_ms: int) -> None:
        """Let the library work for up to `timeout_ms`, then do what has come due."""
        self.library.endpoint.libHandleEvents(timeout_ms)
        self._timers.run(time.monotonic())
        self._drop_ended()
        self.library.log.hand_on()

    def leave(self) -> None:
        """Begin to stop: no more calls, hang up, un-REGISTER."""
        for call in list(self._calls.values()):
            try:
                call.finish()
            except pj.Error as error:
                log.warning("hang_up_failed", call_id=call.call_id, error=explain(error))
        self._legs.hang_up()
        self.unregister(Future())

    def busy(self) -> bool:
        """Whether calls are still up, or the registrar still owes an answer."""
        return bool(self._calls or self._legs or self._turned_away or self._identities.owed())

    def close(self) -> None:
        """Take everything down, in the order that the library can stand; also after a failed start."""
        for call_id in list(self._calls):
            self._calls[call_id].give_up()
        if self._door is not None:
            self._door.close()
        self.library.stop_clock()  # after this nobody is inside a port
        self._calls.clear()
        self._legs.clear()
        self._timers.clear()  # some of them have a leg
        self._turned_away.clear()
        self._bridges.clear()
        self._names.clear()
        self._ports.clear()
        self._beeps.clear()
        gc.collect()  # should a cycle hold one of them after all, it goes here and now, on this thread
        self._identities.close()
        self.library.stop()

    # Calls

    def call(self, call_id: str) -> SipCall:
        """The call of that id. Raises NoSuchCall."""
        call = self._calls.get(call_id)
        if call is None or call.ended:
            raise NoSuchCall(call_id)
        return call

    def invite(
        self,
        uri: str,
        headers: Mapping[str, str] | None,
        caller_id: str | None = None,
        account: str | None = None,
        made_for: str | None = None,
        by_name: Version | None = None,
    ) -> str:
        """Call `uri`; returns the call's id. Raises SipRequestError or pj.Error.

        account: the one to call by. made_for: the account of the call that this one is made for (`accounts.goes_by`).
        by_name: the family of IP that the host's name has, where it is one.
        """
        headers = own_headers.checked(headers or {})
        identity = self._identities.for_call(uri, wanted=account, call=made_for, caller_id=caller_id)
        uri = identity.reached(uri)
        if self.settings.srtp != "off" and self.settings.srtp_keys == "tls" and not over_tls(uri):
            raise SipRequestError(f"{uri}: the keys of SRTP would be there for all to read: call with ;transport=tls")
        if self._full():
            raise SipRequestError(f"all {self.limit} calls are in use")
        place = self._place_for(uri, identity, by_name)
        call = self._new_call(identity, identity.account, None)
        call.redirect_to, call.version = self.settings.redirect_to, place.version
        try:
            call.dial(uri, self._identities.sender(identity, caller_id, place), headers)
        except pj.Error:
            call.ended = True
            raise
        return call.call_id

    def refer(self, call_id: str, uri: str) -> None:
        """Ask a call's other side to call `uri`. Raises NoSuchCall or pj.Error."""
        self.call(call_id).refer(uri)

    def beep(self, call_id: str, seconds: float) -> None:
        """Let a call hear beeps at this interval (s); 0: no more. Raises NoSuchCall or pj.Error."""
        self._beeps.set(self.call(call_id), seconds)

    def join(self, call_id: str, other_id: str) -> None:
        """Let two calls hear each other. Raises NoSuchCall, or SipRequestError where one has no audio."""
        one, two = self.call(call_id), self.call(other_id)
        if one is two or one.partner is not None or two.partner is not None:
            raise SipRequestError("a call can be connected with one other")
        if two.audio() is None:
            raise SipRequestError(f"call {other_id} has no audio")
        self._joined.join(one, two)

    def permit(self, call_id: str, rules: HandOverRules) -> None:
        """Say who may have a call go on elsewhere. Raises NoSuchCall."""
        self.call(call_id).rules = rules

    def _place_for(self, uri: str, identity: Identity, by_name: Version | None = None) -> Place:
        """Where the call to `uri` that is made next has its media; by_name: the family that its host's name has.

        A name that nobody looked up goes by the first family. Raises SipRequestError for a family that we lack.
        """
        places = {place.version: place for place in self.settings.places}
        through = self.settings.proxy or (identity.settings and identity.settings.proxy_uri) or uri
        host = host_of(registrar_uri(through))
        version = version_of_host(host) or (by_name if through == uri else None)
        place = self.settings.places[0] if version is None else places.get(version)
        if place is None:
            raise SipRequestError(
                f"{uri}: we have no SIP over IPv{version}, only over IPv{self.settings.places[0].version}"
            )
        if len(places) > 1:
            set_family(identity.account.getId(), place)
        return place

    def _selected(self, prm: pj.OnSelectAccountParam) -> None:
        """An INVITE comes: whose it is, and, with two families, that its media is to be of its own."""
        self._identities.select(prm)
        if len(self.settings.places) == 1:
            return
        version = _version_of(prm.rdata.wholeMsg, prm.rdata.srcAddress)
        for place in self.settings.places:
            if place.version == version:
                set_family(prm.accountIndex, place)

    def _families(self, sip_call_id: str) -> Collection[Version]:
        """The families of IP that an offer may be of: in a call its own, whose sockets stay."""
        found = (one.version for one in self._calls.values() if sip_call_id and one.sip_call_id == sip_call_id)
        version = next(found, None)
        return self._versions if version is None else (version,)

    def _may_dial(self, uri: str) -> bool:
        """Whether a URI is not ours, where the call would come back, and may be called by what we listen on."""
        hosts = [one.host for one in self._own_uris] + [host for place in self.settings.places for host in place.hosts]
        if is_ours(uri, hosts, {one.port or DEFAULT_PORT for one in self._own_uris}):
            return False
        version = version_of_host(host_of(uri))
        if version is not None and version not in self._versions:
            return False
        return self.settings.srtp == "off" or self.settings.srtp_keys != "tls" or over_tls(uri)

    def _next_leg(self, call: SipCall, target: str) -> SipCall | None:
        """A dialog in which a call may go on, with its id, its bridge and its port. target: whom we dial, "" nobody."""
        if self._full():
            return None
        try:
            name = self._names.get(call.call_id, "")
            identity = self._identities.for_call(target, call=name) if target else self._identities.by_name(name)
            if target:
                self._place_for(target, identity)
        except SipRequestError as error:
            log.warning("hand_over_refused", call_id=call.call_id, reason=str(error))
            return None
        leg = SipCall(
            identity.account,
            call.call_id,
            call.media.bridge,
            call.media.port,
            self._post,
            source=new_source(self.settings, ""),
            legs=self._legs,
            outbound=bool(target),
            standby=True,
        )
        leg.trace, leg.later = call.trace, self._later
        return leg

    def _full(self) -> bool:
        return sum(not call.ended for call in self._calls.values()) + len(self._legs) >= self.limit

    def _new_call(
        self,
        identity: Identity,
        account: SipAccount,
        pj_id: int | None,
        sip_call_id: str = "",
        signalling: str = "",
        offered: str = "",
    ) -> SipCall:
        call_id, bridge = uuid.uuid4().hex, new_bridge(rate_of(offered, self.settings.codecs))
        bridge.codec = offered
        port = self._ports.take(bridge)
        source = new_source(self.settings, signalling)
        call = SipCall(
            account,
            call_id,
            bridge,
            port,
            self._post,
            pj_id=pj_id,
            sip_call_id=sip_call_id,
            source=source,
            legs=self._legs,
        )
        call.later = self._later
        if self.settings.trace:
            call.trace = Trace(call_id, self._post, heads=self.settings.trace_heads)
        self._calls[call_id] = call
        self._bridges[call_id] = bridge
        self._names[call_id] = identity.name
        return call

    def _invited(self, account: SipAccount, prm: pj.OnIncomingCallParam) -> None:
        message, source = prm.rdata.wholeMsg, prm.rdata.srcAddress
        refusal = self._refusal(message, source)
        if refusal is not None:
            self._turned_away.add(account, prm.callId, source, refusal)
            return
        identity = self._identities.of_invite(message, source)
        sip_call_id = header(message, "Call-ID")
        offered = offered_codec(body(message), self.settings.codecs)
        call = self._new_call(identity, account, prm.callId, sip_call_id, source, offered)
        call.version = _version_of(message, source)
        trusted = self.access.trusts(source)
        caller = caller_of(message, trusted=trusted)
        self._post(
            IncomingCall(
                call_id=call.call_id,
                sip_call_id=sip_call_id[:LONGEST],
                caller=caller.identity,
                dialled=identity.dialled(dialled_of(message, self._identities.contact(identity))),
                source=source,
                bridge=call.media.bridge,
                private=caller.private,
                takes_refer=allows(message, "REFER"),
                facts=replace(facts_of(message, trusted=trusted, wanted=self.settings.headers), account=identity.name),
            )
        )
        if call.trace is not None:
            call.trace.invited(message, sip_call_id[:LONGEST], source, private=caller.private)

    def _answered(self, method: str, message: str, source: str, said: Answer) -> None:
        """A request that the library would not have answered, or not so well."""
        sip_call_id = call_id_of(message) if self.settings.trace or method == "INFO" else None
        for call in self._calls.values() if sip_call_id is not None else ():
            if call.sip_call_id == sip_call_id and not call.ended:
                if call.trace is not None:
                    call.trace.at_the_door(method, message, said.status, call.sip_call_id)
                if method == "INFO" and said.status == 200:
                    call.take_info(message, said.digit)
        if method == "INFO" and said.status == 200:
            return
        if said.refuses is not None:
            self._post(CallRefused(said.status, REASONS[said.status], source, said.refuses))
        elif said.status >= 300:
            log.debug("request_refused", method=method[:32], status=said.status, source=source)  # scanners send many

    def _refusal(self, message: str, source: str) -> Refusal | None:
        """Why an INVITE from there is turned away, or None.

        503 sends a proxy on to another worker, and Retry-After says for how long (RFC 3261 section 21.5.4); 486 would
        be the callee's own word, which it hands to the caller.
        """
        if not self.access.allows(source):
            return Refusal("stranger", 403)
        if offered_version(body(message)) not in (None, *self._versions):
            return Refusal("family", 488)  # where our door didn't say so before
        if status := cut(message):
            return Refusal("malformed", status)  # taken as it is it would be a call with an offer of ours, and mute
        if has_header(message, SECOND_LINE) and not self.settings.takes_second_lines:
            return Refusal("loop", 482)  # a transfer that came back to us, or to another of our kind
        if self.settings.srtp != "off" and self.settings.srtp_keys == "tls" and keys_in_clear(message):
            return Refusal("insecure", 488)
        if not self._accepting() or self._identities.leaving:
            return Refusal("draining", retry_after_s=self.settings.retry_after_s)
        if self._full():
            return Refusal("full", retry_after_s=self.settings.retry_full_s)
        retry_after_s = self._overloaded()
        return None if retry_after_s is None else Refusal("overload", retry_after_s=retry_after_s)

    def _drop_ended(self) -> None:
        """Let go of what is over, outside the library's callbacks."""
        for call_id in [call_id for call_id, call in self._calls.items() if call.ended]:
            call = self._calls.pop(call_id)
            self._joined.ended(call_id)
            self._beeps.ended(call_id)
            self._bridges.pop(call_id, None)
            self._names.pop(call_id, None)
            self._ports.give_back(call.media.port)
        self._legs.drop_ended()
        self._turned_away.drop_over()

    def _check_period(self) -> float:
        return min(CHECK_S, self.settings.media_timeout_s / 2 or CHECK_S)

    def _check_calls(self) -> None:
        """End calls whose caller has vanished without a BYE, and forget those that the library has lost."""
        now, bound = time.monotonic(), self.settings.media_timeout_s
        for call in list(self._calls.values()):
            try:
                if not call.isActive():
                    call.lost()
                elif call.silent_s(now) > (bound or math.inf):
                    log.warning("caller_vanished", call_id=call.call_id, silent_s=bound)
                    call.finish(by="network")
            except pj.Error as error:
                log.warning("call_check_failed", call_id=call.call_id, error=explain(error))
        self._later(self._check_period(), self._check_calls)

    def unregister(self, done: Future[None]) -> None:
        """Take our registrations back; `done` when that is answered, at once where there are none."""
        self._identities.leave(done)
