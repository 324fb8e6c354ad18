"""Whose INVITEs are taken: an allow list of addresses, networks and host names. Pure but for `resolve`."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Access:
    """An allow list; open to everybody unless `restricted`."""

    def __init__(self, networks: Iterable[Network] = (), *, restricted: bool) -> None:
        self.restricted = restricted
        self._networks = set(networks)

    def add(self, source: str) -> None:
        """Take INVITEs from this "ip:port" or IP too: the registrar's real address is learnt from its answers."""
        address = address_of(source)
        if address is not None:
            self._networks.add(ipaddress.ip_network(address))

    @property
    def networks(self) -> list[Network]:
        """What is on it."""
        return list(self._networks)

    def trusts(self, source: str) -> bool:
        """Whether what this "ip:port" asserts of a caller counts: it stands on the list, or is our registrar.

        A list of all addresses vouches for nobody.
        """
        address = address_of(source)
        if not self.restricted or address is None:
            return False
        return any(address in network for network in self._networks if network.prefixlen)

    def allows(self, source: str) -> bool:
        """Whether an INVITE from "ip:port" is taken. What isn't an address is a stranger."""
        if not self.restricted:
            return True
        address = address_of(source)
        return address is not None and any(address in network for network in self._networks)


def address_of(source: str) -> Address | None:
    """The IP of "ip", "ip:port" or "[ip6]:port"; None for anything else."""
    host = source[1:].partition("]")[0] if source.startswith("[") else source
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def resolve(name: str) -> list[Network]:
    """The networks that an address, a CIDR network or a host name stands for. Blocks on DNS.

    Raises ValueError for a name that doesn't resolve.
    """
    try:
        return [ipaddress.ip_network(name, strict=False)]
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise ValueError(f"{name!r} is no IP address or network, and does not resolve ({error})") from error
    return [ipaddress.ip_network(entry[4][0]) for entry in found]
