"""A shop's look-ups: slow systems stand behind them, so they run as jobs, and the caller hears that somebody looks."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Annotated, Any

from tools import Needs, ToolContext, ToolError, tool

SLOW_S = 2.0
"""How long the warehouse takes."""
SHELVES = {("boot", 42): 3, ("boot", 43): 0, ("sandal", 42): 12}
ORDERS = {"427": ("shipped", "Thursday"), "512": ("being packed", "next Monday")}


class Article(StrEnum):
    """What the shop sells: the model can't ask for anything else."""

    BOOT = "boot"
    SANDAL = "sandal"


@tool(mode="queued", timeout=20, effects="idempotent", cache=60, on_hangup="cancel", on_barge_in="cancel")
def stock(article: Article, size: Annotated[int, "European size, 30 to 50."], context: ToolContext) -> dict[str, Any]:
    """Tell how many pairs of an article are in stock in a size."""
    if not 30 <= size <= 50:
        raise ToolError("There are sizes from 30 to 50 only.")
    context.progress("asking the warehouse")
    time.sleep(SLOW_S)
    return {"article": article, "size": size, "pairs": SHELVES.get((article, size), 0)}


@tool(mode="queued", timeout=20, filler="Let me look that order up.", effects="idempotent", on_hangup="cancel")
def order_status(order: Annotated[str, "The order's number, three digits."]) -> dict[str, Any]:
    """Look up an order by its number."""
    time.sleep(SLOW_S / 4)
    if order not in ORDERS:
        raise ToolError(f"There is no order {order}. Ask the caller for the number again.")
    status, arrives = ORDERS[order]
    return {"order": order, "status": status, "arrives": arrives}


@tool(mode="queued", timeout=20)
def arrival(order: str, found: Annotated[dict[str, Any], Needs("order_status")]) -> str:
    """Tell on which day an order arrives."""
    return f"Order {order} arrives on {found['arrives']}."
