"""The parts of a SIP message as it came: its first line, header values, body; and whether all of it came. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

COMPACT = {
    "call-id": "i",
    "contact": "m",
    "content-encoding": "e",
    "content-length": "l",
    "content-type": "c",
    "event": "o",
    "from": "f",
    "subject": "s",
    "supported": "k",
    "to": "t",
    "via": "v",
}
"""Short forms of header names, RFC 3261 section 7.3.3 (Event's: RFC 6665 section 8.4)."""

CODECS = {"0": "PCMU", "8": "PCMA", "9": "G722"}
"""Static payload types (RFC 3551 table 4) of the codecs that we can speak. G.722 samples at 16 kHz, and its RTP clock
runs at 8 kHz all the same (section 4.5.2): in SDP it is G722/8000."""

WHEEL_BUFFER = 4000
"""Bytes of a message that the library takes by its default, as in the PyPI wheel; the rest of a datagram is lost."""

_FOLD = re.compile(r"\r?\n[ \t]+")
_END = re.compile(r"\r?\n\r?\n")


def fields(message: str) -> Iterator[tuple[str, str]]:
    """Yield each header field as (name in lower case, value); a folded value is one line (RFC 3261 section 7.3.1)."""
    head = _FOLD.sub(" ", _END.split(message, maxsplit=1)[0])
    for line in head.split("\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            yield name.strip().lower(), value.strip()


def headers(message: str, name: str) -> list[str]:
    """All values of the headers of that name, in order; compact forms count."""
    names = {name.lower(), COMPACT.get(name.lower(), name.lower())}
    return [value for found, value in fields(message) if found in names]


def header(message: str, name: str) -> str:
    """Value of the first header of that name, or ""."""
    return next(iter(headers(message, name)), "")


def has_header(message: str, name: str) -> bool:
    """Whether a header of that name is there, be it empty."""
    return bool(headers(message, name))


def allows(message: str, method: str) -> bool:
    """Whether the sender takes this method, by its Allow; without one nothing is known (RFC 3261 section 20.5)."""
    values = headers(message, "Allow")
    return not values or method in {part.strip().upper() for value in values for part in value.split(",")}


def body(message: str) -> str:
    """The message's body, or ""."""
    parts = _END.split(message, maxsplit=1)
    return parts[1] if len(parts) == 2 else ""


def request_uri(message: str) -> str:
    """The URI on a request's first line, or ""."""
    words = message.lstrip("\r\n").split("\r\n", 1)[0].split(" ")
    return words[1] if len(words) == 3 else ""


def media_type(message: str) -> str:
    """The Content-Type without parameters, in lower case; "" for none."""
    return header(message, "Content-Type").partition(";")[0].strip().lower()


def cseq(message: str) -> int:
    """The number in CSeq, or -1."""
    found = re.match(r"\d{1,10}", header(message, "CSeq"))
    return int(found[0]) if found else -1


def cut(message: str) -> int:
    """The status to refuse a request with that did not come whole over UDP; 0 where it did.

    513 where the buffer was too short, else 400 (RFC 3261 section 18.3: a body shorter than its Content-Length).
    """
    size = len(message.encode("utf-8", "surrogateescape"))
    refusal = 513 if size >= WHEEL_BUFFER - 1 else 400
    if not _END.search(message):
        return refusal
    length, content = header(message, "Content-Length"), body(message).encode("utf-8", "surrogateescape")
    if not length:
        return refusal if not content and has_header(message, "Content-Type") else 0
    if not length.isdecimal():
        return 400
    return refusal if len(content) < int(length[:10]) else 0


def keys_in_clear(message: str) -> bool:
    """Whether an INVITE offers keys of SRTP (RFC 4568) and came over something else than TLS, by its topmost Via."""
    over_tls = re.match(r"SIP\s*/\s*2\.0\s*/\s*TLS\b", header(message, "Via"), re.I) is not None
    return not over_tls and re.search(r"^a=crypto:", body(message), re.M | re.I) is not None


def offered_codec(sdp: str, codecs: Collection[str] = tuple(CODECS.values())) -> str:
    """The codec that an answer of ours to this offer begins with: the first in its order that we speak; "" for none.

    RFC 3264 section 6.1: the answer keeps the offer's order of preference.
    """
    found = re.search(r"^m=audio \d+(?:/\d+)? \S+((?: \d+)+)", sdp, re.M)
    named = dict(re.findall(r"^a=rtpmap:(\d+) ([\w-]+)/8000", sdp, re.M))
    names = (named.get(kind, CODECS.get(kind, "")).upper() for kind in (found[1].split() if found else ()))
    return next((name for name in names if name in codecs), "")
