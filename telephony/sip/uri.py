"""The URIs that stand in SIP messages, by their grammars: SIP and SIPS (RFC 3261 section 25.1), tel (RFC 3966).

A user part may be a telephone number with parameters of its own (RFC 3261 section 19.1.6, number portability of RFC
4694). A header value is an address in angle brackets with a display name, or a bare one (RFC 3261 section 20.10). Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from telephony.sip.number import is_number, normal

LONGEST = 128
"""Longest name or number handed on."""

_HOST = r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9.])?"
_USER = r"(?:[A-Za-z0-9\-_.!~*'()&=+$,;?/#]|%[0-9A-Fa-f]{2})+"  # `#` has to be escaped, and often isn't
_PASSWORD = r"(?:[A-Za-z0-9\-_.!~*'()&=+$,]|%[0-9A-Fa-f]{2})*"
_PARAMETER = r"[^;?\s<>\"@]*"
_SIP = re.compile(
    rf"(?P<scheme>sips?):(?:(?P<user>{_USER})(?::{_PASSWORD})?@)?(?P<host>{_HOST})(?::(?P<port>\d{{1,5}}))?"
    rf"(?P<parameters>(?:;{_PARAMETER})*)(?:\?[^\s<>\"]*)?",
    re.I,
)
_TEL = re.compile(rf"(?P<scheme>tel):(?P<number>[0-9A-Fa-f*#+.()\-]+)(?P<parameters>(?:;{_PARAMETER})*)", re.I)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.S)


@dataclass(frozen=True, slots=True)
class Uri:
    """A URI's parts, with its escapes resolved."""

    scheme: str
    """sip, sips or tel."""
    user: str
    """The number in its normal form (see `number`), or the name as it is; "" where there is none."""
    host: str = ""
    """Host name, IPv4 address, or IPv6 address in brackets; "" for tel."""
    port: int | None = None
    user_parameters: dict[str, str] = field(default_factory=dict)
    """Of a telephone number: rn, npdi, isub, ext, phone-context and others."""
    parameters: dict[str, str] = field(default_factory=dict)
    """Of a SIP URI: transport, user, lr and others."""


@dataclass(frozen=True, slots=True)
class Address:
    """What a From, To, Contact or P-Asserted-Identity holds."""

    uri: Uri
    display_name: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    """Of the header, such as tag."""


def parse(text: str) -> Uri | None:
    """The URI that is all of this text; None for what the grammars don't have."""
    text = text.strip()
    if found := _TEL.fullmatch(text):
        number = found["number"]
        if not any(char in "0123456789*#" for char in number):
            return None
        return Uri("tel", clean(normal(number)), user_parameters=_parameters(found["parameters"]))
    found = _SIP.fullmatch(text)
    if found is None:
        return None
    port = int(found["port"]) if found["port"] else None
    if port is not None and port > 65535:
        return None
    user, user_parameters = _user(found["user"] or "")
    return Uri(
        scheme=found["scheme"].lower(),
        user=user,
        host=clean(found["host"]),
        port=port,
        user_parameters=user_parameters,
        parameters=_parameters(found["parameters"]),
    )


def parse_address(value: str) -> Address | None:
    """The address in a header's value: in brackets after a display name, or bare; None for what is neither.

    Of a bare one, what follows a semicolon belongs to the header (RFC 3261 section 20.10).
    """
    value = value.strip()
    name, rest = "", value
    if quoted := _QUOTED.match(value):
        name, rest = re.sub(r"\\(.)", r"\1", quoted[0][1:-1], flags=re.S), value[quoted.end() :].lstrip()
        if not rest.startswith("<"):
            return None
    if "<" in rest:
        before, _, rest = rest.partition("<")
        inside, closed, after = rest.partition(">")
        if not closed or '"' in before:
            return None
        name = name or before.strip()
    else:
        at = rest.find("@") + 1
        inside, semicolon, after = rest[at:].partition(";")
        inside, after = rest[:at] + inside, semicolon + after
    uri = parse(inside)
    return None if uri is None else Address(uri, clean(name), _parameters(after))


def split_addresses(value: str) -> list[str]:
    """Cut a header's value at the commas that separate addresses: those outside quotes and brackets."""
    found, depth, quoted, begin, at = [], 0, False, 0, 0
    while at < len(value):
        char = value[at]
        if quoted:
            at += char == "\\"
            quoted = char != '"'
        elif char == '"':
            quoted = True
        elif char in "<>":
            depth = int(char == "<")
        elif char == "," and not depth:
            found.append(value[begin:at])
            begin = at + 1
        at += 1
    return [part.strip() for part in [*found, value[begin:]] if part.strip()]


def host_of(text: str) -> str:
    """Host of a URI; "" where there is none."""
    uri = parse(text)
    return uri.host if uri else ""


def over_tls(text: str) -> bool:
    """Whether a request to this URI goes over TLS: sips, or transport=tls (RFC 3261 section 26.2.2, RFC 3263)."""
    uri = parse(text)
    return uri is not None and (uri.scheme == "sips" or uri.parameters.get("transport", "").lower() == "tls")


def registrar_uri(registrar: str) -> str:
    """A registrar as the library wants it: "sip:" in front of a bare host."""
    return registrar if registrar.lower().startswith(("sip:", "sips:")) else f"sip:{registrar}"


def clean(text: str, most: int = LONGEST) -> str:
    """The printable characters of a stranger's text, as many as are handed on."""
    return "".join(char for char in text if char.isprintable())[:most]


def _user(raw: str) -> tuple[str, dict[str, str]]:
    """A user part as a number with its parameters, or as a name, to which semicolons belong."""
    first, _, rest = raw.partition(";")
    number = unquote(first)
    if is_number(number):
        return clean(normal(number)), _parameters(rest)
    return clean(unquote(raw)), {}


def _parameters(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";") if part.strip())
    return {clean(name.strip().lower()): clean(unquote(value.strip())) for name, _, value in pairs}
