"""Tools that take what callers type, loaded by real tool workers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import SecretStr

from tools import Digits, ToolContext, ToolError, tool


@tool(mode="queued", timeout=8, effects="once")
def pay(folder: str, card: Annotated[SecretStr, Digits(13, 19, show="last4")], context: ToolContext) -> dict[str, str]:
    """Pay by card. It says more than it should."""
    number = card.get_secret_value()
    context.progress(f"asking the bank about {number}")
    Path(folder, "paid").write_text(number)
    return {"paid": "yes", "card": number, "shown": str(card)}


@tool(mode="queued", timeout=8)
def breaks(card: Annotated[SecretStr, Digits(13, 19)]) -> None:
    """Crash with it."""
    raise ValueError(f"no such card: {card.get_secret_value()}")


@tool(mode="queued", timeout=8)
def refuses(card: Annotated[SecretStr, Digits(13, 19)]) -> None:
    """Refuse it, and say which."""
    raise ToolError(f"The card {card.get_secret_value()} has expired.")
