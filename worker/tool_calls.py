"""Runs the tool calls of one phone call, and tells its record, the metrics and the log how each went.

Two functions belong to the call itself and are no tools: the caller may ask what is pending, and have it cancelled.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from tools.catalog import ToolRequest
from tools.outcome import Outcome, failure
from worker.call_catalog import CallCatalog
from worker.metrics import Metrics
from worker.pending import PendingTool, PendingTools
from worker.records import Recorder
from worker.turn_events import StartTool, ToolFinished, ToolProgress
from worker.usual import UsualTimes

__all__ = ["CALL_FUNCTIONS", "CANCEL_JOB", "PENDING_JOBS", "ToolCalls"]

PENDING_JOBS = "pending_jobs"
CANCEL_JOB = "cancel_job"
_NOTHING: Mapping[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
CALL_FUNCTIONS: tuple[Mapping[str, Any], ...] = (
    {
        "type": "function",
        "name": PENDING_JOBS,
        "description": "Tell which of this call's tools are still at work, and for how long. For when the caller asks.",
        "parameters": _NOTHING,
    },
    {
        "type": "function",
        "name": CANCEL_JOB,
        "description": "Stop a tool that is still at work. Only when the caller asks for it.",
        "parameters": {
            "type": "object",
            "properties": {"job": {"type": "string", "description": "Its id or name, as pending_jobs gives it."}},
            "required": ["job"],
            "additionalProperties": False,
        },
    },
)
"""What the model can be offered beside the agent's tools."""


class ToolCalls:
    """The tool calls of one phone call. `feed` gets a ToolFinished for each, exactly once, and what they report."""

    def __init__(
        self,
        call_id: str,
        caller: str,
        dialled: str,
        catalog: CallCatalog,
        pending: PendingTools,
        recorder: Recorder,
        metrics: Metrics,
        usual: UsualTimes,
        log: Any,
        clock: Callable[[], float],
        feed: Callable[[object], None],
    ) -> None:
        self._call_id = call_id
        self._caller = caller
        self._dialled = dialled
        self._catalog = catalog
        self._pending = pending
        self._recorder = recorder
        self._metrics = metrics
        self._usual = usual
        self._log = log
        self._clock = clock
        self._feed = feed
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, command: StartTool) -> None:
        """Run a tool call; returns at once."""
        task = asyncio.get_running_loop().create_task(self._run(command))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def hang_up(self) -> None:
        """The call is over: do with each tool that still runs what it declares for that."""
        for request in await self._catalog.hang_up(self._call_id):
            self._log.info("tool_goes_on", tool=request.name, tool_call_id=request.tool_call_id)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, command: StartTool) -> None:
        try:
            found = self._catalog.view.answer(command.name, command.arguments)
            if found is not None:
                self._feed(ToolFinished(command.tool_call_id, found))
                return
            if command.name in (PENDING_JOBS, CANCEL_JOB):
                output = await self._own_function(command)
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
            caller=self._caller,
            dialled=self._dialled,
        )
        return await self._catalog.run(
            request,
            on_started=lambda request, job_id: self._started(request.name, request.tool_call_id, job_id),
            on_progress=lambda request, text: self._feed(ToolProgress(request.tool_call_id, text)),
        )

    def _started(self, name: str, tool_call_id: str, job_id: str | None) -> None:
        spec = self._catalog.spec(name)
        mode = "inline" if spec is None else self._catalog.mode_of(spec)
        self._recorder.tool_call_started(self._clock() * 1000, tool_call_id, name, mode, job_id)

    def _finished(self, command: StartTool, outcome: Outcome) -> None:
        name = self._label(command.name)
        self._metrics.tool_calls_total.labels(name, outcome.status).inc()
        if outcome.wait_ms is not None:
            self._metrics.tool_wait.labels(name).observe(outcome.wait_ms / 1000)
        if outcome.run_ms is not None:
            self._metrics.tool_run.labels(name).observe(outcome.run_ms / 1000)
            self._usual.note(name, outcome.run_ms / 1000)
        self._recorder.tool_call_finished(
            self._clock() * 1000,
            command.tool_call_id,
            outcome.status,
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
        self._feed(ToolFinished(command.tool_call_id, outcome.output))

    def _label(self, name: str) -> str:
        """The tool's name for metrics and logs: what a model made up is not repeated."""
        return name if self._catalog.spec(name) is not None else "(unknown)"

    # --- the call's own functions -------------------------------------------------------------------------------------

    async def _own_function(self, command: StartTool) -> dict[str, Any]:
        if command.name == PENDING_JOBS:
            return {"pending": [self._described(tool) for tool in self._others(command)]}
        wanted = _job_of(command.arguments)
        found = [tool for tool in self._others(command) if wanted in (tool.tool_call_id, tool.name)]
        if not found:
            known = [self._described(tool) for tool in self._others(command)]
            return {"status": "not_found", "error": "Nothing of that id or name is at work.", "pending": known}
        stopped = [tool.name for tool in found if await self._catalog.cancel(self._call_id, tool.tool_call_id)]
        return {"status": "cancelled" if stopped else "too_late", "cancelled": stopped}

    def _others(self, command: StartTool) -> list[PendingTool]:
        own = (PENDING_JOBS, CANCEL_JOB)
        return [t for t in self._pending.running() if t.tool_call_id != command.tool_call_id and t.name not in own]

    def _described(self, tool: PendingTool) -> dict[str, Any]:
        spec = self._catalog.spec(tool.name)
        return {
            "job": tool.tool_call_id,
            "tool": tool.name,
            "what": (spec.summary if spec is not None else None) or tool.name,
            "seconds": round(self._clock() - tool.started_at),
            "progress": tool.progress,
        }


def _job_of(arguments: str) -> str:
    try:
        value = json.loads(arguments)
    except ValueError:
        return ""
    return str(value.get("job", "")) if isinstance(value, dict) else ""
