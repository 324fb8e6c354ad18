"""Where a 3xx may send a call of ours on to (RFC 3261 section 8.1.3.4). Pure.

The library asks of each target without its port and its parameters. So it is looked for in the response itself, and all
contacts that it may stand for have to be on the list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from telephony.sip.message import headers
from telephony.sip.on_list import on_list
from telephony.sip.uri import Uri, parse_address, split_addresses

_INSIDE = re.compile(r"<([^<>]*)>")


def may_follow(target: str, response: str, patterns: Iterable[str]) -> bool:
    """Whether a call may go on to this target of a 3xx response, by patterns such as `sip:2*@pbx.example`."""
    wanted, listed = parse_address(target), tuple(patterns)
    if wanted is None or not listed:
        return False
    found = [one for value in headers(response, "Contact") for one in split_addresses(value)]
    meant = [one for one in found if (it := parse_address(one)) and _who(it.uri) == _who(wanted.uri)]
    return bool(meant) and all(on_list(_uri(one), listed) for one in meant)


def _who(uri: Uri) -> tuple[str, str, str]:
    return uri.scheme, uri.user, uri.host.lower()


def _uri(value: str) -> str:
    """The URI of a contact as it is written; of a bare one, what follows a semicolon belongs to the header."""
    inside = _INSIDE.search(value)
    return inside[1] if inside else value.partition(";")[0].strip()
