"""How a tool call ended, in a form that the model can voice.

An outcome carries two texts: `output` is JSON for the model and holds no internals and no secrets; `detail` is for the
log and holds no values either, only names, types and places.
"""

from __future__ import annotations

import json
import math
import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from pydantic_core import to_jsonable_python

from tools.errors import EffectUnknown, ToolError, ToolUnavailable
from tools.limits import RESULT_LIMIT
from tools.tool_call.pages import outline

Status = Literal[
    "ok", "failed", "timeout", "invalid", "unknown_tool", "cancelled", "unavailable", "unknown", "declined"
]

WORDS: Mapping[Status, str] = {
    "failed": "The tool failed, and nothing more is known about why.",
    "timeout": "The tool took too long and was stopped. It has no result.",
    "cancelled": "The tool call was cancelled before it had a result.",
    "unavailable": "The system that this tool needs can't be reached at the moment. Nothing was done.",
    "unknown": "The connection to the tool was lost in the middle: it is not known whether it was done or not."
    " Say so, and don't try again.",
    "declined": "It was not approved, so it was not done. Don't call it again unless the caller asks for it anew.",
}

_SURROGATE = re.compile("[\ud800-\udfff]")
UNREADABLE = (
    "The tool did run, and what it does is done. Only its answer can't be read. Don't call it again to get the answer."
)
SUMMARY = 2048  # characters of a result that is too large which the model still sees
DEPTH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of one tool call.

    status: ok; failed (it raised, or returned what JSON can't hold); timeout (stopped at its deadline, or never
    started); invalid (arguments); unknown_tool; cancelled; unavailable (nothing was started); unknown (whether its
    effect took place can't be told); declined (it was not approved, and nothing was done).
    output: JSON text for the model. detail: for the log. job_id: None for an inline tool.
    wait_ms: from the tool call to the tool's start. run_ms: how long it ran. None where it isn't known.
    cached: an earlier answer that is still good; nothing ran. handle: of a result that was too large, for `more`.
    """

    status: Status
    output: str
    detail: str = ""
    job_id: str | None = None
    wait_ms: int | None = None
    run_ms: int | None = None
    cached: bool = False
    handle: str | None = None

    def with_times(self, *, wait_ms: int | None, run_ms: int | None) -> Outcome:
        """Return the same outcome with its times, in ms."""
        return replace(self, wait_ms=wait_ms, run_ms=run_ms)

    def of_job(self, job_id: str | None) -> Outcome:
        """Return the same outcome as that of a job."""
        return replace(self, job_id=job_id)

    def as_dict(self) -> dict[str, Any]:
        """Return what a tool worker hands back through Redis."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> Outcome:
        """Read what a tool worker handed back; what isn't one (a job of somebody else's) is a failed outcome."""
        if isinstance(data, dict) and data.get("status") in get_args(Status):
            output = data.get("output")
            if isinstance(output, str):
                return cls(
                    status=data["status"],
                    output=output,
                    detail=str(data.get("detail", "")),
                    wait_ms=_whole(data.get("wait_ms")),
                    run_ms=_whole(data.get("run_ms")),
                    cached=data.get("cached") is True,
                    handle=str(data["handle"]) if data.get("handle") else None,
                )
        return failure("failed", detail="the job's result is no outcome: is another program's worker on the queue?")


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def failure(status: Status, message: str | None = None, *, detail: str = "") -> Outcome:
    """Return an outcome without a result. `message` is for the model; without it, the status' own words."""
    words = message if message is not None else WORDS[status]
    return Outcome(status=status, output=_dump({"status": status, "error": words}), detail=detail)


def worked(output: str) -> bool:
    """Whether this is the output of a tool that did what it is for: no failure, and no answer in a tool's place."""
    try:
        data = json.loads(output)
    except (ValueError, RecursionError):
        return True  # a text of its own
    if not isinstance(data, dict) or not data.keys() <= {"status", "error", "reason"}:
        return True
    return data.get("status") not in (*get_args(Status)[1:], "not_started", "pending")


def raised(error: BaseException) -> Outcome:
    """Return the outcome of a tool that raised: a `ToolError`'s own words, else nothing of the message."""
    if isinstance(error, ToolUnavailable):
        return failure("unavailable", str(error) or None, detail=error.detail)
    if isinstance(error, EffectUnknown):
        return failure("unknown", detail=str(error))
    detail = f"{type(error).__name__} at {_place(error)}"
    return failure("failed", str(error) if isinstance(error, ToolError) else None, detail=detail)


Keep = Callable[[str], tuple[str, int]]


def returned(value: object, *, limit: int = RESULT_LIMIT, keep: Keep | None = None) -> Outcome:
    """Return the outcome of a tool that returned `value`. `keep` stores a text, and returns its handle and pages.

    What JSON does not hold becomes what pydantic makes of it: models and dataclasses objects, dates, Decimals,
    UUIDs and paths text, Enums their values, sets lists. Anything but an object is wrapped as {"result": value}. What
    pydantic doesn't know is a failed outcome whose detail says what stands where; past `limit` bytes the model gets
    the size, an outline, and either a handle to read it by pages or the beginning.
    """
    try:
        plain = to_jsonable_python(value, by_alias=False)
        text = _dump(plain if isinstance(plain, dict) else {"result": plain})
        size = len(text.encode())
    except (Exception, SystemExit):  # a value may be of its author's own kind, and raise anything
        return failure("failed", UNREADABLE, detail=f"the tool returned {_misfit(value) or 'what JSON does not hold'}")
    if size <= limit:
        return Outcome(status="ok", output=text)
    detail = f"result of {size} bytes is over {limit}: cut"
    short: dict[str, object] = {"truncated": True, "bytes": size, "outline": outline(json.loads(text))}
    if keep is None:
        short["note"] = "The answer is too large to be read whole; this is its beginning."
        short["beginning"] = text[:SUMMARY]
        return Outcome(status="ok", output=_dump(short), detail=detail)
    handle, pages = keep(text)
    short["note"] = f"The answer is too large to be read at once. Read it with more(handle, page), page 1 to {pages}."
    short |= {"handle": handle, "pages": pages}
    return Outcome(status="ok", output=_dump(short), detail=detail, handle=handle)


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _misfit(value: object, path: str = "result", depth: int = 0) -> str | None:
    """Say what JSON can't hold and where, by its type and never its value; None where all is well."""
    if value is None or isinstance(value, bool | int):
        return None
    if isinstance(value, float):
        return None if math.isfinite(value) else f"a float that is no number at {path}; return None instead"
    if isinstance(value, str):
        return f"text that is no valid Unicode at {path}" if _SURROGATE.search(value) else None
    if depth > DEPTH:
        return f"something nested deeper than {DEPTH} levels, or a list or dict that holds itself"
    children: Iterable[tuple[object, object]]
    if isinstance(value, dict):
        if odd := next((key for key in value if not _becomes_json({key: 0})), None):
            return f"a {type(odd).__name__} as a key of {path}; the keys of a JSON object are text"
        children = value.items()
    elif isinstance(value, list | tuple | set | frozenset):
        children = enumerate(value)
    elif _becomes_json(value):
        return None
    else:
        return f"a {type(value).__name__} at {path}; return text, numbers, dates, models, lists and dicts"
    found = (_misfit(item, f"{path}[{str(key)[:40]!r}]", depth + 1) for key, item in children)
    return next((text for text in found if text), None)


def _becomes_json(value: object) -> bool:
    try:
        _dump(to_jsonable_python(value, by_alias=False)).encode()
    except (Exception, SystemExit):
        return False
    return True


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "an unknown place"
    last = frames[-1]
    return f"{last.filename.rpartition('/')[2]}:{last.lineno}"
