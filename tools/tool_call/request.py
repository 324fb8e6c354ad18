"""A tool call as the model asked for it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_ID_LENGTH = 160
_FORBIDDEN = re.compile(r"[^A-Za-z0-9_-]+")


def job_id(call_id: str, tool_call_id: str) -> str:
    """Return the id of the job for one tool call: the same two ids always give the same job.

    RQ takes letters, digits, `_` and `-` only. Where something had to be replaced or cut, a digest of the ids keeps
    two tool calls apart.
    """
    plain = f"{call_id}-{tool_call_id}"
    safe = _FORBIDDEN.sub("_", plain)[:_ID_LENGTH]
    if safe == plain:
        return plain
    digest = hashlib.sha256(f"{len(call_id)}:{plain}".encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{safe}-{digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRequest:
    """One tool call. The two ids together say which: the same pair is the same tool call, however often it comes.

    call_id: our id of the phone call. tool_call_id: the provider's. arguments: JSON text, not yet checked.
    caller, dialled: as the call has them. facts: what else the INVITE said (`InviteFacts.as_json`). traceparent: the
    tool call's span (W3C Trace Context); "": the call has no trace. typed: what the caller typed, by parameter
    (`tools.define.digits`): it stands in no log and in no store.
    """

    call_id: str
    tool_call_id: str
    name: str
    arguments: str = field(repr=False)
    caller: str = field(default="", repr=False)
    dialled: str = field(default="", repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    traceparent: str = ""
    typed: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def job_id(self) -> str:
        """The id that its job has if it is queued."""
        return job_id(self.call_id, self.tool_call_id)

    def step_id(self, key: str) -> str:
        """The id of the job for one step of the call's chain; "" is the tool call itself."""
        return job_id(self.call_id, f"{self.tool_call_id}-{key}") if key else self.job_id
