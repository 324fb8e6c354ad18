"""Whom we may dial: what a URI of an operator's list has to be. Pure.

It goes into a Request-URI of ours, or into the Refer-To of a REFER (RFC 3515 section 2.1): so it holds a user, a host
and parameters, and nothing by which it would ask for another request or carry headers (RFC 3261 section 19.1.1).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable

from telephony.sip.uri import Uri, over_tls, parse

__all__ = ["DEFAULT_PORT", "fault_of", "is_ours", "same_host", "same_user"]

DEFAULT_PORT = 5060
TLS_PORT = 5061
TRANSPORTS = ("udp", "tcp", "tls")
"""What an endpoint of ours can have."""


def fault_of(text: str) -> str | None:
    """Why this is no URI that may be dialled, with what to write; None where it is one."""
    if text.lower().startswith("tel:"):
        return "a tel URI says not by which host: write sip:NUMBER@your trunk's host"
    uri = parse(text)
    if uri is None or text != text.strip():
        return "is no SIP URI: write sip:USER@HOST, sip:USER@HOST:PORT or sip:HOST"
    if "?" in text:
        return "may not carry headers (what follows the ?)"
    if ":" in text.partition(":")[2].rpartition("@")[0]:
        return "may not carry a password"
    if "method" in uri.parameters:
        return "may not name a method: it is dialled"
    if uri.parameters.get("transport", "udp").lower() not in TRANSPORTS:
        return f"transport has to be one of: {', '.join(TRANSPORTS)}"
    return "the port has to be 1 to 65535" if uri.port == 0 else None


def is_ours(text: str, hosts: Iterable[str], ports: Collection[int]) -> bool:
    """Whether a URI is one of our own: of these hosts (names or addresses), and of the ports that we listen on.

    localhost is 127.0.0.1; names are not looked up.
    """
    uri = parse(text)
    return uri is not None and _port(text, uri) in ports and _plain(uri.host) in {_plain(host) for host in hosts}


def same_user(text: str, other: str) -> bool:
    """Whether two URIs name one user at one host, whatever their ports and parameters."""
    one, two = parse(text), parse(other)
    return one is not None and two is not None and (one.user, _plain(one.host)) == (two.user, _plain(two.host))


def same_host(one: str, other: str) -> bool:
    """Whether two host parts are one; names are not looked up."""
    return _plain(one) == _plain(other)


def _port(text: str, uri: Uri) -> int:
    if uri.port is not None:
        return uri.port
    return TLS_PORT if over_tls(text) else DEFAULT_PORT


def _plain(host: str) -> str:
    name = host.strip("[]").lower().rstrip(".")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return "127.0.0.1" if name == "localhost" else name
