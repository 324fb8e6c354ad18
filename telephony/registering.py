"""How one account stands with its registrar: REGISTER, refresh, again after a failure. On the pj thread only.

Each account has one of these, and none knows of the others: a registrar that is silent or refuses is its account's
matter alone.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import structlog

from telephony.account import SipAccount
from telephony.binding import explain, pj
from telephony.connection import KeptConnection
from telephony.events import RegistrationChanged
from telephony.registration import Backoff, refresh_after, retry_after
from telephony.sip.challenge import realms_of, retry_after_of

__all__ = ["Registering"]

log = structlog.get_logger(__name__)

RECONNECT_S = 1.0
"""From the loss of a TCP or TLS connection to a new REGISTER over a new one."""
LEAVE_S = 3.0
"""So long the answer to an un-REGISTER is waited for."""


class Registering:
    """The account sends its first REGISTER by itself, as soon as it is made; this does the rest."""

    def __init__(
        self,
        account: SipAccount,
        name: str,
        backoff: Backoff,
        *,
        post: Callable[[RegistrationChanged], None],
        later: Callable[[float, Callable[[], None]], None],
        answered: Callable[[str], None],
        kept: KeptConnection,
        granted: Callable[[], None] = lambda: None,
        learn: Callable[[str], None] | None = None,
        connected: bool = False,
    ) -> None:
        """answered: gets the "ip:port" of a registrar that has us. kept: the connection that it reaches us by. granted:
        called after each 2xx. learn: sets the password for a realm, where it is to be the registrar's own. connected:
        by TCP or TLS.
        """
        self._account, self._name, self._backoff = account, name, backoff
        self._post, self._later, self._from, self._granted, self._learn = post, later, answered, granted, learn
        self._connected, self._kept = connected, kept
        self.state: RegistrationChanged | None = None
        """How we stand; None before the first answer."""
        self._leaving: list[Callable[[], None]] | None = None
        """Whom to tell when our un-REGISTER is answered; None while we mean to stay registered."""
        self._reconnecting = False
        self._answers = itertools.count()
        """Of the registrar: a refresh is for the last of them."""
        self._answer = -1

    @property
    def registered(self) -> bool:
        """Whether the registrar has us, by its last answer."""
        return self.state is not None and self.state.registered

    @property
    def owed(self) -> bool:
        """Whether the answer to an un-REGISTER is waited for."""
        return bool(self._leaving)

    def leave(self, done: Callable[[], None]) -> None:
        """Take the registration back, for good. done: called when that is answered, at once where there is none."""
        begun, self._leaving = self._leaving is not None, self._leaving or []
        try:
            if self._account.getInfo().regIsActive:
                self._leaving.append(done)
                if not begun:
                    self._later(LEAVE_S, self._left)
                    self._account.setRegistration(False)
                return
        except pj.Error as error:  # such as while a REGISTER is under way: its answer comes, and is taken back
            log.warning("unregister_failed", account=self._name, error=explain(error))
            if done in self._leaving:
                return
        done()

    def release(self) -> None:
        """Let go of the connection; before the library's end."""
        self._kept.release()

    def connection_lost(self) -> None:
        """The registrar reaches us through the connection that we registered over."""
        if self._connected and not self._reconnecting and self._leaving is None:
            self._reconnecting = True
            self._later(RECONNECT_S, self._reconnect)

    def _reconnect(self) -> None:
        self._reconnecting = False
        if self._kept.ended():  # else it was a caller's
            self._register()

    def answered(self, prm: pj.OnRegStateParam) -> None:
        """Take an answer, or the lack of one."""
        active, answer = self._account.getInfo().regIsActive, next(self._answers)
        self._answer = answer
        status, reason, message = int(prm.code) or 503, prm.reason or "no answer", prm.rdata.wholeMsg
        good = active and status // 100 == 2
        if self._leaving is not None:
            if good:  # to a REGISTER that was on its way when we left
                self._later(0.0, self._take_back)
                return
            self._tell(RegistrationChanged(False, status, reason, 0, account=self._name))
            self._left()
        elif good:
            self._backoff.succeeded()
            self._from(prm.rdata.srcAddress)
            self._kept.registered(prm.rdata)
            granted_s = max(0, int(prm.expiration))
            self._later(refresh_after(granted_s) * random.uniform(0.9, 1.0), lambda: self._refresh(answer))
            self._tell(RegistrationChanged(True, status, reason, granted_s, account=self._name))
            self._granted()
        elif status in (401, 407) and self._learn is not None and (realms := realms_of(message)):
            learn, self._learn = self._learn, None
            self._later(0.0, lambda: self._answer_challenge(learn, realms[0]))
        else:
            self._failed(status, reason, retry_after_of(message))

    def _answer_challenge(self, learn: Callable[[str], None], realm: str) -> None:
        log.info("realm_learnt", account=self._name, realm=realm)
        try:
            learn(realm)
        except pj.Error as error:
            self._failed(503, explain(error))
            return
        self._register()

    def _register(self) -> None:
        self._reconnecting = False
        if self._leaving is not None:
            return
        try:
            self._account.setRegistration(True)
        except pj.Error as error:
            self._failed(503, explain(error))

    def _refresh(self, answer: int) -> None:
        """REGISTER before the end of what that answer granted, unless another has come since."""
        if answer == self._answer and not self._reconnecting:
            self._register()

    def _take_back(self) -> None:
        try:
            self._account.setRegistration(False)
        except pj.Error as error:
            log.warning("unregister_failed", account=self._name, error=explain(error))

    def _left(self) -> None:
        """It is answered, or will not be."""
        waiting, self._leaving = self._leaving or [], []
        for done in waiting:
            done()

    def _failed(self, status: int, reason: str, retry_after_s: int | None = None) -> None:
        # Spread a little: a restarted registrar isn't met by all at once.
        wait = retry_after(self._backoff.failed() * random.uniform(0.9, 1.1), retry_after_s)
        self._later(wait, self._register)
        self._tell(RegistrationChanged(False, status, reason, 0, retry_s=round(wait, 1), account=self._name))

    def _tell(self, state: RegistrationChanged) -> None:
        self.state = state
        self._post(state)
