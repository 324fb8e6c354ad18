"""Digits that the caller types for a tool alone, such as a card number or a PIN.

    @tool(mode="queued", effects="once")
    def pay(order: str, card: Annotated[SecretStr, Digits(13, 19, ask="Please type your card number.")]) -> dict:
        \"\"\"Pay an order by card.\"\"\"
        charge(order, card.get_secret_value())

The model calls `pay(order="427")`; the caller is asked for the digits and types them, and they go to the function.
Model, provider, logs, records, journal, recording and Redis do not have them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from tools.errors import ToolDefinitionError

__all__ = ["Digits", "check_digits", "hidden", "shown", "told_of"]

Show = Literal["nothing", "length", "last4"]
LONGEST: Final = 32
HIDDEN: Final = "[typed digits]"


@dataclass(frozen=True, slots=True)
class Digits:
    """In Annotated, on a SecretStr: the caller types this parameter, and the model doesn't see it.

    least, most: how many digits it has. ask: what the caller is asked, in one sentence; "": made of the parameter's
    name. That the hash key ends it is added. show: what the model is told of it: "nothing" but that it was entered, its
    "length", or the "last4" digits too (of eight or more). seconds: that the caller may take for each digit.
    """

    least: int = 1
    most: int = LONGEST
    ask: str = ""
    show: Show = "nothing"
    seconds: float = 10.0


def check_digits(where: str, digits: Digits) -> None:
    """Raise ToolDefinitionError where that can't be."""
    if not 1 <= digits.least <= digits.most <= LONGEST:
        raise ToolDefinitionError(f"{where}: Digits({digits.least}, {digits.most}): give 1 to {LONGEST}, least first")
    if digits.show not in ("nothing", "length", "last4"):
        raise ToolDefinitionError(f"{where}: show={digits.show!r} is wrong: it is one of nothing, length, last4")
    if digits.show == "last4" and digits.least < 8:
        raise ToolDefinitionError(f'{where}: show="last4" tells too much of what may have {digits.least} digits')
    if not 2 <= digits.seconds <= 60:
        raise ToolDefinitionError(f"{where}: seconds={digits.seconds!r} is wrong: give 2 to 60")


def told_of(digits: Mapping[str, Digits]) -> str:
    """Return what the model is told beside a tool's description; "" for a tool that takes none."""
    if not digits:
        return ""
    what = " and ".join(name.replace("_", " ") for name in digits)
    return (
        f" The caller types {what} on the keypad once you have called this: they are asked for it then, and you are"
        " told that it was entered. Never ask them to say it, and do not take it from them in any other way."
    )


def shown(digits: Mapping[str, Digits], typed: Mapping[str, str]) -> dict[str, str]:
    """Return what the model is told of what was typed."""
    return {name: _shown(digits[name], value) for name, value in typed.items()}


def _shown(digits: Digits, value: str) -> str:
    if digits.show == "nothing":
        return "entered"
    ending = f", ending in {value[-4:]}" if digits.show == "last4" else ""
    return f"entered, {len(value)} digits{ending}"


def hidden(text: str, typed: Mapping[str, str]) -> str:
    """Return a text without what was typed, also where it stands there in groups. JSON stays JSON."""
    if not typed:
        return text
    found = re.compile("|".join(rf"(?<!\d){_spaced(value)}(?!\d)" for value in typed.values()))
    try:
        return json.dumps(_without(json.loads(text), found), ensure_ascii=False)
    except (ValueError, RecursionError):
        return found.sub(HIDDEN, text)


def _spaced(value: str) -> str:
    return r"[\s.-]?".join(map(re.escape, value))


def _without(node: Any, found: re.Pattern[str]) -> Any:
    if isinstance(node, str):
        return found.sub(HIDDEN, node)
    if isinstance(node, dict):
        return {found.sub(HIDDEN, key): _without(value, found) for key, value in node.items()}
    if isinstance(node, list):
        return [_without(item, found) for item in node]
    if isinstance(node, int | float) and not isinstance(node, bool) and found.search(str(node)):
        return HIDDEN
    return node
