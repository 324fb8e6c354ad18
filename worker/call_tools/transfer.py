"""The function by which the model hands a call on: to whom it may, and what it has to say for it. Pure.

The model names a label. The URI behind it is the operator's, from the agent file: none comes from model or caller.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from telephony.sip.number import matches
from worker.turns.state import TRANSFER_CALL

__all__ = ["TRANSFER_CALL", "Target", "Wanted", "open_to", "transfer_call_function", "wanted"]

SUMMARY_CHARS = 1000
"""Of the model's summary; the rest of a longer one is left out."""

TransferWay = Literal["blind"]
WAYS: Mapping[TransferWay, str] = {"blind": "the caller is put through at once"}


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
    refer: bool = True
    """Whether the caller's side is asked to call them (REFER) before we call them ourselves."""
    ring_s: float = 30.0
    """How long they may ring."""


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
            "description": "What the caller wants and what was said so far, in one or two sentences.",
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
