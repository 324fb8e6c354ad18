"""Tools for the tests, loaded by real tool workers. Side effects go to files, where they can be counted."""

from __future__ import annotations

import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from tools import ToolContext, ToolError, tool

FOLDER = Path()  # each tool worker of the tests has a working directory of its own
SECRET = "sk-live-0123456789"


def mark(name: str) -> None:
    with open(FOLDER / name, "a") as file:
        file.write(f"{os.getpid()}\n")


@tool(mode="queued", timeout=8)
def add(left: int, right: int) -> int:
    """Add two numbers."""
    return left + right


@tool(mode="queued", timeout=8)
async def add_later(left: int, right: int) -> int:
    """Add two numbers, with await."""
    return left + right


@tool(mode="queued", timeout=8, on_hangup="cancel")
def slow(seconds: float, name: str = "slow") -> dict[str, Any]:
    """Take some time, and leave a mark at the start and at the end."""
    mark(f"{name}.started")
    time.sleep(seconds)
    mark(f"{name}.ended")
    return {"slept": seconds}


@tool(mode="queued", timeout=1.5, effects="once")
def pay(seconds: float, name: str = "pay") -> dict[str, bool]:
    """Pay, once."""
    mark(f"{name}.started")
    time.sleep(seconds)
    return {"paid": True}


@tool(mode="queued", timeout=8)
def stubborn(name: str = "stubborn") -> None:
    """Swallow whatever comes."""
    while True:
        try:
            mark(f"{name}.started")
            time.sleep(60)
        except BaseException:
            mark(f"{name}.swallowed")


@tool(mode="queued", timeout=8)
def when() -> dict[str, Any]:
    """Return what JSON can't hold."""
    return {"orders": [{"when": datetime(2026, 1, 1)}]}


@tool(mode="queued", timeout=8)
def many() -> set[int]:
    """Return a set."""
    return {1, 2}


@tool(mode="queued", timeout=8)
def huge(size: int = 1_000_000) -> str:
    """Return much."""
    return "x" * size


@tool(mode="queued", timeout=8)
def leaky() -> None:
    """Raise with a secret in the message."""
    raise RuntimeError(f"login failed with {SECRET}")


@tool(mode="queued", timeout=8)
def sold_out() -> None:
    """Raise with words for the caller."""
    raise ToolError("That article is sold out until May.")


@tool(mode="queued", timeout=8)
def vanish() -> None:
    """End the process that runs the job."""
    os._exit(3)


@tool(mode="queued", timeout=8)
def steps(context: ToolContext) -> dict[str, Any]:
    """Report progress."""
    context.progress("one of two")
    context.progress("two of two")
    return {"call": context.call_id, "tool_call": context.tool_call_id, "left": context.remaining() > 0}


@tool(mode="queued", timeout=3, effects="once")
def append(key: str, seconds: float = 0.0) -> dict[str, str]:
    """Append a line to a file: the effect that must happen once."""
    time.sleep(seconds)
    with open(FOLDER / "effects", "a") as file:
        file.write(f"{key}\n")
    time.sleep(seconds)
    return {"appended": key}
