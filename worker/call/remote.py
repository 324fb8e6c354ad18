"""Tells record, metrics, log and history of the tools that the provider runs in a call, and carries approvals over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from worker.call.conversation import Conversation
from worker.call_tools.approval import Decision, Wanted, words_for_model
from worker.call_tools.approvals import Approvals
from worker.call_tools.durations import UsualTimes
from worker.realtime import remote
from worker.records.telemetry import Telemetry
from worker.turns import events as turn
from worker.turns.remote import LOST

__all__ = ["RemoteTools"]

MODE = "provider"
"""How such a call is run, in the record."""
MOST_NAMES = 128
"""Tools of one server that have a label of their own in the metrics."""
REMEMBERED = 256
GONE = "(it was told to a session that is lost)"
UNKNOWN = "not known: the connection was lost before. Do not make this call again unless the caller asks for it."


@dataclass(slots=True)
class _Call:
    name: str
    tool: str
    """For metrics."""
    arguments: str
    began: float
    """s."""
    ended: bool = False


class RemoteTools:
    """The provider's tool calls in one phone call. Decides nothing."""

    def __init__(
        self,
        call: Telemetry,
        conversation: Conversation,
        usual: UsualTimes,
        feed: Callable[[object], None],
        *,
        approvals: Approvals,
        wanted: Callable[[turn.AskApproval], Wanted],
    ) -> None:
        """approvals: the call's one door for them. wanted: makes what it takes of a request of the provider's."""
        self._call = call
        self._conversation = conversation
        self._usual = usual
        self._feed = feed
        self._door = approvals
        self._wanted = wanted
        self._asking: set[asyncio.Task[None]] = set()
        self._calls: dict[str, _Call] = {}
        self._approvals: dict[str, turn.AskApproval] = {}
        self._listed: dict[str, tuple[str, ...]] = {}
        self._handlers: dict[type[Any], Callable[[Any], None]] = {
            remote.RemoteToolsListed: self._tools_listed,
            remote.RemoteToolsFailed: self._tools_failed,
            remote.RemoteToolStarted: self._started,
            remote.RemoteToolEnded: self._ended,
            remote.RemoteToolOutput: self._output,
        }

    def __contains__(self, tool_call_id: str) -> bool:
        return tool_call_id in self._calls

    def note(self, event: object) -> None:
        """Take one of the provider's events down."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    # --- lists

    def _tools_listed(self, event: remote.RemoteToolsListed) -> None:
        self._listed[event.label] = event.tools[:MOST_NAMES]
        self._call.log.info("mcp_tools_listed", label=event.label, tools=len(event.tools))

    def _tools_failed(self, event: remote.RemoteToolsFailed) -> None:
        self._call.log.warning("mcp_tools_failed", label=event.label, reason=event.reason)

    # --- calls

    def _started(self, event: remote.RemoteToolStarted) -> None:
        call = _Call(
            remote.remote_name(event.label, event.name),
            self._label(event.label, event.name),
            event.arguments,
            self._call.clock(),
        )
        self._calls[event.tool_call_id] = call
        if len(self._calls) > REMEMBERED:
            del self._calls[next(iter(self._calls))]
        self._call.recorder.tool_call_started(self._call.now_ms, event.tool_call_id, call.name, MODE)
        self._call.log.info("tool_call", tool=call.tool, tool_call_id=event.tool_call_id, by=MODE)

    def _ended(self, event: remote.RemoteToolEnded) -> None:
        call = self._calls.get(event.tool_call_id)
        if call is None or call.ended:
            return
        run_s = self._call.clock() - call.began
        self._call.metrics.tool_run.labels(call.tool).observe(run_s)
        self._usual.note(call.name, run_s)
        self._finish(event.tool_call_id, call, "ok" if event.ok else "failed", run_s, "the provider said so")
        self._keep(event.tool_call_id, call, GONE)

    def _output(self, event: remote.RemoteToolOutput) -> None:
        call = self._calls.get(event.tool_call_id)
        if call is None:
            return
        if event.error:
            self._call.log.warning(
                "tool_error", tool=call.tool, tool_call_id=event.tool_call_id, by=MODE, reason=event.error
            )
        self._keep(event.tool_call_id, call, event.error or event.output)

    def given_up(self, command: turn.RemoteGivenUp) -> None:
        """A call is waited for no longer, or its session is lost. An approval that was waited for is gone with it."""
        if self._approvals.pop(command.tool_call_id, None) is not None:
            self._door.withdraw(command.tool_call_id)
        call = self._calls.get(command.tool_call_id)
        if call is None or call.ended:
            return
        lost = command.reason == LOST
        detail = "its session was lost while it ran" if lost else "the provider did not say in time how it ended"
        self._finish(command.tool_call_id, call, "unknown" if lost else "timeout", None, detail)
        if lost:
            self._keep(command.tool_call_id, call, UNKNOWN)

    def _finish(self, tool_call_id: str, call: _Call, status: str, run_s: float | None, detail: str) -> None:
        call.ended = True
        self._call.metrics.tool_calls_total.labels(call.tool, status).inc()
        run_ms = None if run_s is None else run_s * 1000
        recorder = self._call.recorder
        recorder.tool_call_finished(self._call.now_ms, tool_call_id, status, detail=detail, run_ms=run_ms)
        tell = self._call.log.info if status == "ok" else self._call.log.warning
        detail = "" if status == "ok" else detail
        tell("tool_outcome", tool=call.tool, tool_call_id=tool_call_id, by=MODE, status=status, detail=detail)

    def _keep(self, tool_call_id: str, call: _Call, output: str) -> None:
        """For the sessions that follow: they know nothing of it."""
        self._conversation.history.tool_answered(tool_call_id, call.name, call.arguments, output)

    # --- approvals

    def ask(self, command: turn.AskApproval) -> None:
        """Ask whoever may approve a call; returns at once."""
        self._approvals[command.approval_id] = command
        name = self._label(command.label, command.name)
        self._call.log.info("mcp_approval_wanted", tool=name, approval_id=command.approval_id)
        task = asyncio.get_running_loop().create_task(self._ask(command))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _ask(self, command: turn.AskApproval) -> None:
        try:
            decision = await self._door.decide(self._wanted(command))
        except Exception:  # a bug of ours is nobody's yes
            self._call.log.exception("mcp_approval_broke", approval_id=command.approval_id)
            decision = Decision(False, "nobody", "a fault of ours")
        reason = "" if decision.approved else words_for_model(decision)
        self._feed(turn.ApprovalGiven(command.approval_id, decision.approved, reason))

    async def close(self) -> None:
        """The call is over: nobody is asked any more."""
        for task in tuple(self._asking):
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

    def answer(self, command: turn.AnswerApproval) -> None:
        """Tell the provider. A call that is declined is one in the record, too."""
        self._conversation.approve(command)
        wanted = self._approvals.pop(command.approval_id, None)
        if wanted is None:
            return
        tool = self._label(wanted.label, wanted.name)
        told = {"tool": tool, "approval_id": command.approval_id, "approve": command.approve}
        self._call.log.info("mcp_approval_answered", **told, reason=command.reason)
        if not command.approve:
            name = remote.remote_name(wanted.label, wanted.name)
            self._call.recorder.tool_call_started(self._call.now_ms, command.approval_id, name, MODE)
            self._call.recorder.tool_call_finished(self._call.now_ms, command.approval_id, "declined")
            self._call.metrics.tool_calls_total.labels(tool, "declined").inc()
            self._conversation.history.tool_answered(command.approval_id, name, wanted.arguments, "declined")

    def _label(self, label: str, tool: str) -> str:
        """The tool's name for metrics and logs: one that nobody has listed is not repeated."""
        return remote.remote_name(label, tool if tool in self._listed.get(label, ()) else "(unknown)")
