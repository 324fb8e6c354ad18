"""Headers of our own on requests that we send: what may be added to an INVITE or a REFER. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from telephony.errors import SipRequestError
from telephony.sip.message import COMPACT

__all__ = ["checked"]

LONGEST_VALUE = 512
LONGEST_IN_ALL = 2048
"""Bytes of all of them: a request over UDP should stay below a path's MTU (RFC 3261 section 18.1.1)."""

_NAME = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]{1,64}")  # RFC 3261 section 25.1: a token
_ENTITY = ("content-", "p-asserted-", "p-preferred-", "privacy", "identity", "proxy-", "www-", "refer", "sec")
_DIALOG = frozenset(
    "via from to call-id cseq contact max-forwards route record-route require supported allow authorization expires"
    " event replaces join session-expires min-se rack rseq path service-route user-agent date mime-version".split()
)
"""What makes a dialog or its transport, or says who we are: the library's, and the settings'."""


def checked(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers that may be added to a request. Raises SipRequestError for one that may not, with the reason."""
    seen: set[str] = set()
    for name, value in headers.items():
        lower = name.lower()
        if not _NAME.fullmatch(name):
            raise SipRequestError(f"{name[:64]!r} is no name of a header")
        if lower in _DIALOG or lower in COMPACT.values() or lower.startswith(_ENTITY):
            raise SipRequestError(f"{name} is a header that the call itself needs: choose another, such as X-Account")
        if lower in seen:
            raise SipRequestError(f"{name} stands there twice")
        if not value.isprintable():
            raise SipRequestError(f"{name}: a value has no line breaks and no other control characters")
        if len(value.encode()) > LONGEST_VALUE:
            raise SipRequestError(f"{name}: a value has at most {LONGEST_VALUE} bytes")
        seen.add(lower)
    size = sum(len(f"{name}: {value}\r\n".encode()) for name, value in headers.items())
    if size > LONGEST_IN_ALL:
        raise SipRequestError(f"the headers have {size} bytes, at most {LONGEST_IN_ALL} go into a request")
    return dict(headers)
