"""How one tool call is run: from the cache, as a job, or inline; with what it needs of other tools.

The catalog hands it calls whose tool is known and whose arguments fit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import structlog
from pydantic import SecretStr

from tools.define.chain import Step, chain
from tools.define.context import ToolContext, invite_facts
from tools.define.digits import hidden
from tools.define.schema import values_of
from tools.define.spec import ToolSpec
from tools.errors import InvalidArguments, QueueUnavailable
from tools.limits import STEP_LIMIT
from tools.queue.queued import QueuedRunner
from tools.queue.store import cache
from tools.run.inline import InlineRunner
from tools.tool_call.durations import ModeChoice
from tools.tool_call.outcome import Outcome, failure, returned, without_typed
from tools.tool_call.request import ToolRequest

log = structlog.get_logger(__name__)


NOBODY_TYPES = "It takes something that the caller types on the keypad, and nobody can here."


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearers:
    """Who wants to know: that it has started (with its job's id, None for inline), and what it reports."""

    started: Callable[[str | None], None] = lambda _job: None
    progress: Callable[[str], None] | None = None


@dataclass(slots=True)
class Dispatcher:
    """Runs tool calls. inline, queued: the two ways; without `queued` all is inline. find: a tool by its name.

    secrets: those of this process, by name. paged: results that are too large can be read with `more`. most_s: caps
    every tool's time-out.
    """

    inline: InlineRunner
    queued: QueuedRunner | None
    find: Callable[[str], ToolSpec | None]
    secrets: Mapping[str, str] = field(repr=False)
    paged: bool = False
    most_s: float | None = None
    _choices: dict[str, ModeChoice] = field(default_factory=dict)

    def mode_of(self, spec: ToolSpec) -> str:
        """Return how a tool is run now: inline or queued. What needs a queued tool is queued itself."""
        if self.queued is None or (spec.signature.digits and not self.queued.takes_digits):
            return "inline"
        own = self._choice(spec).mode if spec.mode == "auto" else spec.mode
        needed = (self.find(needs.tool) for needs in spec.signature.needs.values())
        return "queued" if own == "queued" or any(self.mode_of(other) == "queued" for other in needed if other) else own

    def may_queue(self, spec: ToolSpec) -> bool:
        """Tell whether a tool runs as a job now or may later, when its runs were slow."""
        needed = (self.find(needs.tool) for needs in spec.signature.needs.values())
        if spec.signature.digits and not (self.queued is not None and self.queued.takes_digits):
            return False
        return self.queued is not None and (spec.mode != "inline" or any(self.may_queue(n) for n in needed if n))

    def limit(self, spec: ToolSpec) -> float:
        """Return a tool's time-out in s."""
        return spec.timeout_s if self.most_s is None else min(spec.timeout_s, self.most_s)

    async def run(self, spec: ToolSpec, request: ToolRequest, mode: str, hearers: Hearers) -> Outcome:
        """Run a tool call to its outcome."""
        values = values_of(request.arguments)
        kept_at = cache.key_of(spec, values, request.caller, request.dialled, request.facts) if spec.cache_s else None
        if kept_at and (answer := await self._cached(kept_at)):
            hearers.started(None)
            return answer
        if missing := [name for name in spec.signature.digits if name not in request.typed]:
            return failure("unavailable", NOBODY_TYPES, detail=f"nobody typed {', '.join(missing)}")
        steps = chain(spec, values, self.find)
        try:
            for step in steps:
                step.spec.signature.bind_values(step.given)
        except InvalidArguments as error:
            return failure("invalid", str(error), detail=error.reason)
        if self.queued is not None and mode == "queued":
            outcome = await self.queued.run(
                spec,
                request,
                timeout_s=self.limit(spec),
                on_queued=hearers.started,
                on_progress=hearers.progress,
                steps=steps,
                paged=self.paged,
            )
        else:
            hearers.started(None)
            outcome = await self._inline_chain(steps, request, hearers, self.limit(spec))
            outcome = without_typed(outcome, request.typed)
            if kept_at:
                await self._keep(kept_at, spec, outcome)
        if spec.mode == "auto" and outcome.run_ms is not None and not outcome.cached:
            self._choice(spec).note(outcome.run_ms)
        return outcome

    def _choice(self, spec: ToolSpec) -> ModeChoice:
        return self._choices.setdefault(spec.name, ModeChoice())

    async def _inline_chain(self, steps: list[Step], request: ToolRequest, hearers: Hearers, limit: float) -> Outcome:
        loop = asyncio.get_running_loop()
        until = loop.time() + limit
        outcomes: dict[str, Outcome] = {}
        for step in steps:
            arguments = step.spec.signature.bind_values(step.given)
            if not step.key:
                arguments |= {name: SecretStr(value) for name, value in request.typed.items()}
            for parameter, key in step.needs.items():
                tool, needed = step.spec.signature.needs[parameter].tool, outcomes[key]
                if needed.status != "ok":
                    return replace(needed, detail=f"{tool}, which it needs: {needed.detail or needed.status}")
                try:
                    read = values_of(needed.output, STEP_LIMIT)
                    arguments[parameter] = step.spec.signature.bind_needed(parameter, read)
                except InvalidArguments as error:
                    return failure("invalid", str(error), detail=error.reason)
            left = max(0.001, until - loop.time())
            context = self._context(step.spec, request, left, hearers)
            encode = self._encoder(request) if not step.key else _whole
            outcomes[step.key] = await self.inline.run(step.spec, arguments, context, timeout_s=left, encode=encode)
        return outcomes[""]

    def _context(self, spec: ToolSpec, request: ToolRequest, left: float, hearers: Hearers) -> ToolContext:
        loop = asyncio.get_running_loop()
        heard = hearers.progress or (lambda _text: None)
        return ToolContext(
            call_id=request.call_id,
            tool_call_id=request.tool_call_id,
            caller=request.caller,
            dialled=request.dialled,
            **invite_facts(request.facts),
            deadline=time.time() + left,
            secrets=spec.secrets_from(self.secrets),
            report=lambda text: _from_any_thread(loop, heard, hidden(text, request.typed)),
        )

    def _encoder(self, request: ToolRequest) -> Callable[[object], Outcome]:
        queued = self.queued
        if queued is None or not self.paged or request.typed:
            return returned

        def encode(value: object) -> Outcome:  # in a thread
            try:
                return returned(value, keep=lambda text: queued.keep_rest(request.call_id, text))
            except QueueUnavailable:
                return returned(value)

        return encode

    async def _cached(self, key: str) -> Outcome | None:
        if self.queued is None:
            return None
        try:
            return await self.queued.ask(cache.read, key)
        except QueueUnavailable as error:
            log.info("cache_not_read", reason=str(error))
            return None

    async def _keep(self, key: str, spec: ToolSpec, outcome: Outcome) -> None:
        if self.queued is None:
            return
        try:
            await self.queued.ask(cache.write, key, spec, outcome)
        except QueueUnavailable as error:
            log.info("cache_not_written", reason=str(error))


def _whole(value: object) -> Outcome:
    return returned(value, limit=STEP_LIMIT)


def _from_any_thread(loop: asyncio.AbstractEventLoop, progress: Callable[[str], None], text: str) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(progress, text)
