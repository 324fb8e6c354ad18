"""The tools of an agent: list, describe, run. One door for every tool call, whatever it is and however it runs.

`Catalog.run` never raises for the fault of a tool, of the model or of Redis: each of these is an outcome. The same
tool call, asked for twice, is run once and answered twice.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import structlog

from tools.context import ToolContext
from tools.errors import InvalidArguments, QueueUnavailable, ToolDefinitionError
from tools.inline import InlineRunner
from tools.loading import load_tools
from tools.outcome import Outcome, failure
from tools.queued import QueuedRunner
from tools.request import ToolRequest
from tools.schema import nearest
from tools.spec import ToolSpec

__all__ = ["Catalog", "ToolRequest", "load_tools"]

log = structlog.get_logger(__name__)

REMEMBERED = 512  # outcomes of ended tool calls, for a tool call that comes again

OnStarted = Callable[[ToolRequest, str | None], None]
OnProgress = Callable[[ToolRequest, str], None]


@dataclass(slots=True)
class _Running:
    """A tool call that runs, or has ended."""

    request: ToolRequest
    spec: ToolSpec
    task: asyncio.Task[Outcome]
    queued: bool


class Catalog:
    """The tools that are offered, with the two ways to run them. For the event loop's thread."""

    def __init__(
        self,
        specs: Iterable[ToolSpec],
        *,
        inline: InlineRunner,
        queued: QueuedRunner | None = None,
        most_s: float | None = None,
    ) -> None:
        """Take the tools; `most_s` caps every tool's time-out.

        Without `queued` the tools that want a queue run inline: for trying a tool out. Raises `ToolDefinitionError`
        for two tools of one name.
        """
        self._specs: dict[str, ToolSpec] = {}
        for spec in specs:
            if spec.name in self._specs:
                raise ToolDefinitionError(f"two tools are called {spec.name}: rename one of them")
            self._specs[spec.name] = spec
        self._inline = inline
        self._queued = queued
        self._most_s = most_s
        self._calls: OrderedDict[str, _Running] = OrderedDict()

    def spec(self, name: str) -> ToolSpec | None:
        """Return a tool's recipe, None for an unknown name."""
        return self._specs.get(name)

    def specs(self) -> list[ToolSpec]:
        """Return all recipes, in order."""
        return list(self._specs.values())

    def functions(self) -> list[dict[str, Any]]:
        """Return the function tools for a realtime session: type, name, description, parameters."""
        return [spec.as_function() for spec in self._specs.values()]

    def list(self) -> list[dict[str, str]]:
        """Return name and description of each tool."""
        return [{"name": spec.name, "description": spec.description} for spec in self._specs.values()]

    def describe(self, name: str) -> dict[str, Any]:
        """Return all of a tool that may be shown. Raises KeyError with the nearest name for an unknown one."""
        spec = self._specs.get(name)
        if spec is None:
            raise KeyError(self._no_such(name))
        return {
            "name": spec.name,
            "description": spec.description,
            "parameters": spec.signature.parameters,
            "mode": self.mode_of(spec),
            "timeout_s": self._limit(spec),
            "on_hangup": spec.on_hangup,
            "effects": spec.effects,
            "source": spec.source,
        }

    def mode_of(self, spec: ToolSpec) -> str:
        """Return how a tool is run here: inline or queued."""
        return "queued" if spec.queued and self._queued is not None else "inline"

    async def run(
        self,
        request: ToolRequest,
        on_started: OnStarted | None = None,
        on_progress: OnProgress | None = None,
    ) -> Outcome:
        """Run a tool call and return its outcome; for a tool call that runs or has run, that one's.

        `on_started` is told the job's id once it is queued, None for an inline tool. Cancelling this leaves the tool
        running: `cancel` stops it.
        """
        spec = self._specs.get(request.name)
        if spec is None:
            return failure("unknown_tool", self._no_such(request.name), detail="no tool of that name")
        try:
            arguments = spec.signature.bind(request.arguments)
        except InvalidArguments as error:
            return failure("invalid", str(error), detail=error.reason)
        running = self._calls.get(request.job_id)
        if running is None:
            body = self._run(spec, request, arguments, on_started, on_progress)
            task = asyncio.create_task(body, name=f"tool-call-{spec.name}")
            running = _Running(request, spec, task, self.mode_of(spec) == "queued")
            self._remember(running)
        elif running.request != request:
            log.warning("tool_call_id_reused", call_id=request.call_id, tool=request.name)
        return await asyncio.shield(running.task)

    async def cancel(self, call_id: str, tool_call_id: str) -> bool:
        """Stop a tool call that runs; its `run` returns the outcome. False where there was nothing to stop."""
        key = ToolRequest(call_id=call_id, tool_call_id=tool_call_id, name="", arguments="").job_id
        running = self._calls.get(key)
        if running is None or running.task.done():
            return False
        if running.queued and self._queued is not None:
            try:
                return await self._queued.cancel(key) in ("removed", "stopped")
            except QueueUnavailable as error:
                log.warning("tool_not_cancelled", call_id=call_id, tool=running.spec.name, reason=str(error))
                return False
        running.task.cancel()
        return True

    async def hang_up(self, call_id: str) -> tuple[ToolRequest, ...]:
        """Do with a call's running tools what each declares for a hang-up. Returns those that go on to their end."""
        running = self.pending(call_id)
        ending = [request.tool_call_id for request, spec in running if spec.on_hangup == "cancel"]
        await asyncio.gather(*(self.cancel(call_id, tool_call_id) for tool_call_id in ending))
        return tuple(request for request, spec in running if spec.on_hangup != "cancel")

    def pending(self, call_id: str) -> tuple[tuple[ToolRequest, ToolSpec], ...]:
        """Return the tool calls of a call that still run."""
        calls = self._calls.values()
        return tuple((c.request, c.spec) for c in calls if c.request.call_id == call_id and not c.task.done())

    async def _run(
        self,
        spec: ToolSpec,
        request: ToolRequest,
        arguments: dict[str, Any],
        on_started: OnStarted | None,
        on_progress: OnProgress | None,
    ) -> Outcome:
        limit = self._limit(spec)

        def progress(text: str) -> None:
            if on_progress:
                on_progress(request, text)

        try:
            if self._queued is not None and spec.queued:
                return await self._queued.run(
                    spec,
                    request,
                    timeout_s=limit,
                    on_queued=(lambda job_id: on_started(request, job_id)) if on_started else None,
                    on_progress=progress if on_progress else None,
                )
            if on_started:
                on_started(request, None)
            loop = asyncio.get_running_loop()
            context = ToolContext(
                call_id=request.call_id,
                tool_call_id=request.tool_call_id,
                caller=request.caller,
                dialled=request.dialled,
                deadline=time.time() + limit,
                report=lambda text: _from_any_thread(loop, progress, text),
            )
            return await self._inline.run(spec, arguments, context, timeout_s=limit)
        except asyncio.CancelledError:
            return failure("unknown" if spec.effects == "once" else "cancelled", detail="cancelled while it ran")
        except Exception:
            # Our own bug. The model still gets its answer: a tool call must never stay open.
            log.exception("tool_call_broke", call_id=request.call_id, tool=spec.name)
            return failure("unknown" if spec.effects == "once" else "failed", detail="a bug in offhook; see the log")

    def _remember(self, running: _Running) -> None:
        self._calls[running.request.job_id] = running
        if len(self._calls) > REMEMBERED:
            for key, old in self._calls.items():
                if old.task.done():
                    del self._calls[key]
                    break

    def _limit(self, spec: ToolSpec) -> float:
        return spec.timeout_s if self._most_s is None else min(spec.timeout_s, self._most_s)

    def _no_such(self, name: str) -> str:
        near = nearest(name, list(self._specs))
        known = ", ".join(self._specs) or "none"
        hint = f"Did you mean '{near}'?" if near else f"The tools are: {known}."
        return f"There is no tool '{name[:64]}'. {hint}"


def _from_any_thread(loop: asyncio.AbstractEventLoop, listener: Callable[[str], None], text: str) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(listener, text)
