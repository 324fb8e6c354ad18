"""The sessions' part of the turn machine: one after the other, with what is open carried over. Pure."""

from __future__ import annotations

from worker.realtime import base
from worker.turns.approvals import ApprovalTurns
from worker.turns.events import Command, Purpose
from worker.turns.floor import Floor, FloorEdge
from worker.turns.interruptions import Interruptions
from worker.turns.state import TurnState
from worker.turns.tools import ToolTurns

__all__ = ["SessionTurns"]


class SessionTurns:
    """What begins and ends with a session."""

    def __init__(
        self, state: TurnState, tools: ToolTurns, interruptions: Interruptions, approvals: ApprovalTurns
    ) -> None:
        self._state = state
        self._tools = tools
        self._interruptions = interruptions
        self._approvals = approvals
        self._greeted = False

    def ready(self, event: base.SessionReady, now: float) -> list[Command]:
        """There is a session."""
        state = self._state
        state.connected = True
        state.waiting.reset(now)
        if not self._greeted and state.config.greeting:
            state.owed.want_first(Purpose.GREETING, state.config.greeting)
        self._greeted = True
        return []  # what had to wait for it is released now

    def connection_lost(self, event: base.ConnectionLost, now: float) -> list[Command]:
        """There is none any more."""
        self.lost(now)
        return []

    def lost(self, now: float) -> None:
        """Nothing of the session's comes any more; what it owed is owed by the next one."""
        state = self._state
        state.connected = False
        if state.slot.lost(now):
            state.owed.want_again()
        self._tools.session_lost()
        self._interruptions.session_lost()
        self._approvals.session_lost(now)
        state.fillers.drop()
        if state.floor is Floor.CALLER:
            # No speech_stopped will come for what was said into the lost session.
            state.move_floor(FloorEdge.CALLER_STOPPED)
            if not state.asking:
                state.owed.want(Purpose.RESUME)
