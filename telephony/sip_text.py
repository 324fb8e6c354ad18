"""The little that is read out of SIP text here: header values and the parts of a URI. Pure.

The library has parsed and accepted the message before; this only picks names out, with a bound on their length.
"""

from __future__ import annotations

import re

LONGEST = 128
"""Longest caller or dialled name handed on; names come from strangers."""

COMPACT = {"from": "f", "to": "t", "content-type": "c", "call-id": "i"}
"""Short forms of header names, RFC 3261 section 7.3.3."""

CODECS = {"0": "PCMU", "8": "PCMA", "9": "G722"}
"""Static payload types (RFC 3551 table 4) of the codecs that we speak."""

URI = re.compile(r"(?:sips?|tel):(?:(?P<user>[^@;?>\s]*)@)?(?P<host>\[[^\]]*\]|[^\s;:>?]*)(?::(?P<port>\d+))?", re.I)


def header(message: str, name: str) -> str:
    """Value of the first header of that name, or ""."""
    names = {name.lower(), COMPACT.get(name.lower(), name.lower())}
    for line in message.split("\r\n\r\n", 1)[0].split("\r\n")[1:]:
        key, colon, value = line.partition(":")
        if colon and key.strip().lower() in names:
            return value.strip()
    return ""


def body(message: str) -> str:
    """The message's body, or ""."""
    return message.partition("\r\n\r\n")[2]


def request_uri(message: str) -> str:
    """The URI on a request's first line, or ""."""
    words = message.split("\r\n", 1)[0].split(" ")
    return words[1] if len(words) == 3 else ""


def user_of(uri: str) -> str:
    """User part of the URI in a name-addr or addr-spec, without a password; "" when it has none."""
    found = URI.search(uri)
    if not found:
        return ""
    if uri[found.start() :].lower().startswith("tel:"):
        return _clean(found["host"] or "")
    return _clean((found["user"] or "").partition(":")[0])


def host_of(uri: str) -> str:
    """Host part of the URI, "" when there is none."""
    found = URI.search(uri)
    return _clean(found["host"]) if found else ""


def caller_of(uri: str) -> str:
    """Who calls: the user part, or the host where there is none."""
    return user_of(uri) or host_of(uri)


def dialled_of(message: str, registered_as: str | None) -> str:
    """What was dialled: the Request-URI's user, or To's when the Request-URI is our own registered contact.

    A registrar rewrites the Request-URI to the contact we registered, and leaves the number in To.
    """
    asked = user_of(request_uri(message))
    if not asked or asked == registered_as:
        return user_of(header(message, "To")) or asked
    return asked


def offered_codec(sdp: str) -> str:
    """The codec that an answer of ours to this offer begins with: the first in its order that we speak; "" for none.

    RFC 3264 section 6.1: the answer keeps the offer's order of preference.
    """
    found = re.search(r"^m=audio \d+(?:/\d+)? \S+((?: \d+)+)", sdp, re.M)
    named = dict(re.findall(r"^a=rtpmap:(\d+) ([\w-]+)/8000", sdp, re.M))
    names = (named.get(kind, CODECS.get(kind, "")).upper() for kind in (found[1].split() if found else ()))
    return next((name for name in names if name in CODECS.values()), "")


def info_digit(content_type: str, content: str) -> str:
    """The key of an INFO of type application/dtmf (the bare key) or application/dtmf-relay; "" for others."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/dtmf-relay":
        found = re.search(r"^\s*Signal\s*=\s*(\S)", content, re.I | re.M)
        key = found.group(1) if found else ""
    elif kind == "application/dtmf":
        found = re.search(r"(?:Signal\s*=\s*)?(\S+)", content, re.I)
        key = found.group(1) if found else ""
    else:
        key = ""
    key = {"10": "*", "11": "#"}.get(key, key).upper()
    return key if re.fullmatch(r"[0-9A-D*#]", key) else ""


def registrar_uri(registrar: str) -> str:
    """A registrar as the library wants it: "sip:" in front of a bare host."""
    return registrar if registrar.lower().startswith(("sip:", "sips:")) else f"sip:{registrar}"


def _clean(text: str) -> str:
    return "".join(char for char in text if char.isprintable())[:LONGEST]
