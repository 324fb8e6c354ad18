"""Whether a URI is one that a list of the operator's allows to be dialled. Pure.

Where somebody else names whom we dial (a REFER, a 3xx, an order over HTTP), what is dialled is exactly what was
compared with the list: an address of which some part is left out of the comparison could lead elsewhere, so one with
more than user, host, port and transport is on none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple

from telephony.sip.target import fault_of
from telephony.sip.uri import parse

__all__ = ["PLAIN_USER", "PlainUri", "fault_of_pattern", "on_list", "plain"]

PLAIN_USER = re.compile(r"\+?[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Of RFC 3261's user part (section 25.1) what numbers and names need, and nothing that has to be escaped: no
parameters, no headers, and no * or #, by which a trunk would take a number for a command."""


class PlainUri(NamedTuple):
    """A URI that has no more than these, and a transport."""

    scheme: str
    user: str
    host: str
    """In lower case, with its port where there is one."""

    def __str__(self) -> str:
        return f"{self.scheme}:{self.user}@{self.host}"

    def fits(self, pattern: str) -> bool:
        """Whether a pattern such as `sip:2*@pbx.example` stands for it: user and host each by themselves."""
        scheme, user, host = _parts(pattern)
        host = f"[[]{host[1:]}" if host.startswith("[") else host  # an IPv6 address, and no set of characters
        return self.scheme == scheme and fnmatchcase(self.user, user) and fnmatchcase(self.host, host)


def plain(text: str) -> PlainUri | None:
    """Return what of a URI is compared; None for one that is not plain."""
    uri = parse(text)
    if uri is None or fault_of(text) is not None or uri.user_parameters or set(uri.parameters) - {"transport"}:
        return None
    raw = text.partition(":")[2].rpartition("@")[0]
    if uri.user != raw or not PLAIN_USER.fullmatch(raw):  # escapes and separators: another reader could see another
        return None
    return PlainUri(uri.scheme, uri.user, uri.host.lower() + ("" if uri.port is None else f":{uri.port}"))


def on_list(uri: str, patterns: Iterable[str]) -> bool:
    """Whether a URI is plain, and one of the patterns stands for it."""
    found = plain(uri)
    return found is not None and any(found.fits(pattern) for pattern in patterns)


def fault_of_pattern(text: str) -> str | None:
    """Why this is no pattern of URIs, with what to write; None where it is one."""
    scheme, user, host = _parts(text)
    if scheme not in ("sip", "sips") or not user or not host:
        return (
            "is no pattern of SIP URIs: write sip:USER@HOST, with * and ? as in file names, such as sip:2*@pbx.example"
        )
    if any(char in text for char in ';<>" '):
        return "may have neither parameters nor headers: the transport is the other side's choice"
    return None


def _parts(pattern: str) -> tuple[str, str, str]:
    scheme, _, rest = pattern.partition(":")
    user, _, host = rest.rpartition("@")
    return scheme.lower(), user, host.lower()
