"""Who we are to others: the one account of the settings, or several at carriers, and then one for all other calls.

Which of them an INVITE is for is said here, and not by the library, which goes by To alone: a call of one carrier would
have the name and the password of another. On the pj thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

import structlog

from telephony import account as pj_accounts
from telephony import announce
from telephony.access import Access
from telephony.account import SipAccount
from telephony.accounts import AccountSettings, came_by, goes_by, named
from telephony.binding import explain, pj
from telephony.connection import KeptConnection
from telephony.errors import NotRegistered, SipStartError
from telephony.events import RegistrationChanged
from telephony.families import Place
from telephony.library import EndpointInfo
from telephony.registering import Registering
from telephony.registration import Backoff
from telephony.settings import SipSettings

__all__ = ["Identities", "Identity"]

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Identity:
    """One of them."""

    account: SipAccount
    settings: AccountSettings | None = None
    """None: the account of the settings, or the one for calls of nobody's."""
    registering: Registering | None = None
    """None: it registers nowhere."""
    servers: Access = field(default_factory=lambda: Access(restricted=True))
    """Where calls of it come from."""
    config: pj.AccountConfig | None = None

    @property
    def name(self) -> str:
        """The account's; "" for one that has none."""
        return "" if self.settings is None else self.settings.name

    def reached(self, uri: str) -> str:
        """A URI as it is called by this one: over its transport, where it leads to its own server."""
        return uri if self.settings is None else self.settings.reached(uri)

    def dialled(self, user: str) -> str:
        """What was dialled: the account's number, where a call names the account itself."""
        one = self.settings
        return one.number if one is not None and one.number is not None and one.is_number(user) else user

    @property
    def up(self) -> bool:
        """Whether it may be called by: its registrar has us, or none is asked."""
        return self.registering is None or self.registering.registered


class Identities:
    """All of them."""

    def __init__(
        self,
        settings: SipSettings,
        access: Access,
        servers: Mapping[str, Access],
        *,
        invited: Callable[[SipAccount, pj.OnIncomingCallParam], None],
        post: Callable[[RegistrationChanged], None],
        later: Callable[[float, Callable[[], None]], None],
        calls: Callable[[], int],
    ) -> None:
        """servers: of each account, by its name. invited: takes an INVITE. calls: how many calls are up."""
        self._settings, self._access, self._servers = settings, access, servers
        self._invited, self._post, self._later, self._calls = invited, post, later, calls
        self._info: EndpointInfo | None = None
        self._other = self._made(None)
        self._own = [self._made(one) for one in settings.accounts]
        self.leaving = False
        """Whether we have begun to take our registrations back."""

    def __iter__(self) -> Iterator[Identity]:
        return iter((self._other, *self._own))

    def start(self, info: EndpointInfo) -> None:
        """Make the accounts, which register by themselves. Raises SipStartError."""
        self._info = info
        for one in self:
            one.config = pj_accounts.configuration(self._settings, info, one.settings)
            try:
                one.account.create(one.config, one is self._other)
            except pj.Error as error:
                which = f"account {one.name}" if one.name else "the SIP account"
                raise SipStartError(f"{which} can't be set up: {explain(error)}") from None

    def close(self) -> None:
        """Take them down. Nothing of them is usable afterwards."""
        for one in self:
            try:
                one.account.shutdown()
            except pj.Error as error:
                log.warning("account_shutdown_failed", account=one.name, error=explain(error))
            if one.registering is not None:
                one.registering.release()
            one.registering = one.config = None
            del one.account  # it knows our functions, and they know it: the collector would meet it on any thread
        del self._other, self._own

    # Calls

    def of_invite(self, message: str, source: str) -> Identity:
        """The one that an INVITE from "ip:port" is for."""
        known = ((one.settings, one.servers.allows(source)) for one in self._own if one.settings is not None)
        found = came_by(message, known) if self._own else None
        return next((one for one in self._own if one.settings is found), self._other)

    def select(self, prm: pj.OnSelectAccountParam) -> None:
        """Tell the library, too, where it asks. With one account there is nothing to choose."""
        if self._own:
            prm.accountIndex = self.of_invite(prm.rdata.wholeMsg, prm.rdata.srcAddress).account.getId()

    def for_call(
        self, uri: str, *, wanted: str | None = None, call: str | None = None, caller_id: str | None = None
    ) -> Identity:
        """The one that a call to `uri` goes out by (`accounts.goes_by`).

        Raises SipRequestError for a name that is none, and NotRegistered for an account whose registrar does not have
        us: its calls would be refused, or not be answered for half a minute.
        """
        up = {one.name for one in self._own if one.up}
        found = goes_by(
            uri, self._settings.accounts, wanted=wanted, call=call, caller_id=caller_id, up=lambda name: name in up
        )
        one = self._other if found is None else self.by_name(found.name)
        if one.settings is not None and not one.up:
            state = one.registering.state if one.registering is not None else None
            raise NotRegistered(one.name, "" if state is None else f"{state.status} {state.reason}")
        return one

    def by_name(self, name: str) -> Identity:
        """The one of that name; "": the one that is no account's. Raises SipRequestError."""
        if not name:
            return self._other
        found = named(name, self._settings.accounts)
        return next(one for one in self._own if one.settings is found)

    def sender(self, one: Identity, caller_id: str | None, place: Place) -> str:
        """Who we are in the From of an INVITE, whose media is there."""
        assert self._info is not None
        return pj_accounts.sender(self._settings, self._info, caller_id, one.settings, place)

    def contact(self, one: Identity) -> str | None:
        """The user part that its registrar calls us by, whatever was dialled; None where it registers nowhere."""
        if one.settings is not None:
            return one.settings.username
        return self._settings.username if self._settings.registrar is not None else None

    # Registration

    def owed(self) -> bool:
        """Whether the answer to an un-REGISTER is waited for."""
        return any(one.registering is not None and one.registering.owed for one in self)

    def leave(self, done: Future[None]) -> None:
        """Take all registrations back; `done` when each is answered, or its time is over."""
        self.leaving = True
        waiting = [one.registering for one in self if one.registering is not None]
        left = len(waiting)

        def one_left() -> None:
            nonlocal left
            left -= 1
            if not left:
                done.set_result(None)

        if not waiting:
            done.set_result(None)
        for registering in waiting:
            registering.leave(one_left)

    def connection_lost(self) -> None:
        """A TCP or TLS connection has ended, of whichever of them."""
        for one in self:
            if one.registering is not None:
                one.registering.connection_lost()

    def _made(self, one: AccountSettings | None) -> Identity:
        account = SipAccount(self._invited, lambda prm: self._answered(made, prm))
        made = Identity(account, one)
        if one is not None:
            made.servers = self._servers.get(one.name) or made.servers
        server = self._settings.registers_with if one is None else one.registrar_uri if one.registers else None
        if server is None:
            return made
        announces = one is None and self._settings.proxy is not None
        learns = one is not None and one.password is not None and not one.realms
        made.registering = Registering(
            account,
            made.name,
            Backoff(*(announce.RETRY_S if announces else self._settings.register_retry_s)),
            post=self._post,
            later=self._later,
            answered=partial(self._reached, made),
            granted=self._report_calls if announces else lambda: None,
            learn=partial(self._learn, made) if learns else None,
            kept=KeptConnection(self._settings.keepalive_s, self._later),
            connected=any(kind in server.lower() for kind in ("transport=tcp", "transport=tls", "sips:")),
        )
        return made

    @staticmethod
    def _answered(one: Identity, prm: pj.OnRegStateParam) -> None:
        if one.registering is not None:
            one.registering.answered(prm)

    def _reached(self, one: Identity, source: str) -> None:
        """A registrar has answered from there: its calls come from there, too."""
        self._access.add(source)
        one.servers.add(source)

    @staticmethod
    def _learn(one: Identity, realm: str) -> None:
        """Answer the challenges of this realm, and of no other, from now on."""
        assert one.settings is not None and one.config is not None and one.settings.password is not None
        name = one.settings.auth_username or one.settings.username
        pj_accounts.add_password(one.config, realm, name, one.settings.password)
        one.config.regConfig.disableRegOnModify = True  # the REGISTER is ours to send
        one.account.modify(one.config)

    def _report_calls(self) -> None:
        if self._settings.proxy is None:
            return
        try:
            self._other.account.sendRequest(announce.report(self._settings.proxy, self._calls()))
        except pj.Error as error:
            log.info("calls_not_reported", error=explain(error))
