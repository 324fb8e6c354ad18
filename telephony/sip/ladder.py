"""What a SIP message is shown as in a call's ladder: its first line, without what is nobody's business. Pure."""

from __future__ import annotations

import re

__all__ = ["LONGEST_LINE", "shown"]

LONGEST_LINE = 200
_VERSION = "SIP/2.0"
_URI = re.compile(r"(?P<scheme>sips?):(?:(?P<user>[^@:]*)(?::[^@]*)?@)?(?P<rest>[^?]*)", re.IGNORECASE)


def shown(message: str, *, hide_user: bool = False) -> str:
    """Return "INVITE sip:427@192.0.2.1" of a request, "200 OK" of a response; "" of what is neither.

    A URI's password and headers (RFC 3261 section 19.1.1) are left out. hide_user: its user part too, for what we send
    goes to the other side's Contact, which may be a number that was told in confidence.
    """
    line = message.lstrip("\r\n").partition("\n")[0].rstrip("\r")
    line = "".join(char for char in line if char.isprintable())
    words = line.split(" ")
    if words[0] == _VERSION:
        return line.removeprefix(_VERSION).strip()[:LONGEST_LINE]
    if len(words) != 3 or words[2] != _VERSION:
        return ""
    found = _URI.fullmatch(words[1]) or _URI.match(words[1])
    if found is None:
        return words[0][:LONGEST_LINE]  # tel: and others are all user part
    user = "" if hide_user or not found["user"] else f"{found['user']}@"
    return f"{words[0]} {found['scheme']}:{user}{found['rest']}"[:LONGEST_LINE]
