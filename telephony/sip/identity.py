"""Who calls, and whom: out of an INVITE. Pure.

From is what the caller says of himself. P-Asserted-Identity is what the network vouches for, and counts where the
network is one that we trust (RFC 3325 section 5). Privacy asks that it be shown to nobody (RFC 3323, 3325 section 7).
"""

from __future__ import annotations

from dataclasses import dataclass

from telephony.sip.message import header, headers, request_uri
from telephony.sip.number import is_number
from telephony.sip.uri import Uri, parse, parse_address, split_addresses

ANONYMOUS = "anonymous"
"""The user part of who does not want to be known (RFC 3323 section 4.1)."""

HIDING = {"id", "user", "header"}
"""Privacy values (RFC 3323 section 4.2, RFC 3325 section 9.3) that ask for the caller's name to be hidden."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls."""

    identity: str
    """For routing and for rules: the asserted identity of a trusted network, else what From says."""
    private: bool = False
    """The identity was told to us in confidence: it is shown to nobody, and stands in no record."""


def caller_of(message: str, *, trusted: bool) -> Caller:
    """Who sent this INVITE. `trusted`: it came from our own network, which vouches for what it asserts."""
    said = parse_address(header(message, "From"))
    says = _name(said.uri) if said else ""
    asserted = _asserted(message) if trusted else ""
    identity = asserted or says
    values = {value.strip().lower() for line in headers(message, "Privacy") for value in line.split(";")}
    hidden = bool(values & HIDING) or says.lower() == ANONYMOUS
    return Caller(identity, private=hidden and identity.lower() not in ("", ANONYMOUS))


def dialled_of(message: str, registered_as: str | None) -> str:
    """What was dialled: the Request-URI's user, or To's when the Request-URI is our own registered contact.

    A registrar rewrites the Request-URI to the contact we registered, and leaves the number in To.
    """
    asked = requested_of(message)
    if not asked or asked == registered_as:
        return called_of(message)[0] or asked
    return asked


def requested_of(message: str) -> str:
    """User part of the Request-URI; "" where it has none."""
    uri = parse(request_uri(message))
    return uri.user if uri else ""


def called_of(message: str) -> tuple[str, str]:
    """User and host of To."""
    to = parse_address(header(message, "To"))
    return (to.uri.user, to.uri.host) if to else ("", "")


def _asserted(message: str) -> str:
    """The asserted identity: a number, if one of the two that may be given is one."""
    values = [part for line in headers(message, "P-Asserted-Identity") for part in split_addresses(line)]
    found = [address.uri for address in map(parse_address, values) if address is not None]
    names = [name for name in map(_name, found) if name]
    return next((name for name in names if is_number(name)), names[0] if names else "")


def _name(uri: Uri) -> str:
    return uri.user or uri.host
