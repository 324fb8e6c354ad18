"""How a job ended, as RQ writes it to the job's result stream."""

from __future__ import annotations

import base64
import contextlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

# Result.Type of RQ
SUCCESSFUL, RETRIED = 1, 4
STOPPED = "stopped"
_STOPPED_TEXT = "stopped by user"

NEVER_RAN = "it was not run"
"""In the words of a failure: the job was put away before its tool was begun."""

How = Literal["returned", "died", "cancelled", "gone", "never_queued", "never_ran"]


@dataclass(frozen=True, slots=True)
class Finished:
    """How a job ended.

    how: returned (value is what it returned); died (the process that ran it); cancelled (or stopped); gone (its
    record is deleted); never_queued (Redis went away while it was being enqueued, and does not have it); never_ran (the
    job was damaged, and put away as it was).
    """

    how: How
    value: Any = None
    reason: str = ""


def kind_of(fields: Mapping[bytes, bytes]) -> int:
    """Return an entry's type, as RQ numbers it; 0 for one of nobody's."""
    text = fields.get(b"type", b"")
    return int(text) if text.isdigit() else 0


def finished(kind: int, fields: dict[bytes, bytes]) -> Finished:
    """Read an entry of a result stream; `kind` is its type, as RQ numbers it."""
    if kind == SUCCESSFUL:
        try:
            return Finished("returned", json.loads(base64.b64decode(fields.get(b"return_value", b""))))
        except (ValueError, RecursionError):
            return Finished("returned", None, "the result is not JSON")
    reason = ""
    with contextlib.suppress(ValueError, zlib.error):
        reason = zlib.decompress(base64.b64decode(fields.get(b"exc_string", b""))).decode(errors="replace")
    if _STOPPED_TEXT in reason:
        return Finished("cancelled", reason=STOPPED)
    if NEVER_RAN in reason:
        return Finished("never_ran", reason=reason.strip()[:200])
    return Finished("died", reason=_last_line(reason))


def _last_line(text: str) -> str:
    """The kind of failure only: the rest of a traceback may hold arguments."""
    line = text.strip().rpartition("\n")[2]
    return line.partition(":")[0][:120] if "Error" in line or "Exception" in line else line[:120]
