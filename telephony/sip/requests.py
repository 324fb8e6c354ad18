"""What is said to the requests that open no call: the library would leave them unanswered, or say 500. Pure.

Those that it does answer well (BYE, CANCEL, PRACK, REFER, MESSAGE, an INVITE with a codec of ours) stay its own.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from telephony.dtmf import DTMF_TYPES, info_key
from telephony.families import INCOMPATIBLE, Version, offered_version
from telephony.sip.message import CODECS, body, cut, has_header, header, media_type, offered_codec

ALLOW = "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, OPTIONS, INFO"
"""The methods that do something here."""

IN_DIALOG = {
    "OPTIONS": 200,
    "NOTIFY": 481,  # to a subscription that we don't have (RFC 6665 section 4.1.3)
    "SUBSCRIBE": 489,
    "REGISTER": 405,
    "PUBLISH": 405,
}
"""Answers inside a dialog."""

OUTSIDE = {
    "NOTIFY": 481,
    "SUBSCRIBE": 489,
    "INFO": 481,  # belongs into a dialog (RFC 6086 section 4.2.2), as do the next two
    "UPDATE": 481,
    "PRACK": 481,
    "REFER": 405,
    "REGISTER": 405,
    "PUBLISH": 405,
}
"""Answers outside any dialog."""

LIBRARY = {"INVITE", "ACK", "CANCEL", "BYE", "PRACK", "UPDATE", "REFER", "MESSAGE"}
"""What the library answers inside a dialog."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said to a request."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    digit: str | None = None
    """A key that the request told, one of 0-9, *, #, A-D."""
    refuses: Literal["malformed", "family"] | None = None
    """Why an INVITE opens no call: it came in part, or its audio is of a family of IP that we don't have."""


def answer_to(
    method: str,
    message: str,
    *,
    in_dialog: bool,
    subscribed: bool = False,
    datagram: bool = True,
    codecs: Collection[str] = tuple(CODECS.values()),
    families: Collection[Version] = (4, 6),
) -> Answer | None:
    """What is said to a request; None leaves it to the library.

    in_dialog: it belongs to a dialog that we have, which is `subscribed` to something. datagram: it came over UDP,
    where the end of a message may be lost. codecs: those that we speak. families: of IP, that an offer may be of.
    """
    opens = method == "INVITE" and not in_dialog
    if datagram and (status := cut(message)):
        return Answer(status, refuses="malformed" if opens else None)
    offers = method in ("INVITE", "UPDATE") and media_type(message) == "application/sdp"
    if offers and (in_dialog or opens) and offered_version(body(message)) not in (None, *families):
        warning = ("Warning", f"301 {INCOMPATIBLE}")
        return Answer(488, (warning,), refuses="family" if opens else None)
    if not in_dialog:
        return None if method in ("INVITE", "OPTIONS", "MESSAGE", "ACK", "CANCEL", "BYE") else _plain(method, OUTSIDE)
    if method == "INFO":
        return _info(message)
    if method == "NOTIFY" and subscribed:
        return None
    if offers:
        return None if offered_codec(body(message), codecs) else Answer(488)
    return None if method in LIBRARY else _plain(method, IN_DIALOG)


def _plain(method: str, table: dict[str, int]) -> Answer:
    status = table.get(method, 501)  # RFC 3261 section 21.5.2: a method that we don't know at all
    if status == 200:
        return Answer(200, (("Allow", ALLOW), ("Accept", "application/sdp, " + ", ".join(DTMF_TYPES))))
    return Answer(status, (("Allow", ALLOW),) if status in (405, 501) else ())


def _info(message: str) -> Answer:
    """RFC 6086 section 4.2.2, and the keys that are sent without a package, as in the days before it."""
    kind, content = media_type(message), body(message)
    if has_header(message, "Info-Package"):
        return Answer(469, (("Recv-Info", ""),))
    if not content.strip():
        return Answer(200)  # a sign of life
    if kind not in DTMF_TYPES or header(message, "Content-Encoding") not in ("", "identity"):
        return Answer(415, (("Accept", ", ".join(DTMF_TYPES)),))
    key = info_key(kind, content)
    return Answer(400) if key is None else Answer(200, digit=key or None)
