"""Tools for the tests, loaded by real tool workers. Side effects go to files, where they can be counted."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Annotated, Any

from tools import Needs, ToolContext, ToolError, tool
from tools.worker.notify import Message

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
async def slow_later(seconds: float, name: str = "slow_later") -> float:
    """Take some time, with await."""
    mark(f"{name}.started")
    await asyncio.sleep(seconds)
    mark(f"{name}.ended")
    return seconds


@tool(mode="queued", timeout=8)
def when() -> dict[str, Any]:
    """Return what JSON can't hold."""
    return {"orders": [{"when": object()}]}


@tool(mode="queued", timeout=8)
def many() -> Any:
    """Return a connection to something."""
    return threading.Lock()


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


@tool(mode="queued", timeout=8, effects="idempotent", retries=2, backoff=0.1)
def flaky(good_at: int, name: str = "flaky") -> dict[str, int]:
    """Fail until the given try."""
    mark(name)
    tries = len((FOLDER / name).read_text().split())
    if tries < good_at:
        raise RuntimeError(f"try {tries}")
    return {"tries": tries}


@tool(mode="queued", timeout=12, effects="idempotent", retries=2, backoff=1)
def dies_first(name: str = "dies") -> dict[str, int]:
    """Take its process with it, the first time; after a pause it works."""
    mark(name)
    tries = len((FOLDER / name).read_text().split())
    if tries < 2:
        os._exit(3)
    return {"tries": tries}


@tool(mode="queued", timeout=8, effects="idempotent", retries=3)
def refuses() -> None:
    """Say why there is no answer: nothing to try again."""
    mark("refuses")
    raise ToolError("We are closed.")


@tool(mode="queued", timeout=8, cache=60)
def price(article: str, currency: str = "EUR") -> dict[str, Any]:
    """Ask for a price, which takes its time."""
    mark("price")
    return {"article": article, "price": 3}


@tool(mode="queued", timeout=8, effects="idempotent")
def find_order(order: str) -> dict[str, Any]:
    """Find an order."""
    mark("find_order")
    if order == "0":
        raise ToolError("There is no such order.")
    return {"order": order, "address": "1 Main Street"}


@tool(mode="queued", timeout=8)
def route(number: str, found: Annotated[dict[str, Any], Needs("find_order", order="number")]) -> dict[str, Any]:
    """Find the way to where an order goes."""
    mark("route")
    return {"to": found["address"], "km": 12}


@tool(mode="queued", timeout=8, effects="once", on_hangup="cancel")
def dispatch(
    number: str,
    way: Annotated[dict[str, Any], Needs("route")],
    found: Annotated[dict[str, Any], Needs("find_order", order="number")],
) -> dict[str, Any]:
    """Send an order out."""
    mark("dispatch")
    return {"sent": found["order"], "km": way["km"]}


@tool(mode="queued", timeout=8, secrets="SHOP_KEY")
def with_secret(context: ToolContext) -> dict[str, Any]:
    """Use a secret."""
    return {"ends_with": context.secrets["SHOP_KEY"][-2:], "known": sorted(context.secrets)}


@tool(mode="auto", timeout=8)
def sometimes(seconds: float) -> dict[str, int]:
    """Take as long as it is told."""
    time.sleep(seconds)
    return {"pid": os.getpid()}


@tool(mode="queued", timeout=8, on_hangup="finish_and_notify")
def report(seconds: float, name: str = "report") -> dict[str, Any]:
    """Make a report, which goes on after the call."""
    mark(f"{name}.started")
    time.sleep(seconds)
    mark(f"{name}.ended")
    return {"lines": 3}


@tool(mode="queued", timeout=8, on_hangup="finish_and_notify", notify="sms")
def text_me() -> dict[str, Any]:
    """Tell it by SMS."""
    time.sleep(0.3)
    return {"told": True}


@tool(mode="queued", timeout=8, on_hangup="finish")
def keeps_on(seconds: float) -> dict[str, Any]:
    """Go on after the call; tell nobody."""
    mark("keeps_on.started")
    time.sleep(seconds)
    return {"done": True}


@tool(mode="queued", timeout=8)
def catalogue(size: int) -> list[dict[str, Any]]:
    """List many articles."""
    return [{"article": f"Ä{number}", "price": number} for number in range(size)]


def send_sms(message: Message) -> None:
    """A hook of the operator's."""
    with open(FOLDER / "sms", "a") as file:
        file.write(f"{message.caller} {message.tool} {message.status} {message.result}\n")


@tool(mode="queued", timeout=8)
def leave() -> None:
    """End the process that runs the job, as if all were well."""
    os._exit(0)


@tool(mode="queued", timeout=8, effects="once")
def leave_paying() -> None:
    """End the process in the middle of a payment."""
    os._exit(0)


@tool(mode="queued", timeout=20)
def with_child() -> None:
    """Start a program and wait for it."""
    child = subprocess.Popen(["sleep", "300"])
    (FOLDER / "child.part").write_text(str(child.pid))
    (FOLDER / "child.part").rename(FOLDER / "child")
    child.wait()
