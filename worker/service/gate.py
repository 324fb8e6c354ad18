"""Who may see calls: the token, and the names by which the endpoint may be asked. Pure: headers in, an answer out.

Calls have telephone numbers and what was said. On loopback they are open to who is on the machine; elsewhere they want
`OFFHOOK_HTTP_TOKEN`, as `Authorization: Bearer ...` or as the cookie that the form sets. The Host header is looked at
in any case: a page of somebody else's, whose name was made to point here (DNS rebinding), would see them with the
visitor's eyes.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

__all__ = ["COOKIE", "Answer", "Gate", "is_loopback", "local_path", "proof"]

COOKIE = "offhook_calls"


class Answer(Enum):
    """What a request is answered with."""

    OPEN = "open"
    WRONG_HOST = "wrong host"
    NO_TOKEN_SET = "no token set"
    TOKEN_WANTED = "token wanted"


@dataclass(frozen=True, slots=True)
class Gate:
    """One endpoint's."""

    host: str
    """Where it listens."""
    token: str | None = None
    hosts: tuple[str, ...] = ()
    """Further names that it may be asked by."""
    operators: str | None = None
    """OFFHOOK_APPROVAL_TOKEN: who may let tool calls run may see calls, so that one token is enough."""

    @property
    def strict(self) -> bool:
        """Whether the list of calls in progress is guarded for machines, too."""
        return self.token is not None or is_loopback(self.host)

    def asked(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> Answer:
        """Whether a request may see calls."""
        if not self.knows(headers.get("Host", "")):
            return Answer.WRONG_HOST
        if self.token is None and is_loopback(self.host):
            return Answer.OPEN
        if not self._tokens:
            return Answer.NO_TOKEN_SET
        scheme, _, given = headers.get("Authorization", "").partition(" ")
        bearer = scheme.lower() == "bearer" and self.fits(given.strip())
        brought = cookies.get(COOKIE, "").encode()
        cookie = any([hmac.compare_digest(brought, proof(token).encode()) for token in self._tokens])
        return Answer.OPEN if bearer or cookie else Answer.TOKEN_WANTED

    def fits(self, given: str) -> bool:
        """Whether that is a token that opens calls."""
        return any([hmac.compare_digest(given.encode(), token.encode()) for token in self._tokens])

    @property
    def _tokens(self) -> list[str]:
        return [token for token in (self.token, self.operators) if token]

    def knows(self, host: str) -> bool:
        """Whether it may be asked by this Host header: an address, this machine's name, or one of `hosts`."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if _is_address(name):
            return True
        known = {"localhost", self.host, socket.gethostname(), *self.hosts}
        return name in {one.lower() for one in known}


def proof(token: str) -> str:
    """Return the cookie's value: it proves the token, and does not have it."""
    return hmac.new(token.encode(), b"offhook calls", hashlib.sha256).hexdigest()


def is_loopback(host: str) -> bool:
    """Whether who listens there is reached from this machine alone."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def local_path(path: str) -> str:
    """Return a path below /calls to go on to; the list for anything else, which may lead away."""
    return (
        path
        if path == "/calls" or (path.startswith("/calls/") and "\\" not in path and path.isprintable())
        else "/calls"
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
