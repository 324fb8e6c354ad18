"""What of a SIP message may be handed to a capture server: first line and the headers of a list, no body. Pure.

Not on the list, so never handed on: credentials and challenges (Authorization, Proxy-Authorization, WWW-Authenticate),
asserted identities (RFC 3325 section 7), whom a REFER is for, headers of the operator's own. A body is left out
whatever it is: SDP may hold SRTP's keys (RFC 4568), INFO a digit.
"""

from __future__ import annotations

import re

from telephony.sip.identity import ANONYMOUS
from telephony.sip.ladder import shown
from telephony.sip.message import COMPACT, fields, header

__all__ = ["RECONSTRUCTED", "head", "reconstructed"]

LISTED = (
    *(
        "Via",
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Contact",
        "Max-Forwards",
        "Record-Route",
        "Route",
        "User-Agent",
        "Server",
    ),
    *("Allow", "Supported", "Require", "Unsupported", "Session-Expires", "Min-SE", "Expires", "Retry-After", "Reason"),
    *("Warning", "RSeq", "RAck", "Event", "Subscription-State", "Content-Type"),
)
"""Those that a server needs most come first: what is too long is cut at the end."""
DIALOG = ("Via", "From", "To", "Call-ID", "CSeq")
NAMES = {name.lower(): name for name in LISTED} | {
    short: name for name in LISTED if (short := COMPACT.get(name.lower())) is not None
}
PARTIES = ("From", "To")
OF_CONTACTS = ("Contact", "Route", "Record-Route")
LONGEST, LONGEST_VALUE = 4000, 1000
"""Characters of a head, and of a value in it: a longer one is left out, since half a URI may show its password."""
RECONSTRUCTED = "X-Reconstructed: yes"
"""Stands in a head that is made of what else is known of the dialog: the library does not hand out every message."""

_URI = re.compile(
    r"(?P<scheme>sips?:)(?:(?P<user>[^@:<>\s\"]*)(?::[^@<>\s\"]*)?@)?(?P<rest>[^?<>\s,\"]*)(?:\?[^<>\s]*)?", re.I
)
_TEL = re.compile(r"\btel:[^;<>\s]*", re.I)
_HOST = re.compile(r"[\w.:\[\]-]*")
_TAG = re.compile(r";\s*tag=[\w.!%*+`'~-]+", re.I)
_BARE = re.compile(r"\b(?:sips?|tel):\S*", re.I)


def head(message: str, *, private: bool = False, hide_target: bool = False) -> str:
    """Return first line and headers, each with CR LF, and the empty line; "" for what is no SIP.

    private: a party of the call wants to be known to nobody (RFC 3323): neither From nor To names anybody.
    hide_target: the request goes to the other side's Contact (see `ladder.shown`). No URI has a password or headers,
    and no contact a user.
    """
    line = _first(message, hide_target)
    if not line:
        return ""
    found: dict[str, list[str]] = {}
    left = LONGEST
    for name, value in fields(message):
        if (known := NAMES.get(name)) is not None and len(value) <= min(LONGEST_VALUE, left):
            left -= len(value)
            found.setdefault(known, []).append(_value(known, value, private))
    return _text([line, *(f"{name}: {value}" for name in LISTED for value in found.get(name, ()))])


def reconstructed(line: str, method: str, known: str, *, swapped: bool = False) -> str:
    """Return the head of a message that is not at hand, out of that of another in its dialog; "" where there is none.

    line: as `ladder.shown` has it. known: the head of an INVITE or of an answer to it, or of the request that is
    answered. swapped: the message goes the other way. A BYE's number is not known and is 0; ACK and CANCEL have the
    INVITE's (RFC 3261 sections 9.1 and 13.2.2.4), an answer has its request's.
    """
    if not known:
        return ""
    values = {name: header(known, name) for name in DIALOG}
    number = "0" if method == "BYE" else values["CSeq"].partition(" ")[0]
    if swapped:
        values["From"], values["To"] = values["To"], values["From"]
    if line[:1].isdigit():
        first = f"SIP/2.0 {line}" + ("" if " " in line else " ")
    else:
        target = _URI.search(values["To"])
        first = f"{method} {target[0].partition(';')[0] if target else f'tel:{ANONYMOUS}'} SIP/2.0"
        values["Via"] = ""  # its own is not known
    values["CSeq"] = f"{number} {method}"
    return _text([first, *(f"{name}: {value}" for name, value in values.items() if value), RECONSTRUCTED])


def _first(message: str, hide_target: bool) -> str:
    line = shown(message, hide_user=hide_target)
    if not line or line[0].isdigit():
        return f"SIP/2.0 {line}" if line else ""
    return f"{line} SIP/2.0" if " " in line else f"{line} tel:{ANONYMOUS} SIP/2.0"


def _value(name: str, value: str, private: bool) -> str:
    value = "".join(char for char in value if char.isprintable())
    if private and name in PARTIES:
        return _nobody(value)
    hide = name in OF_CONTACTS
    if hide:
        value = _TEL.sub(f"tel:{ANONYMOUS}", ", ".join(re.findall("<[^<>]*>", value)) or _bare(value))

    def uri(found: re.Match[str]) -> str:
        user = "" if hide else found["user"] or ""
        return f"{found['scheme']}{user}{'@' if user else ''}{found['rest']}"

    return _URI.sub(uri, value)


def _nobody(value: str) -> str:
    """An address that has only the host and the tag of this one."""
    found, tags = _URI.search(value), _TAG.findall(value)
    host = _HOST.match(found["rest"]) if found else None
    uri = f"{found['scheme']}{ANONYMOUS}@{host[0]}" if found and host else f"tel:{ANONYMOUS}"
    return f"<{uri}>{tags[-1] if tags else ''}"


def _bare(value: str) -> str:
    found = _BARE.search(value)
    return found[0] if found else ""


def _text(lines: list[str]) -> str:
    kept, left = [], LONGEST
    for line in lines:
        left -= len(line) + 2
        if left < 0:
            break
        kept.append(line)
    return "\r\n".join([*kept, "", ""])
