"""Who may have a call of ours go on elsewhere: by REFER (RFC 3515), or by an INVITE with Replaces (RFC 3891). Pure.

Both come from the network, so neither is taken unless a list of the operator's names who may ask for it, and for REFER
to whom it may lead (`on_list`).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from telephony.access import address_of
from telephony.sip.on_list import on_list

__all__ = ["HandOverRules", "fault_of_source"]

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


def fault_of_source(text: str) -> str | None:
    """Why this is no source, with what to write; None where it is one."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return "is no address and no network: write 192.0.2.10 or 192.0.2.0/24"
    return None
