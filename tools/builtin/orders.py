"""An order look-up that takes its time, as a real one would: a tool that runs as a job.

The orders stand in `orders.sqlite` beside this file; `build` makes that file.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from pathlib import Path
from typing import Annotated, Any

from tools import tool

DATABASE = Path(__file__).with_name("orders.sqlite")
DELAY_S = 4.0  # longer than any silence that a caller takes for normal

ORDERS: tuple[tuple[str, str, str | None, str | None], ...] = (
    ("101", "delivered", "DHL", "last Monday"),
    ("102", "delivered", "UPS", "last Tuesday"),
    ("118", "cancelled", None, None),
    ("205", "being packed", None, "next Monday"),
    ("233", "shipped", "DPD", "tomorrow"),
    ("250", "delivered", "DHL", "yesterday"),
    ("271", "shipped", "UPS", "Friday"),
    ("304", "waiting for payment", None, None),
    ("312", "shipped", "DHL", "Wednesday"),
    ("333", "delivered", "DPD", "last Friday"),
    ("356", "being packed", None, "Saturday"),
    ("390", "returned", "UPS", None),
    ("427", "shipped", "DHL", "Thursday"),
    ("428", "being packed", None, "next Tuesday"),
    ("512", "shipped", "DHL", "Monday"),
    ("550", "delivered", "UPS", "last Thursday"),
    ("608", "waiting for payment", None, None),
    ("619", "shipped", "DPD", "Tuesday"),
    ("734", "delivered", "DHL", "last Wednesday"),
    ("777", "shipped", "UPS", "Saturday"),
    ("815", "being packed", None, "next Wednesday"),
    ("900", "cancelled", None, None),
)


@tool(
    mode="queued",
    timeout=20,
    filler=("Let me look that order up.", "I am still looking for it."),
    on_hangup="cancel",
    summary="look up an order",
)
def order_status(
    order: Annotated[str, "The order's number, in digits, such as 427."],
) -> dict[str, Any]:
    """Look up an order by its number: its status, the carrier, and the day on which it arrives."""
    return look_up(order, delay_s=DELAY_S)


def look_up(order: str, *, delay_s: float = 0.0, database: Path = DATABASE) -> dict[str, Any]:
    """Return an order as the model gets it, after `delay_s`; {"found": false} with its number for an unknown one."""
    time.sleep(delay_s)
    number = re.sub(r"\D", "", order)
    query = "SELECT number, status, carrier, arrives FROM orders WHERE number = ?"
    # immutable: no lock and no journal beside the file, which may lie in a read-only installation
    with contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        row = connection.execute(query, (number,)).fetchone()
    if row is None:
        return {"found": False, "order": number}
    names = ("order", "status", "carrier", "arrives")
    return {name: value for name, value in zip(names, row, strict=True) if value is not None}


def build(database: Path = DATABASE) -> None:
    """Write the file of orders anew."""
    database.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "CREATE TABLE orders (number TEXT PRIMARY KEY, status TEXT NOT NULL, carrier TEXT, arrives TEXT)"
        )
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", ORDERS)
