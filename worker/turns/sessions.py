"""The sessions' part of the turn machine: one after the other, with what is open carried over. Pure."""

from __future__ import annotations

from worker.realtime import events as realtime
from worker.turns.approvals import ApprovalTurns
from worker.turns.caller import CallerTurns
from worker.turns.events import Command, Purpose
from worker.turns.floor import Floor, FloorEdge, Slot
from worker.turns.interruptions import Interruptions
from worker.turns.remote import RemoteTurns
from worker.turns.state import TurnState
from worker.turns.tools import ToolTurns

__all__ = ["SessionTurns"]


class SessionTurns:
    """What begins and ends with a session."""

    def __init__(
        self,
        state: TurnState,
        tools: ToolTurns,
        remote: RemoteTurns,
        interruptions: Interruptions,
        approvals: ApprovalTurns,
        caller: CallerTurns,
    ) -> None:
        self._state = state
        self._tools = tools
        self._remote = remote
        self._interruptions = interruptions
        self._approvals = approvals
        self._caller = caller
        self._greeted = False

    def ready(self, event: realtime.SessionReady, now: float) -> list[Command]:
        """There is a session."""
        state = self._state
        state.connected = True
        state.waiting.reset(now)
        self._remote.session_ready(now, resumed=event.resumed)
        if not self._greeted and state.config.greeting:
            state.owed.want_first(Purpose.GREETING, state.config.greeting)
        self._greeted = True
        return []  # what had to wait for it is released now

    def connection_lost(self, event: realtime.ConnectionLost, now: float) -> list[Command]:
        """There is none any more."""
        if event.reason == realtime.RECYCLED:
            self._state.unheard = None  # it was there, and took it for no speech
        return self.lost(now)

    def lost(self, now: float) -> list[Command]:
        """Nothing of the session's comes any more; what it owed is owed by the next one."""
        state = self._state
        idle, state.connected = state.idle, False
        stood = state.slot.state is Slot.ACTIVE and state.pending.remote_of(state.slot.response_id)
        if state.slot.lost(now) and not stood:  # else what became of its call is owed, and nothing more
            state.owed.want_again()
        commands = self._remote.session_lost()
        self._tools.session_lost()
        self._interruptions.session_lost()
        self._approvals.session_lost(now)
        commands += self._caller.session_lost(now)
        state.fillers.drop()
        if state.floor is Floor.CALLER:
            # No speech_stopped will come for what was said into the lost session.
            state.move_floor(FloorEdge.CALLER_STOPPED)
            if not state.asking:
                state.owed.want(Purpose.RESUME)
        elif idle and state.unheard_since(now) is not None:
            state.owed.want(Purpose.RESUME)  # it was gone already, and has told of nothing
        return commands
