"""An appointment book in SQLite. A booking happens once: for one tool call, and for a time that two want at once."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import date, time, timedelta
from pathlib import Path
from typing import Annotated, Any

from tools import ToolContext, ToolError, tool

BOOK = Path(__file__).with_name("appointments.sqlite")
TIMES = [time(hour, minute) for hour in (9, 10, 11, 14, 15) for minute in (0, 30)]
WEEKS = 8
"""So far ahead there are appointments."""

Day = Annotated[date, "The day, such as 2026-12-01."]


@contextlib.contextmanager
def _book() -> Iterator[sqlite3.Connection]:
    """The book, with a transaction that is there as a whole or not at all. Others may have it open: they wait."""
    with contextlib.closing(sqlite3.connect(BOOK, timeout=5.0)) as book, book:
        book.execute(
            "create table if not exists appointment"
            " (day text, time text, name text, caller text, tool_call text unique, primary key (day, time))"
        )
        yield book


def _is_possible(day: date) -> None:
    if not date.today() <= day <= date.today() + timedelta(weeks=WEEKS):
        raise ToolError(f"There are appointments from today on, for {WEEKS} weeks.")
    if day.weekday() >= 5:
        raise ToolError("The practice is closed at weekends.")


@tool(mode="inline", timeout=5, effects="idempotent")
def free_times(day: Day) -> dict[str, Any]:
    """List the times that are free on a day."""
    _is_possible(day)
    with _book() as book:
        taken = {row[0] for row in book.execute("select time from appointment where day = ?", (day.isoformat(),))}
    return {"day": day, "free": [f"{at:%H:%M}" for at in TIMES if f"{at:%H:%M}" not in taken]}


# It goes on when the caller has hung up: what was said yes to is written down.
@tool(mode="queued", timeout=15, effects="once", on_hangup="finish", filler="One moment, I am writing that down.")
def book_appointment(day: Day, at: Annotated[time, "One of free_times."], name: str, context: ToolContext) -> str:
    """Book an appointment, once day, time and name are confirmed."""
    _is_possible(day)
    if at not in TIMES:
        raise ToolError("That is no time for an appointment. Offer one of the free times.")
    if not name.strip():
        raise ToolError("Ask for the caller's name first.")
    row = (day.isoformat(), f"{at:%H:%M}", name.strip(), context.caller, f"{context.call_id}-{context.tool_call_id}")
    try:
        with _book() as book:
            book.execute("insert into appointment values (?, ?, ?, ?, ?)", row)
    except sqlite3.IntegrityError:
        with _book() as book:
            mine = book.execute("select 1 from appointment where tool_call = ?", row[-1:]).fetchone()
        if mine is None:
            raise ToolError("Somebody has just taken that time. Offer another one.") from None
    return f"Booked for {name.strip()}: {day:%A}, {day.day} {day:%B}, {at:%H:%M}."


@tool(mode="queued", timeout=15, effects="idempotent", on_hangup="finish")
def cancel_appointment(day: Day, context: ToolContext) -> str:
    """Cancel the appointment of this caller on a day. Only who has booked it can: the number has to be the same."""
    if not context.caller:
        raise ToolError("An appointment can be cancelled from the number that booked it only.")
    with _book() as book:
        asked = (day.isoformat(), context.caller)
        gone = book.execute("delete from appointment where day = ? and caller = ?", asked).rowcount
    return f"{gone} cancelled." if gone else "This caller has no appointment on that day."
