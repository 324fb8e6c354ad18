"""The tools' part of the turn machine: every tool call is answered exactly once, together with its response's. Pure."""

from __future__ import annotations

from worker.realtime import base
from worker.turns.ending import Ending
from worker.turns.events import (
    Command,
    Purpose,
    ResultsTold,
    SendOutput,
    SendResult,
    StartTool,
    ToolFinished,
    ToolProgress,
)
from worker.turns.pending import PendingTool
from worker.turns.state import END_CALL, TurnState

__all__ = ["INTERRUPTED", "PLACEHOLDER", "PLACEHOLDER_S", "ToolTurns"]

INTERRUPTED = '{"status":"not_started","reason":"The caller interrupted. Call it again if it is still wanted."}'
TOO_MANY = '{"status":"not_started","error":"No more tools can be used in this call: too many were."}'
PLACEHOLDER_S = 0.4
"""A tool that took so long is answered with a placeholder, where the model can't speak while a call is open."""
PLACEHOLDER = '{"status":"pending"}'
"""No more than this: a placeholder that describes the result to come makes models call again."""


class ToolTurns:
    """Starts tools, answers their calls, and says when the answer to a response's calls is owed."""

    def __init__(self, state: TurnState) -> None:
        self._state = state
        self._unacknowledged = 0
        self._untold: list[str] = []
        self._telling: dict[str, list[str]] = {}

    @property
    def all_acknowledged(self) -> bool:
        """Whether every output that was sent is in the provider's conversation."""
        return self._unacknowledged == 0

    def requested(self, event: base.ToolCallRequested, now: float) -> list[Command]:
        """The model asks for a tool, or to end the call."""
        state = self._state
        tool = PendingTool(event.tool_call_id, event.name, event.arguments, event.response_id, now)
        if not state.pending.add(tool):
            return []
        if state.slot.discarded(event.response_id):
            # The caller spoke while this was generated: it may not be what they want any more.
            tool.output = INTERRUPTED
            return self._answer(tool)
        if state.pending.refused(event.tool_call_id) and event.name != END_CALL:
            tool.output = TOO_MANY
            return self._answer(tool)
        if event.name == END_CALL:
            tool.output = '{"status":"ending"}'
            if state.ending is None:
                state.ending = Ending("agent", forced=False, since=now, response_id=event.response_id)
            return self._answer(tool)
        if state.quiet:
            state.fillers.sound_ended(now, words=True)
        return [StartTool(tool.tool_call_id, tool.name, tool.arguments)]

    def finished(self, event: ToolFinished, now: float) -> list[Command]:
        """A tool has its outcome."""
        tool = self._state.pending.get(event.tool_call_id)
        if tool is None or tool.output is not None:
            return []
        tool.output = event.output
        return self._answer(tool)

    def progress(self, event: ToolProgress, now: float) -> list[Command]:
        """A tool says how far it is."""
        tool = self._state.pending.get(event.tool_call_id)
        if tool is not None:
            tool.progress = tool.news = event.text
        return []

    def bring(self, tool_call_id: str, name: str, arguments: str, output: str) -> None:
        """Take in a tool call of an earlier conversation: the first session is told of it, and then its outcome."""
        pending, response_id = self._state.pending, f"brought:{tool_call_id}"
        pending.add(PendingTool(tool_call_id, name, arguments, response_id, 0.0, output=output, offered=True))
        pending.response_done(response_id)

    def response_started(self, response_id: str) -> None:
        """A response of the model's own words began: it answers what is in the conversation."""
        if self._untold and self.all_acknowledged:
            self._telling[response_id], self._untold = self._untold, []

    def heard(self, response_id: str) -> list[Command]:
        """The caller begins to hear a response."""
        told = self._telling.pop(response_id, None)
        return [] if told is None else [ResultsTold(tuple(told))]

    def response_done(self, response_id: str, *, given_up: bool) -> None:
        """A response makes no more calls: its answer is owed if all of them have theirs."""
        self._untold += self._telling.pop(response_id, [])  # nothing of it was heard
        if self._state.pending.response_done(response_id) and not given_up:
            self._state.owed.want(Purpose.TOOL_RESULT)

    def item_created(self, event: base.ItemCreated, now: float) -> list[Command]:
        """Something of ours is in the conversation."""
        if event.kind == "function_call_output" and self._unacknowledged > 0:
            self._unacknowledged -= 1
        return []

    def session_ready(self) -> list[Command]:
        """There is a session again: answer what had to wait for it."""
        return [command for tool in self._state.pending.held() for command in self._answer(tool)]

    def session_lost(self) -> None:
        """What the lost session was told is gone with it."""
        self._state.pending.session_lost()
        self._unacknowledged = 0
        for untold in self._telling.values():
            self._untold += untold
        self._telling.clear()

    def hold_places(self, now: float) -> list[Command]:
        """Where the model can't speak while a call is open, close those that take long: their outcomes follow."""
        commands: list[Command] = []
        for tool in self._state.unplaced:
            if tool.started_at + PLACEHOLDER_S <= now:
                tool.placeholder = True
                self._unacknowledged += 1
                commands.append(SendOutput(tool.tool_call_id, PLACEHOLDER))
        return commands

    def wakes(self) -> list[float | None]:
        """When a placeholder is due (s)."""
        return [tool.started_at + PLACEHOLDER_S for tool in self._state.unplaced]

    def _answer(self, tool: PendingTool) -> list[Command]:
        """Answer a call, or hold the outcome until there is a session again."""
        state = self._state
        if not state.connected or tool.output is None:
            return []
        state.pending.answer(tool.tool_call_id)
        self._unacknowledged += not tool.placeholder
        self._untold.append(tool.tool_call_id)
        given_up = state.slot.discarded(tool.response_id) and tool.output == INTERRUPTED
        if tool.name != END_CALL and not given_up and state.pending.complete(tool.response_id):
            state.owed.want(Purpose.TOOL_RESULT)
        if not state.pending.running():
            state.fillers.start_over()
        if tool.placeholder:
            return [SendResult(tool.tool_call_id, tool.name, tool.output)]
        return [SendOutput(tool.tool_call_id, tool.output)]
