"""A tool call as the model asked for it."""

from __future__ import annotations

from dataclasses import dataclass, field

from tools.queue import names


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRequest:
    """One tool call. The two ids together say which: the same pair is the same tool call, however often it comes.

    call_id: our id of the phone call. tool_call_id: the provider's. arguments: JSON text, not yet checked.
    caller, dialled: as the call has them.
    """

    call_id: str
    tool_call_id: str
    name: str
    arguments: str = field(repr=False)
    caller: str = field(default="", repr=False)
    dialled: str = field(default="", repr=False)

    @property
    def job_id(self) -> str:
        """The id that its job has if it is queued."""
        return names.job_id(self.call_id, self.tool_call_id)

    def step_id(self, key: str) -> str:
        """The id of the job for one step of the call's chain; "" is the tool call itself."""
        return names.job_id(self.call_id, f"{self.tool_call_id}-{key}") if key else self.job_id
