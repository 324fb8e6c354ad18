"""Accounts at carriers: what each is set with, by which a call came in, and by which one goes out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from telephony.errors import SipRequestError
from telephony.sip.identity import called_of, requested_of
from telephony.sip.number import normal
from telephony.sip.target import same_host
from telephony.sip.uri import host_of, over_tls, parse, registrar_uri

__all__ = ["MOST_ACCOUNTS", "AccountSettings", "came_by", "fault_of_accounts", "goes_by"]

MOST_ACCOUNTS = 7
"""The library has room for eight (PJSUA_MAX_ACC), and one is for calls that belong to none of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSettings:
    """One account at a registrar or trunk. Raises ValueError naming the field."""

    name: str
    """What we call it: in the log, in metrics and routes."""
    registrar: str
    """Where it registers, and whom its calls go through: "sip.example.com", "sip:sip.example.com:5080"."""
    username: str
    """Its user part there."""
    registers: bool = True
    """False: a trunk that knows us by our address, and sends calls without a REGISTER."""
    domain: str | None = None
    """Host part of its address; None: the registrar's."""
    auth_username: str | None = None
    """Name in its digest; None: the username."""
    password: str | None = field(default=None, repr=False)
    """Digest password."""
    realms: tuple[str, ...] = ()
    """Whose challenges its password answers (RFC 3261 section 22.1). None: the realm of the registrar's own challenge
    is learnt, and no other answered."""
    outbound_proxy: str | None = None
    """What all of its requests go through, in the form of `registrar`."""
    transport: Literal["udp", "tcp", "tls"] | None = None
    """Over which its requests go; None: as `registrar` says, or UDP."""
    number: str | None = None
    """The telephone number that it is, and calls from; None: the username."""
    display_name: str | None = None
    """In the From of its calls; None: the endpoint's."""
    expires_s: int = 300
    """Asked lifetime of its registration in s."""

    def __post_init__(self) -> None:
        """Refuse what can't work, with the field's name."""
        if not self.registers and self.password is not None and not self.realms:
            raise ValueError("realms: needs a realm where it does not register: none can be learnt")
        if self.expires_s < 10:
            raise ValueError(f"expires_s={self.expires_s!r}: allowed is 10 or more")

    @property
    def registrar_uri(self) -> str:
        """Where REGISTER goes, with its transport."""
        return self._over(registrar_uri(self.registrar))

    @property
    def proxy_uri(self) -> str | None:
        """The outbound proxy as a URI, with its transport."""
        return None if self.outbound_proxy is None else self._over(registrar_uri(self.outbound_proxy))

    @property
    def host(self) -> str:
        """Host part of its address."""
        return self.domain or host_of(registrar_uri(self.registrar))

    @property
    def aor(self) -> str:
        """Its address of record: user and host."""
        return f"{self.username}@{self.host}"

    @property
    def servers(self) -> tuple[str, ...]:
        """Hosts that its calls come from and go to."""
        found = [host_of(uri) for uri in (self.registrar_uri, self.proxy_uri) if uri is not None]
        return tuple(dict.fromkeys([*found, *([] if self.domain is None else [self.domain])]))

    @property
    def over(self) -> str:
        """The transport that its requests go over: udp, tcp or tls."""
        uri = self.proxy_uri or self.registrar_uri
        found = parse(uri)
        return "tls" if over_tls(uri) else (found.parameters.get("transport", "udp").lower() if found else "udp")

    def uri_of(self, user: str) -> str:
        """The URI by which a number or name is called through it."""
        if self.domain is not None:
            return self._over(f"sip:{user}@{self.domain}")
        scheme, _, rest = self.registrar_uri.partition(":")
        return f"{scheme}:{user}@{rest}"

    def reached(self, uri: str) -> str:
        """A URI of its own host with its transport, where that names none; any other as it is."""
        found = parse(uri)
        own = found is not None and found.scheme == "sip" and any(same_host(found.host, one) for one in self.servers)
        return self._over(uri) if own else uri

    def is_number(self, number: str) -> bool:
        """Whether that is this account's own."""
        return normal(number) in {normal(one) for one in (self.number, self.username) if one is not None}

    def _over(self, uri: str) -> str:
        named = "transport=" in uri.lower() or uri.lower().startswith("sips:")
        return uri if self.transport in (None, "udp") or named else f"{uri};transport={self.transport}"


def fault_of_accounts(accounts: Sequence[AccountSettings]) -> str | None:
    """What is wrong with several together, with what mends it; None where nothing is."""
    if len(accounts) > MOST_ACCOUNTS:
        return f"there are {len(accounts)} accounts: one worker has at most {MOST_ACCOUNTS}, start another for the rest"
    names: set[str] = set()
    addresses: dict[str, str] = {}
    for one in accounts:
        if one.name in names:
            return f"two accounts have the name {one.name!r}: each needs its own"
        names.add(one.name)
        if (other := addresses.get(one.aor.lower())) is not None:
            return (
                f"{other!r} and {one.name!r} are the same address, {one.aor}: the later would take the earlier's place"
                " at the registrar; leave one out, or correct its username"
            )
        addresses[one.aor.lower()] = one.name
    return None


def came_by(message: str, known: Iterable[tuple[AccountSettings, bool]]) -> AccountSettings | None:
    """The account that an INVITE came in by; None where it is none's, or can't be told.

    known: the accounts, and whether the INVITE came from a server of it. A registrar calls the contact that we
    registered, so its user part tells the account (RFC 3261 section 16.5); a trunk leaves the number there. What does
    not come from an account's own servers is taken for its by whom it calls alone.
    """
    accounts = list(known)
    own = [account for account, theirs in accounts if theirs]
    candidates = own or [account for account, _ in accounts]
    scored = [(_fits(message, account), account) for account in candidates]
    best = max((score for score, _ in scored), default=0)
    found = [account for score, account in scored if score == best]
    if len(found) != 1:
        return None
    return found[0] if best or len(own) == 1 else None


def _fits(message: str, account: AccountSettings) -> int:
    requested, (user, host) = requested_of(message), called_of(message)
    if requested == normal(account.username):
        return 4 + same_host(host, account.host)  # two accounts may have one username at different registrars
    if account.number is not None and normal(requested) == normal(account.number):
        return 3
    return 2 if user and account.is_number(user) and same_host(host, account.host) else 0


def goes_by(
    uri: str,
    accounts: Sequence[AccountSettings],
    *,
    wanted: str | None = None,
    call: str | None = None,
    caller_id: str | None = None,
    up: Callable[[str], bool] = lambda name: True,
) -> AccountSettings | None:
    """The account that a call to this URI goes out by; None: by none, without a registrar's name and password.

    wanted: the name that was asked for. call: the account of the call that this one is made for. caller_id: the number
    that is called from. up: whether an account can be called by. Raises SipRequestError for a name that is none.

    Without a wanted one it is that whose server the URI names; where several are there, that of the call, that of the
    number, one that is up, and the first, in this order. A URI of somebody else's goes by the call's, or the number's.
    """
    if wanted:
        return named(wanted, accounts)
    found = parse(uri)
    there = [one for one in accounts if found is not None and any(same_host(found.host, host) for host in one.servers)]
    numbered = [one for one in (there or accounts) if caller_id is not None and one.is_number(caller_id)]
    called = [one for one in (there or accounts) if call and one.name == call]
    ranked = [*called, *numbered]
    if there:
        ranked += [*(one for one in there if up(one.name)), *there]
    return next(iter(ranked), None)


def named(name: str, accounts: Collection[AccountSettings]) -> AccountSettings:
    """The account of that name. Raises SipRequestError, which says which there are."""
    for one in accounts:
        if one.name == name:
            return one
    there = ", ".join(one.name for one in accounts)
    raise SipRequestError(f"there is no account {name[:64]!r}" + (f", but {there}" if there else ": none is set up"))
