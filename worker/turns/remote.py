"""The part of the turn machine for tools that the provider runs: lists, calls, approvals. Pure.

Such a call is open as any other (fillers cover it, a planned change of session and the hang-up wait for it), but
nothing is sent for it: its outcome is in the provider's conversation when it ends. What is ours is that the caller
hears of it. The model may go on by itself, in the same response or in one of its own; else it is asked.
"""

from __future__ import annotations

from collections.abc import Callable

from worker.realtime import remote
from worker.turns.events import (
    AnswerApproval,
    ApprovalGiven,
    AskApproval,
    Command,
    RemoteGivenUp,
    TellModel,
    Unmet,
)
from worker.turns.expectations import TABLE, Expect, Then
from worker.turns.fillers import FillerTurns
from worker.turns.floor import Floor, Slot
from worker.turns.pending import PendingTool
from worker.turns.state import TurnState
from worker.turns.tools import ToolTurns

__all__ = ["GOES_ON_S", "NOBODY", "NOT_ANSWERED", "NOT_LISTED", "RemoteTurns"]

GOES_ON_S = 0.5
"""So long a model has to go on by itself after a call's end: a round trip, and half a filler's grace."""
BEGINS_S = 2.0
"""An approved call that has not begun by then may wait for a response: it is asked for."""
LOST = "session lost"
TIMEOUT = "timeout"
NOBODY = "Nobody approved it in time."
NOT_LISTED = "(The tools of {label} can't be had in this call. If the caller wants what needs them, say so.)"
NOT_ANSWERED = "(The tool {name} has not answered in time: whether it did its work is not known. Tell the caller.)"

GiveUp = Callable[[str, float], list[Command]]
"""Gives up a response, where it is the one in the slot."""


class RemoteTurns:
    """Follows what the provider runs by itself."""

    def __init__(self, state: TurnState, tools: ToolTurns, fillers: FillerTurns) -> None:
        self._state = state
        self._tools = tools
        self._fillers = fillers
        self._approved: dict[str, float] = {}
        """Approvals that were given, and since when their call is to begin."""
        self._goes_on_by: dict[str, float] = {}
        """Calls that have ended, and when the model is asked to tell of them."""
        self._lists: dict[str, float] = {}
        """Servers whose tools are not listed yet, and since when."""
        self._told_missing: set[str] = set()

    # --- lists --------------------------------------------------------------------------------------------------------

    def session_ready(self, now: float, *, resumed: bool) -> None:
        """A session begins: it lists the tools of every server anew."""
        if not resumed:
            self._lists = dict.fromkeys(self._state.config.remote, now)
        self._hold_greeting()

    def media_ready(self, now: float) -> None:
        """The caller is there: what they hear first waits for the lists from now on, if it has to."""
        self._lists = dict.fromkeys(self._lists, now)
        self._hold_greeting()

    def listed(self, event: remote.RemoteToolsListed, now: float) -> list[Command]:
        """The tools of a server are known."""
        self._lists.pop(event.label, None)
        self._hold_greeting()
        return []

    def failed(self, event: remote.RemoteToolsFailed, now: float) -> list[Command]:
        """They can't be had: log and record are told, and the model once."""
        label = event.label or next(iter(self._lists), "")
        since = self._lists.pop(label, now)
        self._hold_greeting()
        return self._missing(label, now - since, event.reason or "the provider could not list them")

    def _missing(self, label: str, waited_s: float, reason: str) -> list[Command]:
        told = Unmet(Expect.TOOLS_LISTED.value, waited_s, Then.GO_ON.value, f"{label}: {reason}")
        if label in self._told_missing:
            return [told]
        self._told_missing.add(label)
        return [told, TellModel(f"missing:{label}", NOT_LISTED.format(label=label or "a server"))]

    def _hold_greeting(self) -> None:
        bound = TABLE[Expect.GREETING_TOOLS].seconds
        self._state.greets_from = max(self._lists.values(), default=0.0) + bound if self._lists else 0.0

    # --- calls --------------------------------------------------------------------------------------------------------

    def started(self, event: remote.RemoteToolStarted, now: float) -> list[Command]:
        """The provider runs a tool."""
        state = self._state
        name = remote.remote_name(event.label, event.name)
        tool = PendingTool(event.tool_call_id, name, event.arguments, event.response_id, now, remote=True)
        self._approved.pop(event.approval_id, None)
        approved = state.pending.answer(event.approval_id)
        if approved is not None:
            tool.fillers = approved.fillers
        elif state.quiet:
            state.fillers.sound_ended(now, words=True)
        state.pending.add(tool, generating=event.response_id in state.purposes)
        state.progress += 1
        return []

    def ended(self, event: remote.RemoteToolEnded, now: float) -> list[Command]:
        """Its outcome is in the conversation."""
        state = self._state
        tool = state.pending.answer(event.tool_call_id)
        return [] if tool is None else self._over(tool, now)

    def _over(self, tool: PendingTool, now: float) -> list[Command]:
        """Nothing more comes of a call: the model tells of it in its response, goes on by itself, or is asked to."""
        state = self._state
        state.progress, state.all_sent = state.progress + 1, False
        if not state.pending.running():
            state.fillers.start_over()
        slot = state.slot
        if slot.state is Slot.ACTIVE and slot.response_id == tool.response_id:
            self._tools.telling(tool.tool_call_id, tool.response_id)
            return self._fillers.give_up_unheard()
        self._tools.untold(tool.tool_call_id, tool.response_id)
        self._goes_on_by[tool.tool_call_id] = now + GOES_ON_S
        self._note_due()
        return []

    def response_started(self, response_id: str, *, own: bool) -> None:
        """A response began. own: the model goes on by itself, and nobody has said anything to it."""
        if own and self._goes_on_by:
            for tool_call_id in self._goes_on_by:
                self._tools.telling(tool_call_id, response_id)
            self._goes_on_by.clear()
            self._note_due()

    # --- approvals ----------------------------------------------------------------------------------------------------

    def approval_wanted(self, event: remote.ApprovalWanted, now: float) -> list[Command]:
        """A call waits for somebody's word: the caller waits with it."""
        state = self._state
        name = remote.remote_name(event.label, event.name)
        tool = PendingTool(event.approval_id, name, event.arguments, event.response_id, now, remote=True, approval=True)
        if not state.pending.add(tool, generating=event.response_id in state.purposes):
            return []
        state.progress += 1
        if state.quiet:
            state.fillers.sound_ended(now, words=True)
        return [AskApproval(event.approval_id, event.label, event.name, event.arguments)]

    def approval_given(self, event: ApprovalGiven, now: float) -> list[Command]:
        """Somebody has decided. What comes too late, or for a session that is gone, decides nothing."""
        tool = self._state.pending.get(event.approval_id)
        if tool is None or not tool.approval:
            return []
        return self._answer(tool, event.approve, event.reason, now)

    def _answer(self, tool: PendingTool, approve: bool, reason: str, now: float) -> list[Command]:
        answer = AnswerApproval(tool.tool_call_id, approve, reason)
        if approve:
            self._approved[tool.tool_call_id] = now
            tool.approval, tool.started_at = False, now  # the tool's time is its own
            return [answer]
        self._state.pending.answer(tool.tool_call_id)
        return [answer, *self._over(tool, now)]

    # --- time ---------------------------------------------------------------------------------------------------------

    def expire(self, now: float, give_up: GiveUp) -> list[Command]:
        """See to what has not come."""
        commands: list[Command] = []
        for tool in self._running():
            if self._due(tool) <= now:
                commands += self._not_approved(tool, now) if tool.approval else self._not_ended(tool, now, give_up)
        for label, since in list(self._lists.items()):
            if since + TABLE[Expect.TOOLS_LISTED].seconds <= now:
                del self._lists[label]
                commands += self._missing(label, now - since, "not listed in time")
        self._ask(now)
        return commands

    def wakes(self, now: float) -> list[float | None]:
        """When something of this is due (s)."""
        lists = (since + TABLE[Expect.TOOLS_LISTED].seconds for since in self._lists.values())
        times = [*(self._due(tool) for tool in self._running()), *lists, *self._goes_on_by.values()]
        if self._state.slot.free:
            times += [since + BEGINS_S for since in self._approved.values()]
        if self._state.greets_from > now:
            times.append(self._state.greets_from)
        return [*times]

    def session_lost(self) -> list[Command]:
        """What the provider ran is gone with its session; whether it was done, nobody knows."""
        state = self._state
        commands: list[Command] = []
        for tool in self._running():
            state.pending.answer(tool.tool_call_id)
            commands.append(RemoteGivenUp(tool.tool_call_id, LOST))
            self._tools.untold(tool.tool_call_id, tool.response_id)
        for pending in (self._approved, self._goes_on_by, self._lists):
            pending.clear()
        state.greets_from = 0.0
        self._note_due()
        return commands

    def _ask(self, now: float) -> None:
        """Have the model tell of calls after which it does not go on by itself."""
        state = self._state
        late = [tool_call_id for tool_call_id, by in self._goes_on_by.items() if by <= now]
        for tool_call_id in late:
            del self._goes_on_by[tool_call_id]
        if late:
            self._note_due()
            self._tools.still_owed()
        waited = [key for key, since in self._approved.items() if since + BEGINS_S <= now]
        if waited and state.slot.free and state.floor is not Floor.CALLER:
            for key in waited:
                del self._approved[key]
            self._tools.ask_to_tell()

    def _running(self) -> list[PendingTool]:
        return [tool for tool in self._state.pending.running() if tool.remote]

    def _due(self, tool: PendingTool) -> float:
        config = self._state.config
        return tool.started_at + (config.approval_s if tool.approval else config.remote_s(tool.name))

    def _not_approved(self, tool: PendingTool, now: float) -> list[Command]:
        told = Unmet(Expect.APPROVAL.value, now - tool.started_at, Then.DECLINED.value, tool.name)
        return [told, *self._answer(tool, False, NOBODY, now)]

    def _not_ended(self, tool: PendingTool, now: float, give_up: GiveUp) -> list[Command]:
        """Wait no longer: the model says so, in a response of its own where this one is stuck."""
        state = self._state
        state.pending.answer(tool.tool_call_id)
        self._approved.pop(tool.tool_call_id, None)
        self._tools.untold(tool.tool_call_id, tool.response_id)
        told = Unmet(Expect.REMOTE_CALL.value, now - tool.started_at, Then.GO_ON.value, tool.name)
        commands: list[Command] = [told, RemoteGivenUp(tool.tool_call_id, TIMEOUT)]
        commands.append(TellModel(f"tool:{tool.tool_call_id}", NOT_ANSWERED.format(name=tool.name)))
        if not state.pending.remote_of(tool.response_id):
            commands += give_up(tool.response_id, now)
        if not state.pending.running():
            state.fillers.start_over()
        self._tools.still_owed()
        return commands

    def _note_due(self) -> None:
        self._state.model_goes_on = bool(self._goes_on_by)
