"""Whom another program may have us call, and how often. Pure: an order and the time in, a URI or a refusal out.

An order comes over HTTP with a token; still no more is dialled than the operator's lists allow. Who has the token and
wants to reach a premium number finds a list of targets, a limit of calls at once, and one a minute (toll fraud).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from telephony.accounts import AccountSettings
from telephony.sip.number import is_number, matches, normal
from telephony.sip.on_list import PLAIN_USER, on_list, plain
from telephony.sip.target import fault_of
from telephony.sip.uri import parse
from worker.call_tools.later import CALLER, call_back_uri

__all__ = ["DialLedger", "DialRules", "Order", "Refused", "Target", "back_by", "faults_of"]

LONGEST_CONTEXT = 4000
"""Characters: it goes into the model's instructions, and is paid for in each response."""
MINUTE_S = 60.0
KEYS = 1000
"""Idempotency keys that are remembered."""
KEY_S = 24 * 3600.0


class Order(BaseModel):
    """The body of POST /calls."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    to: str = Field(min_length=1, max_length=256, description="a telephone number or name, or a sip: URI")
    context: str = Field(default="", max_length=LONGEST_CONTEXT, description="what the agent is told of the call")
    agent: str | None = Field(default=None, description="the name of an agent of the agent file")
    caller_id: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        default=None, alias="from", description="the number that we call from"
    )
    account: Annotated[str, StringConstraints(max_length=32)] | None = Field(
        default=None, description="the account of OFFHOOK_SIP_ACCOUNTS that we call by"
    )
    headers: dict[str, str] = Field(default_factory=dict, description="of the INVITE, such as X-Account")


class Refused(Exception):
    """An order that is not carried out: an HTTP status, the reason with what mends it, and s until a next try."""

    def __init__(self, status: int, why: str, retry_after_s: int | None = None) -> None:
        """Make the refusal."""
        super().__init__(why)
        self.status, self.why, self.retry_after_s = status, why, retry_after_s


def faults_of(error: ValidationError) -> str:
    """Return what is wrong with an order, in a line and without what was given."""
    found = []
    for fault in error.errors(include_input=False, include_url=False):
        where = ".".join(map(str, fault["loc"]))
        found.append(f"{where}: {fault['msg']}" if where else fault["msg"])
    return "; ".join(found)


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to dial. called: as routes and the record have them, a number or the URI."""

    uri: str
    called: str


@dataclass(frozen=True, slots=True)
class DialRules:
    """The operator's lists.

    to: patterns of numbers (`+49*`) and of URIs (`sip:*@pbx.example.com`). callers: numbers that may be called from.
    trunk: the URI by which a number is dialled, with {caller} in it; None: numbers can't be. accounts: each has a trunk
    of its own, unless `one_trunk` goes before them; the number that is called from, or the first of them, decides.
    """

    to: tuple[str, ...] = ()
    callers: tuple[str, ...] = ()
    trunk: str | None = None
    accounts: tuple[AccountSettings, ...] = ()
    one_trunk: bool = False

    def target(self, to: str, account: str | None = None, caller_id: str | None = None) -> Target:
        """Return whom an order means. account, caller_id: what it goes out by, and from. Raises Refused."""
        trunk = self._trunk(account, caller_id)
        by_uri = to.lower().startswith(("sip:", "sips:"))
        found = self._uri(to) if by_uri else self._number(to, trunk)
        if not self.to:
            raise Refused(403, "nobody may be called: OFFHOOK_DIAL_TO has no list of targets")
        allowed = on_list(found.uri, self.to) if by_uri else any(_fits(found.called, pattern) for pattern in self.to)
        if not allowed:
            raise Refused(403, f"to: {found.called} is in no pattern of OFFHOOK_DIAL_TO")
        return found

    def caller_id(self, wanted: str | None) -> str | None:
        """Return the number to call from, in its normal form. Raises Refused."""
        if wanted is None:
            return None
        number = normal(wanted)
        own = [one.number for one in self.accounts if one.number is not None]
        if number not in {normal(one) for one in (*self.callers, *own)}:
            raise Refused(403, f"from: {number[:64]} is not among the numbers of OFFHOOK_DIAL_FROM")
        return number

    def _trunk(self, account: str | None, caller_id: str | None) -> str | None:
        """Return the URI by which numbers are dialled."""
        if account is not None and account not in {one.name for one in self.accounts}:
            there = ", ".join(one.name for one in self.accounts)
            hint = f"there are {there}" if there else "OFFHOOK_SIP_ACCOUNTS names no file with accounts"
            raise Refused(400, f"account: there is no {account!r}; {hint}")
        if self.one_trunk or not self.accounts:
            return self.trunk
        own = (one for one in self.accounts if one.name == account or (not account and one.is_number(caller_id or "")))
        return next(own, self.accounts[0]).uri_of(CALLER)

    def _number(self, to: str, trunk: str | None) -> Target:
        number = normal(to.strip().removeprefix("tel:"))
        if not PLAIN_USER.fullmatch(number):
            raise Refused(400, f"to: {to[:64]!r} is no telephone number and no sip: URI")
        uri = None if trunk is None else call_back_uri(trunk, number)
        if uri is None:
            why = "there is no trunk" if trunk is None else f"{number!r} is nobody's number"
            raise Refused(400, f"to: {why}; write sip:USER@HOST, or set OFFHOOK_SIP_REGISTRAR or OFFHOOK_CALL_BACK_URI")
        return Target(uri, number)

    def _uri(self, text: str) -> Target:
        """A URI is dialled as it is compared, with its transport."""
        if (fault := fault_of(text)) is not None:
            raise Refused(400, f"to: {fault}")
        found, uri = plain(text), parse(text)
        if found is None or uri is None:
            raise Refused(400, "to: has more than a plain number or name, a host, a port and a transport")
        transport = uri.parameters.get("transport", "").lower()
        return Target(f"{found};transport={transport}" if transport else str(found), str(found))


@dataclass(slots=True)
class DialLedger:
    """What was ordered in the last minute, what goes on, and the answers by the orderers' keys.

    at_once: calls that were ordered and are not over. a_minute: orders, of one worker.
    """

    at_once: int
    a_minute: int
    _began: deque[float] = field(default_factory=deque)
    _keys: dict[str, tuple[float, str, Order]] = field(default_factory=dict)

    def known(self, key: str | None, order: Order, now_s: float) -> str | None:
        """Return the call that an order of this key has made already. Raises Refused where it was another order."""
        found = self._keys.get(key) if key is not None else None
        if found is None or now_s - found[0] > KEY_S:
            return None
        if found[2] != order:
            raise Refused(422, "Idempotency-Key: another order had this key; take a new one for each order")
        return found[1]

    def admit(self, going_on: int, now_s: float) -> None:
        """Count an order. Raises Refused where that are too many."""
        while self._began and now_s - self._began[0] >= MINUTE_S:
            self._began.popleft()
        if going_on >= self.at_once:
            raise Refused(429, f"{self.at_once} calls that were ordered go on already (OFFHOOK_DIAL_CALLS)", 10)
        if len(self._began) >= self.a_minute:
            wait_s = int(MINUTE_S - (now_s - self._began[0])) + 1
            raise Refused(429, f"{self.a_minute} calls were ordered within a minute (OFFHOOK_DIAL_PER_MINUTE)", wait_s)
        self._began.append(now_s)

    def made(self, key: str | None, order: Order, call_id: str, now_s: float) -> None:
        """Remember which call an order made."""
        if key is not None:
            self._keys[key] = (now_s, call_id, order)
            while len(self._keys) > KEYS:
                del self._keys[next(iter(self._keys))]


def back_by(accounts: Iterable[AccountSettings], name: str, caller: str) -> str | None:
    """Return the URI by which a caller is called back by the account that they came by; None where it is none."""
    own = next((one for one in accounts if one.name == name), None)
    return None if own is None else call_back_uri(own.uri_of(CALLER), caller)


def _fits(number: str, pattern: str) -> bool:
    return (is_number(number) or number == pattern) and matches(number, pattern)
