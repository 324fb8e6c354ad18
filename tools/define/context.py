"""What a tool may know of the call that it runs for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


def _nowhere(_text: str) -> None:
    """Take a progress report that nobody listens to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """Given to a tool that has a parameter annotated `ToolContext`; the model doesn't see that parameter.

    call_id, tool_call_id: whose tool call it is. caller, dialled: SIP URIs or numbers, as the call has them.
    deadline: Unix time in s at which the call stops waiting. report: where `progress` goes. secrets: those that the
    tool has asked for by name, from the worker's settings; they never are in a job or a log.
    """

    call_id: str
    tool_call_id: str
    caller: str = ""
    dialled: str = ""
    deadline: float = float("inf")
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    report: Callable[[str], None] = field(default=_nowhere, repr=False, compare=False)

    def progress(self, text: str) -> None:
        """Report how far the tool is, in words fit for the caller's ears, such as "two of three"."""
        self.report(text)

    def remaining(self) -> float:
        """Return the seconds left until the deadline, 0 when it has passed."""
        return max(0.0, self.deadline - time.time())
