"""The two families of IP: where an endpoint listens in each, and of which one a call is. Pure but for `looked_up`.

A call's media is of the family of its offer, and ours of the family of whom we call: a socket is of one (RFC 3264
section 5; SDP's c= line, RFC 8866 section 5.7). Translation between the two (NAT64) is a network's business.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Literal

__all__ = [
    "INCOMPATIBLE",
    "Place",
    "Version",
    "bracketed",
    "looked_up",
    "offered_version",
    "version_of",
    "version_of_host",
]

Version = Literal[4, 6]

INCOMPATIBLE = 'offhook "Incompatible network address formats"'
"""What a 488 says of an offer of the other family, after the code 301 (RFC 3261 section 20.43)."""

LOOK_UP_S = 3.0
"""So long a resolver may be silent before a call goes by the first family."""

_ANY = ("0.0.0.0", "::")
_CONNECTION = re.compile(r"^c=IN IP([46]) ([^\s/]+)", re.M | re.I)
_LOOPBACK: dict[Version, str] = {4: "127.0.0.1", 6: "::1"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where we listen in one family. Addresses without brackets."""

    host: str
    """An address of this machine, or all of a family: 0.0.0.0, ::."""
    public_address: str | None = None
    """What others know us by, where a NAT hides `host`."""

    @property
    def version(self) -> Version:
        """Its family."""
        return version_of(self.host) or 4

    @property
    def bound(self) -> str:
        """What the library binds RTP to: "" for all addresses."""
        return "" if self.host in _ANY else self.host

    @property
    def reached_at(self) -> str:
        """An address to dial, for a URI: an IPv6 address in brackets. With all of a family, the loopback one."""
        return bracketed(self.public_address or self.bound or _LOOPBACK[self.version])

    @property
    def hosts(self) -> tuple[str, ...]:
        """All that is known to be this machine."""
        known = (self.host, self.public_address or "", *(() if self.bound else (_LOOPBACK[self.version],)))
        return tuple(one for one in known if one)


def bracketed(host: str) -> str:
    """A host as it stands in a URI."""
    return f"[{host}]" if ":" in host else host


def version_of(text: str) -> Version | None:
    """The family of an IP address without a zone; None for what is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return 4
    return 6 if address.scope_id is None else None


def version_of_host(host: str) -> Version | None:
    """The family of a URI's host (an IPv6 address in brackets); None for a name."""
    return version_of(host.removeprefix("[").removesuffix("]"))


def offered_version(sdp: str) -> Version | None:
    """The family of an SDP's first audio, by its own c= line or the session's.

    None where it has no audio, and for one that is held with no address at all (0.0.0.0, ::).
    """
    session, *media = re.split(r"^m=", sdp, flags=re.M)
    audio = next((one for one in media if one.startswith("audio ")), None)
    if audio is None:
        return None
    found = _CONNECTION.search(audio) or _CONNECTION.search(session)
    if found is None or found[2] in _ANY:
        return None
    return 4 if found[1] == "4" else 6


def looked_up(name: str, among: Collection[Version], then: Callable[[Version | None], None]) -> None:
    """Tell which family a host name is called by, IPv4 where it has both; None where no address of it is known in time.

    then: called once, on another thread, after LOOK_UP_S at the latest, however long the resolver is silent.
    """
    found: SimpleQueue[Version | None] = SimpleQueue()

    def wait() -> None:
        try:
            then(found.get(timeout=LOOK_UP_S))
        except Empty:
            then(None)

    for target in (lambda: found.put(_version_by_name(name, among)), wait):
        threading.Thread(target=target, name="name look-up", daemon=True).start()


def _version_by_name(name: str, among: Collection[Version]) -> Version | None:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    except OSError:
        return None
    has = {4 if family == socket.AF_INET else 6 for family, *_ in found}
    return next((version for version in sorted(among) if version in has), None)
