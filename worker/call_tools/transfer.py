"""The function by which the model hands a call on: to whom it may, and what it has to say for it. Pure.

The model names a label. The URI behind it is the operator's, from the agent file: none comes from model or caller.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from telephony.sip.number import matches
from worker.call_tools.later import Way
from worker.turns.state import TRANSFER_CALL

__all__ = [
    "NOT_BROUGHT",
    "OFFERS",
    "PROMISED",
    "PROMISE_TRANSFER",
    "TRANSFER_CALL",
    "Target",
    "Wanted",
    "comfort_words",
    "not_accepted",
    "open_to",
    "promise_transfer_function",
    "ringing_words",
    "transfer_call_function",
    "wanted",
]

PROMISE_TRANSFER = "promise_transfer"
SUMMARY_CHARS = 1000
"""Of the model's summary; the rest of a longer one is left out."""

Unanswered = Literal["tell", "call_back", "send"]
"""The model tells the caller, and no more; it offers that they are called back and put through then; or that a note of
who called and what they want is sent by the installation's channel."""

TransferWay = Literal["blind", "attended"]
WAYS: Mapping[TransferWay, str] = {
    "blind": "the caller is put through at once",
    "attended": "they are told your summary first, and may decline",
}

OFFERS: Mapping[Way, str] = {
    "call_back": "Offer to call them back later and put them through then. If they want it, call promise_transfer.",
    "send": "Offer to leave a note of who called and what they want. If they want it, call promise_transfer.",
}
"""Told to the model beside the outcome, where that may be promised."""
PROMISED: Mapping[Way, str] = {
    "call_back": "Tell the caller that they will be called back.",
    "send": "Tell the caller that the note has been taken and will be passed on.",
}
NOT_BROUGHT = (
    "Nobody took the call when the caller was to be put through in the earlier call. Say so in a few words, and ask"
    " whether you shall put them through now; if they want it, call transfer_call."
)

NOTES: Mapping[str, str] = {
    "busy": "They are on the telephone. Tell the caller, who is still with you, and ask how else you can help.",
    "declined": "They do not take the call now. Tell the caller, who is still with you, and ask how else you can help.",
    "voicemail": "A voice mailbox answers there. Tell the caller, who is still there, and ask how else you can help.",
    "no_answer": "Nobody answers there. Tell the caller, who is still with you, and ask how else you can help.",
    "failed": "It could not be done. Tell the caller, who is still with you, and ask how else you can help.",
}
COMFORT: Mapping[str, tuple[str, ...]] = {
    "en": ("I am putting you through.", "One moment, please.", "Thank you for waiting."),
    "de": ("Ich verbinde Sie.", "Einen Moment, bitte.", "Danke für Ihre Geduld."),
    "fr": ("Je vous mets en relation.", "Un instant, s'il vous plaît.", "Merci de patienter."),
    "es": ("Le paso la llamada.", "Un momento, por favor.", "Gracias por esperar."),
}
"""What the caller hears meanwhile, where the agent file has nothing of its own for transfer_call."""
RINGS: Mapping[str, str] = {"en": "It is ringing.", "de": "Es klingelt.", "fr": "Ça sonne.", "es": "Está sonando."}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Somebody to whom calls may be handed on."""

    label: str
    uri: str
    description: str = ""
    callers: tuple[str, ...] = ("*",)
    """Patterns of the callers who may be handed on to them."""
    ways: tuple[TransferWay, ...] = ("blind",)
    """In order of preference."""
    account: str | None = None
    """The account that we dial them by; None: that of their host, or of the call."""
    refer: bool = True
    """Whether the caller's side is asked to call them (REFER) before we call them ourselves."""
    ring_s: float = 30.0
    """How long they may ring."""
    brief_s: float = 30.0
    """How long they have for it to take the call, where they are asked (attended)."""
    briefing: str | None = None
    """What they are told then, with {summary} in it; None: words of ours."""
    unanswered: Unanswered = "tell"
    """What becomes of it where they don't take the call."""
    call_back_s: float = 300.0
    """So long after the call at the earliest is the caller called back, where that was promised."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a call of the function asks for. fault: what is wrong with it, in words for the model."""

    target: Target | None = None
    way: TransferWay = "blind"
    summary: str = ""
    fault: str = ""


def open_to(targets: Iterable[Target], caller: str) -> tuple[Target, ...]:
    """Return the targets to which this caller may be handed on."""
    return tuple(one for one in targets if any(matches(caller, pattern) for pattern in one.callers))


def transfer_call_function(targets: Sequence[Target]) -> Mapping[str, Any]:
    """Return the function for these targets, of which there is one at least."""
    to = "; ".join(f"{one.label}: {one.description}" if one.description else one.label for one in targets)
    properties: dict[str, Any] = {
        "to": {"type": "string", "enum": [one.label for one in targets], "description": to},
        "summary": {
            "type": "string",
            "description": "Who calls and what they want, in one or two sentences, as it can be said to whom you put"
            " them through.",
        },
    }
    ways = list(dict.fromkeys(way for one in targets for way in one.ways))
    if len(ways) > 1:
        described = "; ".join(f"{way}: {WAYS[way]}" for way in ways)
        properties["way"] = {"type": "string", "enum": ways, "description": f"{described}. Left out: as is usual."}
    return {
        "type": "function",
        "name": TRANSFER_CALL,
        "description": "Put the caller through to somebody. Tell the caller first what you do; they hear your words to"
        " their end. Where it does not come about you are told why, and go on talking with the caller.",
        "parameters": {
            "type": "object",
            "properties": properties,
            "required": ["to", "summary"],
            "additionalProperties": False,
        },
    }


def promise_transfer_function(targets: Sequence[Target]) -> Mapping[str, Any]:
    """Return the function that promises what is to become of a transfer that did not come about."""
    return {
        "type": "function",
        "name": PROMISE_TRANSFER,
        "description": "Promise the caller what you have just offered, after transfer_call did not reach somebody. Only"
        " when the caller wants it.",
        "parameters": {
            "type": "object",
            "properties": {"to": {"type": "string", "enum": [one.label for one in targets]}},
            "required": ["to"],
            "additionalProperties": False,
        },
    }


def wanted(arguments: str, targets: Sequence[Target]) -> Wanted:
    """Read the function's arguments (JSON): only what the list of targets allows comes of it."""
    try:
        values = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        return Wanted(fault="The arguments have to be a JSON object.")
    label = values.get("to")
    target = next((one for one in targets if one.label == label), None)
    if target is None:
        return Wanted(fault=f"'to' has to be one of: {', '.join(one.label for one in targets)}.")
    way = values.get("way") or target.ways[0]
    if way not in target.ways:
        return Wanted(fault=f"'way' has to be one of: {', '.join(target.ways)}.")
    summary = values.get("summary")
    text = " ".join(summary.split()) if isinstance(summary, str) else ""
    return Wanted(target, way, "".join(char for char in text if char.isprintable())[:SUMMARY_CHARS])


def not_accepted(outcome: str, label: str, sip_status: int) -> dict[str, Any]:
    """Return the function's output where the call was not handed on."""
    found: dict[str, Any] = {"status": outcome, "to": label, "note": NOTES[outcome]}
    return {**found, "sip_status": sip_status} if sip_status else found


def comfort_words(language: str) -> tuple[str, ...]:
    """Return what a caller hears who is being put through (a BCP 47 tag; English where there is nothing for it)."""
    return COMFORT.get(language.partition("-")[0].lower(), COMFORT["en"])


def ringing_words(language: str) -> str:
    """Return what a caller hears when the target rings."""
    return RINGS.get(language.partition("-")[0].lower(), RINGS["en"])
