"""What a tool may know of the call that it runs for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


def _nowhere(_text: str) -> None:
    """Take a progress report that nobody listens to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """Given to a tool that has a parameter annotated `ToolContext`; the model doesn't see that parameter.

    call_id, tool_call_id: whose tool call it is. caller, dialled: SIP URIs or numbers, as the call has them. account:
    which of OFFHOOK_SIP_ACCOUNTS the call came or goes by; "" for none of them.
    deadline: Unix time in s at which the call stops waiting. report: where `progress` goes. secrets: those that the
    tool has asked for by name, from the worker's settings; they never are in a job or a log.

    What else the INVITE said, a stranger's words, empty where it said nothing: display_name; diverted_from, the numbers
    that were dialled before, the last first; diverted_why (user-busy, no-answer, ...); user_to_user (RFC 7433);
    headers, those of OFFHOOK_SIP_HEADERS by their names in lower case.
    """

    call_id: str
    tool_call_id: str
    caller: str = ""
    dialled: str = ""
    deadline: float = float("inf")
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    display_name: str = field(default="", repr=False)
    diverted_from: tuple[str, ...] = field(default=(), repr=False)
    diverted_why: str = field(default="", repr=False)
    user_to_user: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    account: str = ""
    report: Callable[[str], None] = field(default=_nowhere, repr=False, compare=False)

    def progress(self, text: str) -> None:
        """Report how far the tool is, in words fit for the caller's ears, such as "two of three"."""
        self.report(text)

    def remaining(self) -> float:
        """Return the seconds left until the deadline, 0 when it has passed."""
        return max(0.0, self.deadline - time.time())


def invite_facts(given: object) -> dict[str, Any]:
    """Return what a request or a job's payload says of the INVITE, as `ToolContext` takes it; nothing else is taken."""
    if not isinstance(given, Mapping):
        return {}
    names = ("display_name", "diverted_why", "user_to_user", "account")
    found: dict[str, Any] = {name: given[name] for name in names if isinstance(given.get(name), str)}
    if isinstance(diverted := given.get("diverted_from"), list | tuple):
        found["diverted_from"] = tuple(one for one in diverted if isinstance(one, str))
    if isinstance(headers := given.get("headers"), Mapping):
        found["headers"] = {str(name): str(value) for name, value in headers.items()}
    return found
