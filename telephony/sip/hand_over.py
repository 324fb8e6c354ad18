"""Who may have a call of ours go on elsewhere: by REFER (RFC 3515), or by an INVITE with Replaces (RFC 3891). Pure.

Both come from the network, so neither is taken unless a list of the operator's names who may ask for it, and for REFER
to whom it may lead. What is dialled is then exactly what was compared with the list: an address of which some part is
left out of the comparison could lead elsewhere, so one with more than user, host, port and transport is refused.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from telephony.access import address_of
from telephony.sip.target import fault_of
from telephony.sip.uri import parse

__all__ = ["HandOverRules", "fault_of_pattern", "fault_of_source", "on_list"]

PLAIN_USER = re.compile(r"\+?[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What may be dialled for a stranger: no * and no #, by which a trunk would take a number for a command."""
_NAME_ADDR = re.compile(r'\s*(?:"[^"\\<>]*"\s*|[A-Za-z0-9 ._-]*)<([^<>\s"]+)>\s*')
_BARE = re.compile(r"\s*([^<>\s\";?,]+)\s*")
_REPLACES = re.compile(
    r"Replaces=(?:[A-Za-z0-9.\-_~!*'()/:]|%(?:2[0-9A-F]|[3-6][0-9A-F]|7[0-9A-E]))+(?:&Require=replaces)?", re.I
)
"""The one header that a Refer-To may carry, for an attended transfer: no other, and no control character in it, since
it becomes a header of our INVITE."""
LONGEST = 1024


@dataclass(frozen=True, slots=True)
class HandOverRules:
    """One call's. sources: addresses and networks that may ask. targets: patterns of URIs that REFER may lead to,
    such as `sip:2*@pbx.example`. replaces: whether they may put another call in place of this one.
    """

    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    replaces: bool = False

    def target_of(self, refer_to: str, source: str) -> str | None:
        """Return the URI that a REFER with this Refer-To, from "ip:port", may have us dial; None: it may not.

        It is without the header (Replaces) that it may carry.
        """
        if not self.from_there(source) or len(refer_to) > LONGEST:
            return None
        found = _NAME_ADDR.fullmatch(refer_to) or _BARE.fullmatch(refer_to)
        if found is None:
            return None
        uri, question, header = found[1].partition("?")
        if question and not _REPLACES.fullmatch(header):
            return None
        return uri if on_list(uri, self.targets) else None

    def may_replace(self, source: str) -> bool:
        """Whether an INVITE with Replaces from "ip:port" may take the call's place."""
        return self.replaces and self.from_there(source)

    def from_there(self, source: str) -> bool:
        """Whether "ip:port" stands on the list."""
        address = address_of(source)
        return address is not None and any(address in ipaddress.ip_network(one, strict=False) for one in self.sources)


def on_list(uri: str, patterns: Iterable[str]) -> bool:
    """Whether a URI has no more than user, host, port and transport, and one of the patterns stands for it."""
    plain = _plain(uri)
    return plain is not None and any(_fits(plain, pattern) for pattern in patterns)


def fault_of_source(text: str) -> str | None:
    """Why this is no source, with what to write; None where it is one."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return "is no address and no network: write 192.0.2.10 or 192.0.2.0/24"
    return None


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


def _plain(text: str) -> tuple[str, str, str] | None:
    """Scheme, user, and host with port, of a URI that has no more than these and a transport."""
    uri = parse(text)
    if uri is None or fault_of(text) is not None or uri.user_parameters or set(uri.parameters) - {"transport"}:
        return None
    raw = text.partition(":")[2].rpartition("@")[0]
    if uri.user != raw or not PLAIN_USER.fullmatch(raw):  # escapes and separators: another reader could see another
        return None
    return uri.scheme, uri.user, uri.host.lower() + ("" if uri.port is None else f":{uri.port}")


def _parts(pattern: str) -> tuple[str, str, str]:
    scheme, _, rest = pattern.partition(":")
    user, _, host = rest.rpartition("@")
    return scheme.lower(), user, host.lower()


def _fits(plain: tuple[str, str, str], pattern: str) -> bool:
    scheme, user, host = _parts(pattern)
    return plain[0] == scheme and fnmatchcase(plain[1], user) and fnmatchcase(plain[2], host)
