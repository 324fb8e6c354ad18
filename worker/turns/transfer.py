"""The transfer's part of the turn machine: it begins when the words before it were heard to their end, once. Pure.

Until then the caller may take it back by speaking, as they may a goodbye of the model's. From then on it is a tool call
that runs: it is answered when it did not come about, and where it did the call is over for the agent.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.realtime import events as realtime
from worker.turns.ending import GOODBYE_BOUND_S, HANG_UP_PAD_S, HEARD_BOUND_S
from worker.turns.events import Command, StartTool
from worker.turns.floor import Floor
from worker.turns.pending import PendingTool
from worker.turns.state import TurnState

__all__ = ["ENDING", "STAYS", "UNDER_WAY", "TransferTurns"]

UNDER_WAY = '{"status":"not_started","error":"A transfer is under way already. Wait for its outcome."}'
ENDING = '{"status":"not_started","error":"The call is about to end."}'
STAYS = '{"status":"not_ended","reason":"A transfer is under way: the call ends by itself where it comes about."}'
"""To a model that transfers and hangs up in one go: the second would undo the first."""


@dataclass(slots=True)
class _Held:
    """A transfer that waits for its words to be heard."""

    tool: PendingTool
    since: float
    quiet_since: float | None = None
    """Since when all of them have been sent to the caller (s)."""

    def due(self, said: bool) -> float:
        """When it begins (s), as things stand; said: the words are generated to their end."""
        bound = self.since + (HEARD_BOUND_S if said else GOODBYE_BOUND_S)
        return bound if self.quiet_since is None else min(bound, self.quiet_since + HANG_UP_PAD_S)


class TransferTurns:
    """Holds the model's wish for a transfer until it may begin, and lets no second one in."""

    def __init__(self, state: TurnState) -> None:
        self._state = state
        self._held: _Held | None = None
        self._begun: str | None = None

    @property
    def under_way(self) -> bool:
        """Whether one is held or runs."""
        return self._held is not None or self._runs

    @property
    def held(self) -> bool:
        """Whether one waits for its words to be heard."""
        return self._held is not None

    def refusal(self) -> str | None:
        """The output for a transfer that may not begin; None where it may."""
        if self.under_way:
            return UNDER_WAY
        ending = self._state.ending
        return ENDING if ending is not None and ending.forced else None

    def hold(self, tool: PendingTool, now: float) -> None:
        """Begin this one when the caller has heard what was said before it."""
        tool.held = True
        self._held = _Held(tool, now)
        self._state.ending = None  # a model that says goodbye and transfers means the transfer

    def take_back(self, output: str) -> None:
        """One that has not begun is answered so."""
        held, self._held = self._held, None
        if held is not None and held.tool.output is None:
            held.tool.output = output

    def withdrawn(self, event: realtime.ToolCallsWithdrawn, output: str) -> None:
        """The model no longer waits for these calls: one that has not begun is none."""
        if self._held is not None and self._held.tool.tool_call_id in event.tool_call_ids:
            self.take_back(output)

    def expire(self, now: float) -> list[Command]:
        """Begin it, where its time has come."""
        held = self._held
        if held is None:
            return []
        said, state = self._said(held), self._state
        if not said or not state.silent or state.floor in (Floor.AGENT, Floor.CALLER):
            held.quiet_since = None
        elif held.quiet_since is None:
            held.quiet_since = now
        if held.due(said) > now:
            return []
        self._held, self._begun = None, held.tool.tool_call_id
        held.tool.held = False
        return [StartTool(held.tool.tool_call_id, held.tool.name, held.tool.arguments)]

    def wakes(self) -> list[float | None]:
        """When it is due (s)."""
        return [] if self._held is None else [self._held.due(self._said(self._held))]

    @property
    def _runs(self) -> bool:
        tool = None if self._begun is None else self._state.pending.get(self._begun)
        return tool is not None and tool.output is None

    def _said(self, held: _Held) -> bool:
        return not self._state.pending.generating(held.tool.response_id)
