"""What an INVITE says beside who calls whom: a name, who passed the call on, data of the caller's application. Pure.

Diversion (RFC 5806) and History-Info (RFC 7044) tell who was dialled before; User-to-User (RFC 7433) carries what one
application tells the other. All of it counts only where the network that sent it is trusted, like P-Asserted-Identity:
anybody can write it. Which further headers are read is a list; the caller of an open installation can write those too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote

from telephony.sip.message import fields, header, headers
from telephony.sip.uri import Address, clean, parse_address, split_addresses

__all__ = ["MOST_HEADERS", "InviteFacts", "facts_of", "may_be_read"]

LONGEST_DATA = 512
"""Longest value of User-to-User or of a further header that is handed on, in characters."""
MOST_HEADERS = 16
MOST_DIVERSIONS = 5
SECRET = ("authorization", "proxy-authorization")
_PATTERN = re.compile(r"[A-Za-z][A-Za-z0-9\-.!%_+`'~?*]{0,63}")  # RFC 3261 section 25.1: a token, and wildcards
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")


@dataclass(frozen=True, slots=True)
class InviteFacts:
    """Strangers' words, printable and cut: nothing in them is known to be true, but for the account, which is ours."""

    display_name: str = ""
    """The caller's, of the asserted identity where that counts."""
    diverted_from: tuple[str, ...] = ()
    """Numbers or names that were dialled before, the last first; without those told in confidence."""
    diverted_why: str = ""
    """Why the last one passed it on: user-busy, no-answer, unconditional, deflection, ... (RFC 5806), or a SIP
    status (RFC 7044)."""
    user_to_user: str = ""
    """The data as text where it is that, else in hex, as it came."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further headers by their names in lower case; of several of one name the first."""
    account: str = ""
    """The name of the account that the call came or goes by; "" for one of none, and where there is only one."""

    def as_json(self) -> dict[str, Any]:
        """What there is of it, by these names."""
        found: dict[str, Any] = {
            "display_name": self.display_name,
            "diverted_from": list(self.diverted_from),
            "diverted_why": self.diverted_why,
            "user_to_user": self.user_to_user,
            "headers": dict(self.headers),
            "account": self.account,
        }
        return {name: value for name, value in found.items() if value}


def facts_of(message: str, *, trusted: bool, wanted: Iterable[str] = ()) -> InviteFacts:
    """Read an INVITE. trusted: it came from our own network. wanted: names or patterns of further headers."""
    patterns = [pattern.lower() for pattern in wanted]
    own: dict[str, str] = {}
    for name, value in fields(message) if patterns else ():
        if len(own) < MOST_HEADERS and any(fnmatchcase(name, pattern) for pattern in patterns):
            own.setdefault(clean(name), clean(value, LONGEST_DATA))
    if not trusted:
        return InviteFacts(display_name=_display_name(header(message, "From")), headers=own)
    diversions = _diversions(message) or _history(message)
    return InviteFacts(
        display_name=next(filter(None, map(_display_name, _named(message))), ""),
        diverted_from=tuple(name for name, _ in diversions)[:MOST_DIVERSIONS],
        diverted_why=diversions[0][1] if diversions else "",
        user_to_user=_user_to_user(header(message, "User-to-User")),
        headers=own,
    )


def may_be_read(name: str) -> bool:
    """Whether this names headers that may be handed on, by its name or a pattern: none that holds a password."""
    return bool(_PATTERN.fullmatch(name)) and not any(fnmatchcase(secret, name.lower()) for secret in SECRET)


def _named(message: str) -> list[str]:
    asserted = [part for line in headers(message, "P-Asserted-Identity") for part in split_addresses(line)]
    return [*asserted, header(message, "From")]


def _display_name(value: str) -> str:
    address = parse_address(value)
    return address.display_name if address is not None else ""


def _addresses(message: str, name: str) -> list[Address]:
    parts = (part for line in headers(message, name) for part in split_addresses(line))
    return [address for address in map(parse_address, parts) if address is not None]


def _diversions(message: str) -> list[tuple[str, str]]:
    """Who diverted and why, the last first, as the header has them (RFC 5806 section 5)."""
    found = []
    for address in _addresses(message, "Diversion"):
        if address.parameters.get("privacy", "off").strip('"').lower() == "off":
            found.append((_name(address), address.parameters.get("reason", "").strip('"')))
    return found


def _history(message: str) -> list[tuple[str, str]]:
    """Who was retargeted from and why, the last first (RFC 7044).

    An entry's URI carries the reason why the call left it, escaped among its headers (section 5.2), and Privacy where
    it is nobody's to know. The last entry is where the call went: us.
    """
    found = []
    for part in (part for line in headers(message, "History-Info") for part in split_addresses(line)):
        uri, _, escaped = part.partition("?")
        given = unquote(escaped.partition(">")[0])
        address = parse_address(f"{uri}>" if "<" in uri and ">" not in uri else uri)
        cause = re.search(r"(?:^|&)reason=[^&]*?cause=(\d{3})", given, re.I)
        if address is not None and not re.search(r"(?:^|&)privacy=history", given, re.I):
            found.append((_name(address), cause[1] if cause else ""))
    left = [entry for entry in found[:-1] if entry[1]] or found[:-1]
    return left[::-1]


def _name(address: Address) -> str:
    return address.uri.user or address.uri.host


def _user_to_user(value: str) -> str:
    """The data of User-to-User: quoted, or in hex as its encoding says (RFC 7433 section 4)."""
    data, _, parameters = value.partition(";")
    data = data.strip().strip('"')
    if "encoding=hex" in parameters.lower().replace(" ", "") and _HEX.fullmatch(data):
        plain = bytes.fromhex(data[2:] if data[:2] == "00" else data)  # 00: the protocol discriminator of ISDN's
        try:
            text = plain.decode()
        except UnicodeDecodeError:
            return clean(data, LONGEST_DATA)
        return clean(text, LONGEST_DATA) if text.isprintable() else clean(data, LONGEST_DATA)
    return clean(data, LONGEST_DATA)
