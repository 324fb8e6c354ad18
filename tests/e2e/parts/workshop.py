"""Tools of the scenes on how tools are run: they wait for a file, meet each other, fail, and count their runs.

What they do is marked in files of SHOP_FOLDER: a line for each run, with the process and the time.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from tools import Needs, ToolContext, ToolError, tool

FOLDER = Path(os.environ.get("SHOP_FOLDER", "."))
GATE_S = 20.0
"""A tool that waits in vain ends by itself."""


def mark(name: str) -> int:
    """Count a run; returns how many there were."""
    with open(FOLDER / name, "a") as file:
        file.write(f"{os.getpid()} {time.time()}\n")
    return len((FOLDER / name).read_text().splitlines())


def wait_for(*names: str) -> None:
    give_up = time.monotonic() + GATE_S
    while not all((FOLDER / name).exists() for name in names):
        if time.monotonic() > give_up:
            raise RuntimeError(f"there never was all of {names}")
        time.sleep(0.02)


def wait_inside(name: str) -> None:
    """Begin, wait until the scene opens the gate, end."""
    mark(f"{name}.started")
    wait_for(f"{name}.open")
    mark(f"{name}.ended")


@tool(mode="queued", timeout=25, on_hangup="cancel")
def gated(name: str) -> dict[str, str]:
    """Take as long as the scene wants."""
    wait_inside(name)
    return {"done": name}


@tool(mode="queued", timeout=25, on_hangup="cancel", on_barge_in="cancel")
def fickle(name: str) -> dict[str, str]:
    """Look for something that is not wanted any more once the caller says something else."""
    wait_inside(name)
    return {"done": name}


@tool(mode="queued", timeout=25, on_hangup="cancel", effects="once")
def pay(name: str) -> dict[str, str]:
    """Pay, which must not happen twice; takes as long as the scene wants."""
    wait_inside(name)
    return {"paid": name}


@tool(mode="queued", timeout=25, on_hangup="cancel")
def counted(name: str, context: ToolContext) -> dict[str, int]:
    """Say how far it is, at each gate that opens."""
    for step in ("one of three", "two of three"):
        context.progress(step)
        wait_for(f"{name}.{step.partition(' ')[0]}")
    return {"all": 3}


@tool(mode="queued", timeout=1.5, on_hangup="cancel", filler="Let me see.")
def overlong(name: str) -> dict[str, str]:
    """Take longer than it may."""
    wait_inside(name)
    return {}


@tool(mode="queued", timeout=20, effects="idempotent", retries=2, backoff=1)
def flaky(name: str, good_at: int) -> dict[str, int]:
    """Fail until the given try."""
    if (tries := mark(name)) < good_at:
        raise RuntimeError(f"try {tries}")
    return {"tries": tries}


@tool(mode="queued", timeout=20)
def breaks(name: str) -> dict[str, int]:
    """Fail the first time."""
    if (tries := mark(name)) < 2:
        raise RuntimeError(f"try {tries}")
    return {"tries": tries}


@tool(mode="queued", timeout=20, cache=600)
def price(article: str) -> dict[str, int]:
    """Tell a price, which is good for ten minutes."""
    return {"price": mark(f"price.{article}")}


@tool(mode="inline", timeout=20, cache=1)
def rate(currency: str) -> dict[str, int]:
    """Tell a rate, which is good for a second."""
    return {"rate": mark(f"rate.{currency}")}


@tool(mode="queued", timeout=25, effects="idempotent")
def find_order(order: str) -> dict[str, str]:
    """Find an order."""
    wait_inside(f"find.{order}")
    if order == "none":
        raise ToolError("There is no such order.")
    return {"order": order, "address": "1 Main Street"}


@tool(mode="queued", timeout=25)
def route(number: str, found: Annotated[dict[str, Any], Needs("find_order", order="number")]) -> dict[str, Any]:
    """Find the way to where an order goes."""
    mark(f"route.{number}")
    return {"to": found["address"], "km": 12}


@tool(mode="auto", timeout=20)
def weigh(seconds: float) -> dict[str, int]:
    """Take some time; where it runs is left open."""
    time.sleep(seconds)
    return {"pid": os.getpid()}


@tool(mode="auto", timeout=20)
def measure() -> dict[str, int]:
    """Take no time; where it runs is left open."""
    return {"pid": os.getpid()}


@tool(mode="queued", timeout=25)
def meet(name: str, others: list[str]) -> dict[str, str]:
    """Wait until the others run, too."""
    mark(name)
    wait_for(*others)
    return {"met": name}


@tool(mode="inline", timeout=25)
def meet_here(name: str, others: list[str]) -> dict[str, str]:
    """Wait until the others run, too: within the worker."""
    mark(name)
    wait_for(*others)
    return {"met": name}


@tool(mode="queued", timeout=20, secrets="SHOP_KEY")
def unlock(context: ToolContext) -> dict[str, Any]:
    """Use a secret."""
    context.progress("unlocking")
    return {"length": len(context.secrets["SHOP_KEY"]), "known": sorted(context.secrets)}


@tool(mode="inline", timeout=20, secrets="SHOP_KEY")
def unlock_here(context: ToolContext) -> dict[str, Any]:
    """Use a secret, within the worker."""
    return {"length": len(context.secrets["SHOP_KEY"]), "known": sorted(context.secrets)}


@tool(mode="queued", timeout=20, secrets="SHOP_KEY")
def leak(context: ToolContext) -> None:
    """Fail with a secret in the error's text."""
    raise ConnectionError(f"vault.internal refuses {context.secrets['SHOP_KEY']}")


@tool(mode="inline", timeout=20, secrets="SHOP_KEY")
def leak_here(context: ToolContext) -> None:
    """Fail with a secret in the error's text, within the worker."""
    raise ConnectionError(f"vault.internal refuses {context.secrets['SHOP_KEY']}")


@tool(mode="queued", timeout=20)
def sold_out() -> None:
    """Fail with words for the caller."""
    raise ToolError("That article is sold out until May.")


@tool(mode="queued", timeout=20)
def articles(count: int) -> list[dict[str, Any]]:
    """List articles: many."""
    return [{"article": f"Ä{number}", "price": number} for number in range(count)]


@tool(mode="inline", timeout=20)
def articles_here(count: int) -> list[dict[str, Any]]:
    """List articles: many, within the worker."""
    return [{"article": f"Ä{number}", "price": number} for number in range(count)]


@dataclass
class Parcel:
    """What JSON holds as an object."""

    weight: float
    labels: tuple[str, ...]


GIFTS: dict[str, Any] = {
    "parcel": Parcel(1.5, ("fragile", "Ä")),
    "nothing": None,
    "text": "wrapped",
    "date": {"days": ["Monday", date(2026, 1, 1)]},
    "set": {"sizes": {1, 2}},
    "no number": {"price": float("nan")},
    "bytes": [b"\xff\xfe"],
    "of nobody's kind": {"lock": object()},
}


@tool(mode="queued", timeout=20)
def give(kind: str) -> Any:
    """Return one of many things."""
    return GIFTS[kind]


@tool(mode="inline", timeout=20)
def give_here(kind: str) -> Any:
    """Return one of many things, within the worker."""
    return GIFTS[kind]


@tool(mode="queued", timeout=20)
def order_lamps(colour: Literal["red", "green"], count: int, day: date | None = None) -> dict[str, Any]:
    """Order lamps."""
    return {"colour": colour, "count": count, "orders": mark("lamps")}
