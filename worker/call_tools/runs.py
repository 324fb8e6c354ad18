"""Runs the tool calls of one phone call, and tells its record, the metrics and the log how each went."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from tools.run.catalog import Catalog
from tools.tool_call.outcome import Outcome, failure
from tools.tool_call.request import ToolRequest
from worker.call_tools.approvals import Approvals
from worker.call_tools.durations import UsualTimes
from worker.call_tools.entries import Entries
from worker.call_tools.functions import CallFunctions, OwnFunction
from worker.call_tools.later import Way
from worker.call_tools.view import CallView
from worker.records.record import CONTINUES
from worker.records.telemetry import Telemetry
from worker.turns.events import CancelTool, ResultsTold, StartTool, ToolFinished, ToolProgress
from worker.turns.pending import PendingTools

__all__ = ["CallTools", "ToolCalls"]


HANG_UP_S = 0.5
"""So long a call's record waits to hear what became of its tools: Redis tells within milliseconds, or is away."""
SPOKEN_INTO = failure(
    "cancelled",
    "The caller spoke while it ran, so it was stopped before it had a result. Call it again if it is still wanted.",
)
"""What the model gets of a tool with on_barge_in="cancel"."""


@dataclass(frozen=True, slots=True)
class CallTools:
    """What a call has of tools: the door that runs them, what of them it is offered, and how long they usually take.

    later: the ways by which this caller may hear of a tool after the call, each with its channel. own: functions of
    the call itself, by name. agent, language: of whom the caller talks to. written_down: the provider tells what the
    caller says, as text.
    """

    catalog: Catalog
    view: CallView
    usual: UsualTimes
    later: Mapping[Way, str] = field(default_factory=dict)
    own: Mapping[str, OwnFunction] = field(default_factory=dict)
    agent: str = ""
    language: str = "en"
    written_down: bool = True


class ToolCalls:
    """The tool calls of one phone call. `feed` gets a ToolFinished for each, exactly once, and what they report."""

    def __init__(
        self,
        call: Telemetry,
        tools: CallTools,
        pending: PendingTools,
        feed: Callable[[object], None],
        secret: Callable[[bool], None] = lambda secret: None,
    ) -> None:
        """secret: gets whether what is on the line must not be kept."""
        self._call = call
        self._call_id = call.info.call_id
        self._tools = tools
        self._catalog = tools.catalog
        self.approvals = Approvals(
            call, tools.view.policy, feed, agent=tools.agent, language=tools.language, voice=tools.written_down
        )
        tools.view.decide = self.approvals.decide
        self.entries = Entries(call, feed, secret, tools.language)
        tools.view.enter = self.entries.enter
        self._own = CallFunctions(call, self._stop, tools.catalog, pending, tools.later, tools.own)
        self._recorder = call.recorder
        self._log = call.log
        self._feed = feed
        self._tasks: set[asyncio.Task[None]] = set()
        self._runs: dict[str, asyncio.Task[None]] = {}
        self._hanging_up: asyncio.Task[None] | None = None
        self._spoken_into: set[str] = set()

    def start(self, command: StartTool) -> None:
        """Run a tool call; returns at once."""
        self._runs[command.tool_call_id] = self._begin(self._run(command))

    def cancel(self, command: CancelTool) -> None:
        """Stop a tool call into which the caller has spoken; returns at once, its outcome comes as any other."""
        self._begin(self._cancel(command.tool_call_id))

    def told(self, command: ResultsTold) -> None:
        """The caller begins to hear how these ended: nothing is owed of them any more. Returns at once."""
        for tool_call_id in command.tool_call_ids:
            self._recorder.result_told(self._call.now_ms, tool_call_id)
            self._begin(self._catalog.told(self._call_id, tool_call_id))

    def _begin(self, body: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(body)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def hang_up(self) -> None:
        """The call is over: do with each tool that still runs what it declares for that, and tell the record.

        Takes `HANG_UP_S` at most; a second time it does nothing. `close` waits for what takes longer.
        """
        if self._hanging_up is not None:
            return
        self.entries.end()
        self.approvals.end()  # who has hung up has approved nothing
        going = {request.tool_call_id: request for request in self._catalog.outliving(self._call_id)}
        self._hanging_up = asyncio.get_running_loop().create_task(self._apply_policies())
        for tool_call_id, request in going.items():
            self._log.info("tool_goes_on", tool=request.name, tool_call_id=tool_call_id)
            self._recorder.tool_call_finished(self._call.now_ms, tool_call_id, CONTINUES)
        stopping = [task for tool_call_id, task in self._runs.items() if tool_call_id not in going]
        await asyncio.wait({self._hanging_up, *stopping}, timeout=HANG_UP_S)
        for tool_call_id in self._recorder.pending():  # nobody knows whether it was stopped
            self._recorder.tool_call_finished(self._call.now_ms, tool_call_id, "unknown")

    async def _apply_policies(self) -> None:
        try:
            await self._catalog.hang_up(self._call_id)
        except Exception:
            self._log.exception("hang_up_broke")

    async def close(self) -> None:
        """Hang up, and wait for nothing any more: tools that go on do so without this call."""
        await self.hang_up()
        if self._hanging_up is not None:
            await self._hanging_up
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _cancel(self, tool_call_id: str) -> None:
        self._spoken_into.add(tool_call_id)
        stopped = await self._stop(tool_call_id)
        self._log.info("tool_cancelled" if stopped else "tool_not_cancelled", tool_call_id=tool_call_id, by="barge-in")

    async def _stop(self, tool_call_id: str) -> bool:
        """Stop a tool that runs, or take back one that waits for its approval."""
        waits = self.approvals.withdraw(tool_call_id) or self.entries.withdraw(tool_call_id)
        return waits or await self._catalog.cancel(self._call_id, tool_call_id)

    async def _run(self, command: StartTool) -> None:
        try:
            await self._answer(command)
        finally:
            del self._runs[command.tool_call_id]

    async def _answer(self, command: StartTool) -> None:
        try:
            found = self._tools.view.now.answer(command.name, command.arguments)
            if found is not None:
                self._feed(ToolFinished(command.tool_call_id, found))
                return
            if command.name in self._own:
                output = await self._own.answer(command)
                if output is not None:
                    self._feed(ToolFinished(command.tool_call_id, json.dumps(output)))
                return
            outcome = await self._run_tool(command)
        except Exception:  # a bug of ours: the model gets its answer all the same
            self._log.exception("tool_call_broke", tool=command.name, tool_call_id=command.tool_call_id)
            outcome = failure("failed", detail="a bug in offhook; see the log")
        self._finished(command, outcome)

    async def _run_tool(self, command: StartTool) -> Outcome:
        self._started(command.name, command.tool_call_id, None)
        self._log.info("tool_call", tool=self._label(command.name), tool_call_id=command.tool_call_id)
        request = ToolRequest(
            call_id=self._call_id,
            tool_call_id=command.tool_call_id,
            name=command.name,
            arguments=command.arguments,
            caller=self._call.info.caller,
            dialled=self._call.info.dialled,
            facts=self._call.info.facts.as_json(),
            traceparent=self._call.traceparent(command.tool_call_id),
        )
        return await self._catalog.run(
            request,
            on_started=lambda request, job_id: self._started(request.name, request.tool_call_id, job_id),
            on_progress=lambda request, text: self._feed(ToolProgress(request.tool_call_id, text)),
            permit=self._tools.view,
        )

    def _started(self, name: str, tool_call_id: str, job_id: str | None) -> None:
        spec = self._catalog.spec(name)
        mode = "inline" if spec is None else self._catalog.mode_of(spec)
        self._recorder.tool_call_started(self._call.now_ms, tool_call_id, name, mode, job_id)

    def _finished(self, command: StartTool, outcome: Outcome) -> None:
        name = self._label(command.name)
        self._call.metrics.tool_calls_total.labels(name, outcome.status).inc()
        if outcome.wait_ms is not None:
            self._call.metrics.tool_wait.labels(name).observe(outcome.wait_ms / 1000)
        if outcome.run_ms is not None:
            self._call.metrics.tool_run.labels(name).observe(outcome.run_ms / 1000)
            self._tools.usual.note(name, outcome.run_ms / 1000)
        self._recorder.tool_call_finished(
            self._call.now_ms,
            command.tool_call_id,
            outcome.status,
            detail=outcome.detail,
            job_id=outcome.job_id,
            wait_ms=outcome.wait_ms,
            run_ms=outcome.run_ms,
        )
        tell = self._log.info if outcome.status == "ok" else self._log.warning
        tell(
            "tool_outcome",
            tool=name,
            tool_call_id=command.tool_call_id,
            job_id=outcome.job_id,
            status=outcome.status,
            detail=outcome.detail,
        )
        spoken_into = command.tool_call_id in self._spoken_into
        self._spoken_into.discard(command.tool_call_id)
        output = SPOKEN_INTO.output if spoken_into and outcome.status == "cancelled" else outcome.output
        self._feed(ToolFinished(command.tool_call_id, output))

    def _label(self, name: str) -> str:
        """The tool's name for metrics and logs: what a model made up is not repeated."""
        return name if self._catalog.spec(name) is not None else "(unknown)"
