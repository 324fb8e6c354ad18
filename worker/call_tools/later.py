"""What a caller may be offered where a tool takes long: to be called back, or to be sent the result. Pure.

What is possible depends on the installation (`LaterWays`), on the agent, and on the caller: an anonymous one can't be
called back, and nothing but a plain number or name ever gets into the URI that is dialled.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from telephony.sip.on_list import PLAIN_USER

__all__ = ["CALLER", "OFFERS", "LaterWays", "Way", "call_back_uri", "offer_words", "opening_words"]

Way = Literal["call_back", "send"]

CALLER = "{caller}"
NOBODY = frozenset({"anonymous", "unknown", "restricted", "private", "unavailable", "withheld", "asserted", "none"})
"""User parts of callers who hide (RFC 3323 section 4.1.1.3, and what gateways send)."""

WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "both": "This takes a while. Shall I call you back with the result, or send it to you?",
        "call_back": "This takes a while. Shall I call you back when I have the result?",
        "send": "This takes a while. Shall I send you the result when I have it?",
    },
    "de": {
        "both": "Das dauert noch. Soll ich Sie mit dem Ergebnis zurückrufen, oder es Ihnen schicken?",
        "call_back": "Das dauert noch. Soll ich Sie zurückrufen, wenn ich das Ergebnis habe?",
        "send": "Das dauert noch. Soll ich Ihnen das Ergebnis schicken, wenn ich es habe?",
    },
    "fr": {
        "both": "Cela prend du temps. Voulez-vous que je vous rappelle avec le résultat, ou que je vous l'envoie ?",
        "call_back": "Cela prend du temps. Voulez-vous que je vous rappelle quand j'aurai le résultat ?",
        "send": "Cela prend du temps. Voulez-vous que je vous envoie le résultat quand je l'aurai ?",
    },
    "es": {
        "both": "Esto va a tardar. ¿Quiere que le llame con el resultado, o que se lo envíe?",
        "call_back": "Esto va a tardar. ¿Quiere que le llame cuando tenga el resultado?",
        "send": "Esto va a tardar. ¿Quiere que le envíe el resultado cuando lo tenga?",
    },
}
"""The offer, by language and by what is possible."""
OFFERS = ("both", "call_back", "send")

OPENINGS: Mapping[str, str] = {
    "en": "Hello, this is the call back that I promised you.",
    "de": "Guten Tag, hier ist der Rückruf, den ich Ihnen versprochen habe.",
    "fr": "Bonjour, je vous rappelle comme promis.",
    "es": "Hola, le llamo como le prometí.",
}
"""How a call back begins, by language."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterWays:
    """What this installation can do after a call.

    send: the channel by which a result is sent; None: there is none. hook: whether the operator has a function of
    their own for calling back. uri: else whom a worker dials, a SIP URI with {caller} in it; None: it can't.
    """

    send: str | None = None
    hook: bool = False
    uri: str | None = None

    def channels_for(self, wanted: Iterable[Way], caller: str, call_back_to: Iterable[str] = ("*",)) -> dict[Way, str]:
        """Return the ways that a caller may be offered, each with its channel. call_back_to: patterns of callers."""
        found: dict[Way, str] = {}
        for way in wanted:
            if way == "send" and self.send is not None:
                found["send"] = self.send
            elif way == "call_back" and self._calls_back(caller, call_back_to):
                found["call_back"] = "call_back"
        return found

    def combinations(self, wanted: Iterable[Way]) -> list[tuple[Way, ...]]:
        """Return every choice of ways that some caller of an agent may have."""
        possible = {"send": self.send is not None, "call_back": self.hook or self.uri is not None}
        ways = [way for way in dict.fromkeys(wanted) if possible[way]]
        return [(way,) for way in ways] + ([tuple(ways)] if len(ways) > 1 else [])

    def _calls_back(self, caller: str, patterns: Iterable[str]) -> bool:
        if not any(fnmatchcase(caller, pattern) for pattern in patterns):
            return False
        if self.hook:
            return bool(caller) and not is_nobody(caller)
        return self.uri is not None and call_back_uri(self.uri, caller) is not None


def is_nobody(caller: str) -> bool:
    """Whether a caller hides who they are."""
    return caller.lower() in NOBODY or caller.lower().endswith(".invalid")


def call_back_uri(template: str, caller: str) -> str | None:
    """Return the URI by which a caller is called back; None for one who hides, or is no plain number or name."""
    if not PLAIN_USER.fullmatch(caller) or is_nobody(caller) or _is_address(caller):
        return None
    return template.replace(CALLER, caller)


def offer_words(
    possible: Iterable[Way], own: Mapping[str, str], by_language: Mapping[str, Mapping[str, str]], language: str
) -> str | None:
    """Return the words of the offer for what is possible; None where nothing is, or "" was given for it.

    own, by_language: the operator's; else ours, in English where there are none for the language (a BCP 47 tag).
    """
    ways = tuple(possible)
    if not ways:
        return None
    key = "both" if len(ways) > 1 else ways[0]
    given = {tag.lower(): words for tag, words in by_language.items()}
    short = language.partition("-")[0].lower()
    for words in (given.get(language.lower(), {}), given.get(short, {}), own, WORDS.get(short, {}), WORDS["en"]):
        if key in words:
            return words[key] or None
    return None


def opening_words(language: str) -> str:
    """Return our own first words of a call back, in English where there are none for the language (a BCP 47 tag)."""
    return OPENINGS.get(language.partition("-")[0].lower(), OPENINGS["en"])


def _is_address(caller: str) -> bool:
    """Whether it is a host's address: what is told of a caller who has no user part."""
    try:
        ipaddress.ip_address(caller)
    except ValueError:
        return False
    return True
