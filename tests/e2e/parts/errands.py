"""Tools of the scenes on hanging up. Each begins, waits until the scene lets it go on, and ends; it leaves files."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tools import tool

FOLDER = Path(os.environ.get("SHOP_FOLDER", "."))
GATE_S = 30.0
"""One that waits in vain ends by itself."""


def mark(name: str) -> None:
    with open(FOLDER / name, "a") as file:
        file.write(f"{os.getpid()} {time.time()}\n")


def run_errand(name: str, gate_s: float = GATE_S) -> dict[str, str]:
    mark(f"{name}.started")
    give_up = time.monotonic() + gate_s
    while not (FOLDER / f"{name}.open").exists():
        if time.monotonic() > give_up:
            raise RuntimeError("nobody opened the gate")
        time.sleep(0.02)
    mark(f"{name}.ended")
    return {"done": name}


@tool(mode="queued", timeout=30, on_hangup="cancel")
def browse(name: str) -> dict[str, str]:
    """Look for something, for the caller alone."""
    return run_errand(name)


@tool(mode="queued", timeout=30, on_hangup="finish", summary="put an order together")
def pack(name: str) -> dict[str, str]:
    """Put an order together, whatever the caller does."""
    return run_errand(name)


@tool(mode="queued", timeout=30, on_hangup="finish_and_notify", effects="once")
def book(name: str) -> dict[str, str]:
    """Book, and tell whoever has hung up."""
    return run_errand(name)


@tool(mode="queued", timeout=58, on_hangup="cancel")
def search(name: str) -> dict[str, str]:
    """Look for something for longer than anybody stays on the telephone."""
    return run_errand(name, 57)
