"""Errors of this package, by who broke the rule.

TelephonyError
├── SipStartError      the set-up: a busy port, an address that isn't ours, a library that isn't there
├── NoSuchCall         our own caller: the call has ended, or never was
└── SipRequestError    the library refused a request (a bad URI, no memory, a dead transport)
    └── NotRegistered  the registrar does not have the account that a call was to go out by
"""

from __future__ import annotations


class TelephonyError(Exception):
    """Base of this package's errors."""


class SipStartError(TelephonyError):
    """The endpoint can't start; the message says what is wrong and how to mend it."""


class SipAddressError(SipStartError):
    """It can't listen where it is told to."""


class AllowListError(SipStartError):
    """A source that is to be allowed is no address or network, and no name that is known."""


class NoSuchCall(TelephonyError):
    """No call of that id is up: it has ended, or never was."""

    def __init__(self, call_id: str) -> None:
        super().__init__(f"no call {call_id} is up: it has ended, or never was")
        self.call_id = call_id


class SipRequestError(TelephonyError):
    """The SIP library refused to carry out a request; the message has its reason."""


class NotRegistered(SipRequestError):
    """A call was to go out by an account that its registrar does not have; the message says which, and why."""

    def __init__(self, account: str, why: str) -> None:
        """why: the registrar's last answer; "": it has given none yet."""
        told = why or "no answer yet"
        super().__init__(f"account {account} is not registered ({told}): no call goes out by it")
        self.account, self.pending = account, not why
