"""Tools of the scenes. What they do is marked in files of SHOP_FOLDER, where it can be counted."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from tools import tool

FOLDER = Path(os.environ.get("SHOP_FOLDER", "."))


def mark(name: str) -> None:
    with open(FOLDER / name, "a") as file:
        file.write(f"{time.time()}\n")


@tool(mode="queued", timeout=20, filler="Let me look that order up.", on_hangup="cancel")
def order_status(order: str) -> dict[str, Any]:
    """Look up an order by its number; 427 takes longest."""
    time.sleep(6 if order == "427" else 1)
    return {"order": order, "status": "shipped", "carrier": "DHL", "arrives": "Thursday"}


@tool(mode="queued", timeout=15, on_hangup="cancel", summary="take a while")
def slow(seconds: float, name: str) -> dict[str, Any]:
    """Take a while; not to be finished without the caller."""
    mark(f"{name}.started")
    time.sleep(seconds)
    mark(f"{name}.ended")
    return {"slept": seconds}


@tool(mode="queued", timeout=30, on_hangup="finish")
def ship(seconds: float, name: str) -> dict[str, Any]:
    """Take a while; to be finished whatever the caller does."""
    mark(f"{name}.started")
    time.sleep(seconds)
    mark(f"{name}.ended")
    return {"shipped": True}


@tool(mode="queued", timeout=4, on_hangup="cancel")
def doomed(name: str) -> dict[str, Any]:
    """Never come back within the time-out."""
    mark(f"{name}.started")
    time.sleep(60)
    return {}


@tool(mode="queued", timeout=15)
def add(left: int, right: int) -> int:
    """Add two numbers, as a job."""
    return left + right


@tool(mode="inline", timeout=5)
def here(word: str) -> dict[str, str]:
    """Say a word again, within the worker."""
    return {"word": word}


@tool(mode="queued", timeout=15)
def when() -> dict[str, Any]:
    """Return what JSON can't hold."""
    return {"when": object()}


@tool(mode="queued", timeout=15)
def huge() -> str:
    """Return a megabyte."""
    return "x" * 1_000_000
