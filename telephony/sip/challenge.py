"""What a refusal says of how to be taken after all: whose password it wants, and when to come again. Pure."""

from __future__ import annotations

import re

from telephony.sip.message import header, headers
from telephony.sip.uri import clean

__all__ = ["realms_of", "retry_after_of"]

_REALM = re.compile(r'\bDigest\s(?:[^"]|"[^"]*")*?\brealm\s*=\s*"((?:[^"\\]|\\.)*)"', re.I)
_SECONDS = re.compile(r"\s*(\d{1,9})")


def realms_of(message: str) -> tuple[str, ...]:
    """The realms of a 401's or 407's challenges (RFC 3261 section 22), each once, in their order."""
    values = [value for name in ("WWW-Authenticate", "Proxy-Authenticate") for value in headers(message, name)]
    found = (re.sub(r"\\(.)", r"\1", realm) for value in values for realm in _REALM.findall(value))
    return tuple(dict.fromkeys(clean(realm) for realm in found if realm))


def retry_after_of(message: str) -> int | None:
    """Seconds of Retry-After (RFC 3261 section 20.33); None where there is none."""
    found = _SECONDS.match(header(message, "Retry-After"))
    return int(found[1]) if found else None
