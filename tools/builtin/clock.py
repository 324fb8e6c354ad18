"""The current time: a tool that answers at once, so it runs inline."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tools import ToolError, tool


@tool(mode="inline", timeout=2, summary="look at the clock")
def current_time(
    timezone: Annotated[str | None, "An IANA time zone such as Europe/Berlin; left out: the local time."] = None,
) -> dict[str, str]:
    """Tell the current time, date and day of the week."""
    if not timezone:
        return described(datetime.now().astimezone())
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ToolError("That time zone is not known. Use a name such as Europe/Berlin.") from None
    return described(datetime.now(zone))


def described(moment: datetime) -> dict[str, str]:
    """Return a moment as the model gets it: time (24 hours), date (ISO), weekday, and the zone's short name."""
    return {
        "time": f"{moment:%H:%M}",
        "date": f"{moment:%Y-%m-%d}",
        "weekday": f"{moment:%A}",
        "timezone": moment.tzname() or "",
    }
