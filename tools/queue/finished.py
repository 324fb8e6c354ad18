"""How a job ended, as RQ writes it to the job's result stream."""

from __future__ import annotations

import base64
import contextlib
import json
import zlib
from dataclasses import dataclass
from typing import Any, Literal

# Result.Type of RQ
SUCCESSFUL, RETRIED = 1, 4
STOPPED = "stopped"
_STOPPED_TEXT = "stopped by user"

How = Literal["returned", "died", "cancelled", "gone", "never_queued"]


@dataclass(frozen=True, slots=True)
class Finished:
    """How a job ended.

    how: returned (value is what it returned); died (the process that ran it); cancelled (or stopped); gone (its
    record is deleted); never_queued (Redis went away while it was being enqueued, and does not have it).
    """

    how: How
    value: Any = None
    reason: str = ""


def finished(kind: int, fields: dict[bytes, bytes]) -> Finished:
    """Read an entry of a result stream; `kind` is its type, as RQ numbers it."""
    if kind == SUCCESSFUL:
        try:
            return Finished("returned", json.loads(base64.b64decode(fields.get(b"return_value", b""))))
        except ValueError:
            return Finished("returned", None, "the result is not JSON")
    reason = ""
    with contextlib.suppress(ValueError, zlib.error):
        reason = zlib.decompress(base64.b64decode(fields.get(b"exc_string", b""))).decode(errors="replace")
    if _STOPPED_TEXT in reason:
        return Finished("cancelled", reason=STOPPED)
    return Finished("died", reason=_last_line(reason))


def _last_line(text: str) -> str:
    """The kind of failure only: the rest of a traceback may hold arguments."""
    line = text.strip().rpartition("\n")[2]
    return line.partition(":")[0][:120] if "Error" in line or "Exception" in line else line[:120]
