"""The agent presses keys: where it has called a menu, or is asked for an extension (RFC 4733).

What is pressed may be a number that only the caller and the far side know: it stands in no log and no record.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from telephony.errors import TelephonyError
from worker.call.transfer import Lines
from worker.records.telemetry import Telemetry
from worker.turns.events import StartTool

__all__ = ["SEND_DIGITS", "SEND_DIGITS_FUNCTION", "Keypad"]

SEND_DIGITS: Final = "send_digits"
MOST: Final = 32
PAUSE_S: Final = 0.5
"""What a comma stands for."""
_DIGITS: Final = re.compile(r"[0-9A-D*#,]{1,32}")
SEND_DIGITS_FUNCTION: Final[Mapping[str, Any]] = {
    "type": "function",
    "name": SEND_DIGITS,
    "description": "Press keys of the telephone where the other side asks for it, as menus do. Say nothing meanwhile.",
    "parameters": {
        "type": "object",
        "properties": {
            "digits": {
                "type": "string",
                "description": f"1 to {MOST} of 0-9, *, #, A-D; a comma is a pause of half a second.",
                "pattern": "^[0-9A-D*#,]+$",
                "maxLength": MOST,
            }
        },
        "required": ["digits"],
        "additionalProperties": False,
    },
}


class Keypad:
    """One call's keys. lines: the telephone, once the call has one."""

    def __init__(self, call: Telemetry, lines: Callable[[], Lines | None]) -> None:
        self._call = call
        self._lines = lines

    async def answer(self, command: StartTool) -> dict[str, Any] | None:
        """Press what the model asks for, and return the output of its function call."""
        digits = _digits(command.arguments)
        lines = self._lines()
        if digits is None:
            return {"status": "invalid", "error": f"write digits: 1 to {MOST} of 0-9, *, #, A-D and commas"}
        if lines is None:
            return {"status": "failed", "error": "there is no telephone on which to press keys"}
        try:
            for number, part in enumerate(digits.split(",")):
                if number:
                    await asyncio.sleep(PAUSE_S)
                if part:
                    await lines.send_digits(part)
        except (TelephonyError, OSError) as error:
            self._call.log.warning("keys_not_sent", reason=str(error))
            return {"status": "failed", "error": "the keys could not be sent"}
        self._call.log.info("keys_sent", keys=len(digits.replace(",", "")))
        return {"status": "sent"}


def _digits(arguments: str) -> str | None:
    try:
        given = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return None
    digits = given.get("digits") if isinstance(given, dict) else None
    return digits.upper() if isinstance(digits, str) and _DIGITS.fullmatch(digits.upper()) else None
