"""A tool of the scene on recordings: it takes a card that the caller types."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from pydantic import SecretStr

from tools import Digits, tool


@tool(mode="queued", timeout=15, effects="once")
def pay(
    card: Annotated[SecretStr, Digits(13, 19, ask="Please type your card number.", show="last4")],
) -> dict[str, Any]:
    """Pay by card."""
    return {"proof": hashlib.sha256(card.get_secret_value().encode()).hexdigest(), "card": card.get_secret_value()}
