"""The tools of an agent: list, describe, run. One door for every tool call, whatever it is and however it runs.

`Catalog.run` never raises for the fault of a tool, of the model or of Redis: each of these is an outcome. The same
tool call, asked for twice, is run once and answered twice.
"""

from __future__ import annotations

import asyncio
import builtins
import functools
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import structlog

from tools.define.approval import words_of
from tools.define.chain import check, wanted_by, wants_queue
from tools.define.digits import shown
from tools.define.loading import load_tools
from tools.define.schema import nearest, values_of
from tools.define.spec import ToolSpec
from tools.errors import InvalidArguments, QueueUnavailable, ToolDefinitionError
from tools.queue import names
from tools.queue.orphans import Orphans
from tools.queue.queued import QueuedRunner
from tools.queue.store.late import LateResult, Orphan
from tools.run.dispatch import Dispatcher, Hearers
from tools.run.inline import InlineRunner
from tools.run.more import more_tool
from tools.tool_call.outcome import Outcome, failure, with_shown
from tools.tool_call.request import ToolRequest, job_id

__all__ = ["Catalog", "ToolRequest", "load_tools"]

log = structlog.get_logger(__name__)

REMEMBERED = 512  # outcomes of ended tool calls, for a tool call that comes again

Promised = Literal["promised", "over", "unavailable"]

OnStarted = Callable[[ToolRequest, str | None], None]
OnProgress = Callable[[ToolRequest, str], None]
Declined = Outcome | None


class Permit(Protocol):
    """Whose tool calls come with it: what one phone call may run, and how often."""

    def refusal(self, request: ToolRequest) -> Outcome | None:
        """Why a tool call is not to be run; None where it may be."""
        ...

    async def approve(self, request: ToolRequest, specs: Sequence[ToolSpec], arguments: Mapping[str, Any]) -> Declined:
        """Wait until a tool call is approved: None then, else its outcome. Nothing of it has been done yet.

        specs: the tool, then what it needs. arguments: as they will run.
        """
        ...

    async def typed(self, request: ToolRequest, spec: ToolSpec) -> Mapping[str, str] | Outcome:
        """Have the caller type what the tool takes of them (`spec.signature.digits`); else the call's outcome."""
        ...

    def ended(self, request: ToolRequest, outcome: Outcome) -> None:
        """One that was not refused has come back."""
        ...


@dataclass(slots=True)
class _Running:
    """A tool call that runs, or has ended. promised: where its end will be told if the caller hangs up before."""

    request: ToolRequest
    spec: ToolSpec
    task: asyncio.Task[Outcome]
    queued: bool
    promised: str | None = None
    cancelled: bool = False

    @property
    def outlives(self) -> bool:
        """Whether it runs, and would go on after a hang-up."""
        return not self.task.done() and (self.spec.on_hangup != "cancel" or self.promised is not None)


class Catalog:
    """The tools that are offered, with the two ways to run them. For the event loop's thread."""

    def __init__(
        self,
        specs: Iterable[ToolSpec],
        *,
        inline: InlineRunner,
        queued: QueuedRunner | None = None,
        most_s: float | None = None,
        secrets: Mapping[str, str] | None = None,
        paged: bool = False,
    ) -> None:
        """Take the tools; `most_s` caps every tool's time-out.

        Without `queued` the tools that want a queue run inline: for trying a tool out. secrets: by name, for tools
        that run in this process and ask for them. paged: adds the tool `more`, with which the model reads results that
        are too large; it takes a queue. Raises `ToolDefinitionError` for two tools of one name, for needs that can't
        be met, and for a missing secret.
        """
        self._more = [more_tool(queued)] if paged and queued else []
        self._secrets = secrets or {}
        self._specs: dict[str, ToolSpec] = {}
        self._queued = queued
        self._orphans = Orphans(queued) if queued else None
        find = self._specs.get
        self._dispatcher = Dispatcher(inline, queued, find, self._secrets, paged=bool(self._more), most_s=most_s)
        self._calls: OrderedDict[str, _Running] = OrderedDict()
        self._hearers: list[Callable[[], None]] = []
        self.replace(specs)

    def replace(self, specs: Iterable[ToolSpec]) -> None:
        """Offer these tools from now on, in the place of those before; tool calls that run go on.

        Raises what the constructor raises, and offers then what it did before.
        """
        found: dict[str, ToolSpec] = {}
        for spec in [*specs, *self._more]:
            if spec.name in found:
                raise ToolDefinitionError(f"two tools are called {spec.name}: rename one of them")
            found[spec.name] = spec
        for spec in found.values():
            check(spec, found.get)
            self._check_digits(spec, found)
            if spec.mode != "queued" or self._queued is None:
                spec.secrets_from(self._secrets)
        self._specs.clear()
        self._specs.update(found)
        for hearer in tuple(self._hearers):
            hearer()

    def _check_digits(self, spec: ToolSpec, found: Mapping[str, ToolSpec]) -> None:
        """What callers type goes into no queue in clear."""
        queued, digits = self._queued, spec.signature.digits
        if digits and queued is not None and not queued.takes_digits and wants_queue(spec, found.get):
            raise ToolDefinitionError(
                f"tool {spec.source}: it is a job and takes what callers type ({', '.join(digits)}):"
                ' set OFFHOOK_DIGITS_KEY (see `offhook keys digits`), or make it mode="inline"'
            )

    def on_change(self, hearer: Callable[[], None]) -> Callable[[], None]:
        """Have `hearer` called after each `replace`. Returns what ends that."""
        self._hearers.append(hearer)
        return lambda: self._hearers.remove(hearer) if hearer in self._hearers else None

    def spec(self, name: str) -> ToolSpec | None:
        """Return a tool's recipe, None for an unknown name."""
        return self._specs.get(name)

    def specs(self) -> list[ToolSpec]:
        """Return all recipes, in order."""
        return list(self._specs.values())

    def functions(self) -> list[dict[str, Any]]:
        """Return the function tools for a realtime session: type, name, description, parameters."""
        return [spec.as_function() for spec in self._specs.values()]

    def may_queue(self) -> builtins.list[str]:
        """Return the names of the tools that run as jobs, or may come to: `auto` ones, and what needs one of these."""
        return [spec.name for spec in self._specs.values() if self._dispatcher.may_queue(spec)]

    def queues(self) -> bool:
        """Tell whether any tool would run as a job now."""
        return any(self.mode_of(spec) == "queued" for spec in self._specs.values())

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
            "timeout_s": self._dispatcher.limit(spec),
            "on_hangup": spec.on_hangup,
            "effects": spec.effects,
            "source": spec.source,
            "version": spec.version,
            "needs": [needs.tool for needs in spec.signature.needs.values()],
            "approval": words_of(spec.approval),
        }

    def mode_of(self, spec: ToolSpec) -> str:
        """Return how a tool is run here: inline or queued."""
        return self._dispatcher.mode_of(spec)

    async def run(
        self,
        request: ToolRequest,
        on_started: OnStarted | None = None,
        on_progress: OnProgress | None = None,
        permit: Permit | None = None,
    ) -> Outcome:
        """Run a tool call and return its outcome; for a tool call that runs or has run, that one's.

        `on_started` is told the job's id once it is queued, None for an inline tool. Where the `permit` refuses, or
        the call is not approved, nothing is run. Cancelling this leaves the tool running: `cancel` stops it.
        """
        if permit is None:
            return await self._join(request, on_started, on_progress)
        refused = permit.refusal(request)
        if refused is not None:
            return refused
        outcome = await self._join(request, on_started, on_progress, permit)
        permit.ended(request, outcome)
        return outcome

    async def _join(
        self,
        request: ToolRequest,
        on_started: OnStarted | None,
        on_progress: OnProgress | None,
        permit: Permit | None = None,
    ) -> Outcome:
        spec = self._specs.get(request.name)
        if spec is None:
            return failure("unknown_tool", self._no_such(request.name), detail="no tool of that name")
        try:
            spec.signature.bind(request.arguments)
        except InvalidArguments as error:
            return failure("invalid", str(error), detail=error.reason)
        if permit is not None and request.job_id not in self._calls:
            arguments = json.loads(spec.signature.canonical(values_of(request.arguments)))
            declined = await permit.approve(request, wanted_by(spec, self._specs.get), arguments)
            if declined is not None:
                return declined
            if spec.signature.digits:
                typed = await permit.typed(request, spec)
                if isinstance(typed, Outcome):
                    return typed
                request = replace(request, typed=typed)
        running = self._calls.get(request.job_id)
        if running is None:
            mode = self.mode_of(spec)
            body = self._run(spec, request, mode, on_started, on_progress)
            task = asyncio.create_task(body, name=f"tool-call-{spec.name}")
            running = _Running(request, spec, task, mode == "queued")
            self._remember(running)
        elif running.request != request:
            log.warning("tool_call_id_reused", call_id=request.call_id, tool=request.name)
        outcome = await _end_of(running.task)
        typed = running.request.typed
        return with_shown(outcome, shown(running.spec.signature.digits, typed)) if typed else outcome

    async def cancel(self, call_id: str, tool_call_id: str) -> bool:
        """Stop a tool call that runs; its `run` returns the outcome. False where there was nothing to stop.

        What was promised of it is not wanted any more.
        """
        running = self._calls.get(job_id(call_id, tool_call_id))
        if running is None or running.task.done():
            return False
        if running.queued and self._queued is not None:
            try:
                stopped = await self._queued.cancel(running.request.job_id) in ("removed", "stopped")
            except QueueUnavailable as error:
                log.warning("tool_not_cancelled", call_id=call_id, tool=running.spec.name, reason=str(error))
                return False
            running.cancelled = running.cancelled or stopped
            if stopped:
                await self._fulfilled(running)
            return stopped
        running.task.cancel()
        return True

    async def promise(self, call_id: str, tool_call_id: str, channel: str) -> Promised:
        """Have the end of a queued tool that runs told by `channel`, if its caller hangs up before it was told.

        It counts more than what the tool declares, and outlives this process. Returns promised; over (it does not run
        any more, was cancelled, or is inline); or unavailable (it can't be written down: there is no promise).
        """
        running = self._calls.get(job_id(call_id, tool_call_id))
        if running is None or running.task.done() or running.cancelled or not running.queued or not self._orphans:
            return "over"
        running.promised = channel  # at once: the caller may hang up while it is written down
        if await self._orphans.promise(_orphan(running, channel)):
            return "promised"
        running.promised = None
        return "unavailable"

    async def promise_known(self, orphan: Orphan, outcome: Outcome) -> bool:
        """Have an outcome that is known told by the orphan's channel, once its call is over, whoever ends that.

        For what is no tool, such as a transfer. False where there is no queue, or it can't be written down.
        """
        return self._orphans is not None and await self._orphans.promise_known(orphan, outcome)

    async def unpromise(self, job_id: str) -> None:
        """Such a promise is not wanted any more."""
        if self._orphans is not None:
            await self._orphans.forget(job_id)

    async def told(self, call_id: str, tool_call_id: str) -> None:
        """The caller has heard how a tool ended: what was promised is done."""
        running = self._calls.get(job_id(call_id, tool_call_id))
        if running is not None:
            await self._fulfilled(running)

    async def hang_up(self, call_id: str) -> tuple[ToolRequest, ...]:
        """Do with a call's running tools what each declares for a hang-up. Returns those that go on to their end.

        The ends of these are kept (`late_results`), and told where the tool says `finish_and_notify` or the caller was
        promised so; then also the end of one that is over, but was not told yet.
        """
        calls = [c for c in self._calls.values() if c.request.call_id == call_id]
        staying = [c for c in calls if c.outlives]
        ending = [c for c in calls if not c.task.done() and not c.outlives]
        left = [*staying, *(c for c in calls if c.task.done() and c.promised)] if self._orphans else []
        await asyncio.gather(
            *(self.cancel(call_id, c.request.tool_call_id) for c in ending),
            *(self._orphans.leave(_orphan(c, _channel(c)), c.task) for c in left if self._orphans),
            *((self._orphans.leave_known(call_id),) if self._orphans else ()),
        )
        for call in ending:
            if call.queued and self._orphans and not call.cancelled and not call.task.done():
                self._orphans.stop_later(call.request.job_id, call.task)
        return tuple(call.request for call in staying)

    def outliving(self, call_id: str) -> tuple[ToolRequest, ...]:
        """Return the tool calls that run now and would go on after a hang-up."""
        return tuple(c.request for c in self._calls.values() if c.request.call_id == call_id and c.outlives)

    async def late_results(self, call_id: str) -> builtins.list[LateResult]:
        """Return how the tools ended that outlived a call. Raises `QueueUnavailable`."""
        return await self._queued.late_results(call_id) if self._queued else []

    async def aclose(self) -> None:
        """Wait until the ends of tools that outlived their calls are written down; the runners are not closed."""
        if self._orphans:
            await self._orphans.aclose()

    def pending(self, call_id: str) -> tuple[tuple[ToolRequest, ToolSpec], ...]:
        """Return the tool calls of a call that still run."""
        calls = self._calls.values()
        return tuple((c.request, c.spec) for c in calls if c.request.call_id == call_id and not c.task.done())

    async def _run(
        self,
        spec: ToolSpec,
        request: ToolRequest,
        mode: str,
        on_started: OnStarted | None,
        on_progress: OnProgress | None,
    ) -> Outcome:
        started = functools.partial(on_started, request) if on_started else _nobody
        hearers = Hearers(started=started, progress=functools.partial(on_progress, request) if on_progress else None)
        try:
            return await self._dispatcher.run(spec, request, mode, hearers)
        except asyncio.CancelledError:
            return failure("unknown" if spec.effects == "once" else "cancelled", detail="cancelled while it ran")
        except Exception:
            # Our own bug. The model still gets its answer: a tool call must never stay open.
            log.exception("tool_call_broke", call_id=request.call_id, tool=spec.name)
            return failure("unknown" if spec.effects == "once" else "failed", detail="a bug in offhook; see the log")

    async def _fulfilled(self, running: _Running) -> None:
        if running.promised and self._orphans:
            running.promised = None
            await self._orphans.forget(running.request.job_id)

    def _remember(self, running: _Running) -> None:
        self._calls[running.request.job_id] = running
        if len(self._calls) > REMEMBERED:
            for key, old in self._calls.items():
                if old.task.done():
                    del self._calls[key]
                    break

    def _no_such(self, name: str) -> str:
        near = nearest(name, list(self._specs))
        known = ", ".join(self._specs) or "none"
        hint = f"Did you mean '{near}'?" if near else f"The tools are: {known}."
        return f"There is no tool '{name[:64]}'. {hint}"


async def _end_of(task: asyncio.Task[Outcome]) -> Outcome:
    """Wait for a tool call, which goes on if this is cancelled. One stopped before its first step has run nothing."""
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        waiting = asyncio.current_task()
        if not task.cancelled() or (waiting is not None and waiting.cancelling()):
            raise
        return failure("cancelled", detail="cancelled before it started")


def _nobody(_job: str | None) -> None:
    """Where nobody wants to know that a tool has started."""


def _channel(call: _Running) -> str | None:
    own = (call.spec.notify or names.DEFAULT_CHANNEL) if call.spec.on_hangup == "finish_and_notify" else None
    return call.promised or own


def _orphan(call: _Running, channel: str | None) -> Orphan:
    spec, request = call.spec, call.request
    return Orphan(
        call_id=request.call_id,
        tool_call_id=request.tool_call_id,
        job_id=request.job_id,
        tool=spec.name,
        summary=spec.summary,
        caller=request.caller,
        dialled=request.dialled,
        hung_up_at=time.time(),
        channel=channel,
        arguments=request.arguments if channel == names.CALL_BACK else "",
        facts=request.facts if channel == names.CALL_BACK else {},
    )
