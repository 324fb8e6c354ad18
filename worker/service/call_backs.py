"""Calls callers back with what they were promised: one worker at a time has a call back, and dials until it is told.

Who has it renews its claim; where this process dies another takes over, unless the result was heard already. Where
nobody answers it is tried again after growing pauses, and given up in the end: the result stays with its first call.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

import structlog

from telephony.errors import TelephonyError
from tools.errors import QueueUnavailable
from tools.queue.queued import QueuedRunner
from tools.queue.store import call_backs as store
from tools.queue.store.call_backs import CallBack
from tools.queue.store.late import Orphan
from worker.agent.agent import Agent
from worker.agent.later import AgentLater
from worker.call.session import CallSession
from worker.call_tools.later import call_back_uri
from worker.records.metrics import Metrics
from worker.records.record import Answered, Ended, Observer, RecordEvent, ResultTold
from worker.tasks import end_tasks, first_of

__all__ = ["CallBacks", "Dial"]

log = structlog.get_logger(__name__)

T = TypeVar("T")
P = ParamSpec("P")

LOOK_S = 1.0
LEASE_S = 20.0
"""So long after its worker died is a call back taken over. Four renewals may fail."""
RENEW_S = 4.0
INSIST_S = 600.0
"""For so long is it tried to write down how it went, where Redis is away."""
CLOSE_S = 5.0

Dial = Callable[[str, CallBack, Observer], Awaitable[CallSession]]
"""Calls a URI with a session that has this to tell; the observer is told the call's edges, from the first one on."""
Outcome = Literal["told", "unanswered", "machine", "hung_up", "failed", "not_tried", "lost"]
"""machine: an answering machine, or nobody spoke. hung_up: answered, but the result was not heard. not_tried: this
worker stops. lost: another worker has it."""


@dataclass(slots=True)
class _Attempt:
    """One call back that is being made."""

    found: CallBack
    later: AgentLater
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    told: asyncio.Task[bool] | None = None
    failed: bool = False
    machine: bool = False

    @property
    def last(self) -> bool:
        """Whether there is no further try after this one."""
        return self.found.tries > len(self.later.pauses)


class CallBacks:
    """The call backs that this worker makes."""

    def __init__(
        self,
        queue: QueuedRunner,
        uri: str,
        agent_for: Callable[[Orphan], Agent],
        metrics: Metrics,
        *,
        dial: Dial,
        hang_up: Callable[[str], None],
        room: Callable[[int], bool],
    ) -> None:
        """uri: whom to dial, with {caller} in it. room: whether one more call may be made while so many begin."""
        self._queue = queue
        self._uri = uri
        self._agent_for = agent_for
        self._metrics = metrics
        self._dial = dial
        self._hang_up = hang_up
        self._room = room
        self._beginning = 0
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Look for one every second until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Take what is due, as far as there is room."""
        while not self._stopping.is_set() and self._room(self._beginning):
            try:
                found = await self._queue.ask(store.claim, uuid.uuid4().hex, time.time(), LEASE_S)
            except QueueUnavailable:
                return
            if found is None:
                return
            self._beginning += 1
            task = asyncio.create_task(self._see_through(found), name=f"call-back-{found.job_id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        """Take no more, and give back those that nobody has answered yet; whoever talks goes on."""
        self._stopping.set()

    async def aclose(self) -> None:
        """Wait until it is written down how they went; the calls are over."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_S)
        await end_tasks(self._tasks)

    async def _see_through(self, found: CallBack) -> None:
        attempt = _Attempt(found, self._agent_for(found.result.orphan).later)
        keeping = asyncio.create_task(self._keep(attempt))
        try:
            await self._settle(attempt, await self._call(attempt))
        except Exception:  # a bug of ours: the claim runs out, and it is tried again, but not for ever
            log.exception("call_back_broke", calls_back=found.result.orphan.call_id)
        finally:
            keeping.cancel()

    async def _call(self, attempt: _Attempt) -> Outcome:
        """Dial, and wait for the end of the call."""
        found, orphan = attempt.found, attempt.found.result.orphan
        told = log.bind(calls_back=orphan.call_id, tool=orphan.tool, tries=found.tries)
        try:
            uri = call_back_uri(self._uri, orphan.caller)
            if uri is None or found.tries > len(attempt.later.pauses) + 1:
                return "failed"  # a name that can't be dialled; or workers died of it, again and again
            session = await self._dial(uri, found, lambda event: self._note(attempt, event))
        except (TelephonyError, OSError) as error:
            told.warning("call_back_not_dialled", reason=str(error))
            return "failed"
        finally:
            self._beginning -= 1
        call_id = session.info.call_id
        told.info("call_back", call_id=call_id)
        await first_of(attempt.later.ring_seconds, session.ended, attempt.answered, attempt.lost, self._stopping)
        unanswered = not attempt.answered.is_set()
        if unanswered:
            self._hang_up(call_id)
        await session.ended.wait()
        outcome = await self._outcome(attempt, unanswered)
        told.info("call_back_ended", call_id=call_id, outcome=outcome)
        return outcome

    async def _outcome(self, attempt: _Attempt, unanswered: bool) -> Outcome:
        if attempt.told is not None:
            return "told" if await attempt.told else "failed"
        if unanswered and (attempt.lost.is_set() or self._stopping.is_set()):
            return "lost" if attempt.lost.is_set() else "not_tried"
        if not attempt.answered.is_set():
            return "unanswered"
        if attempt.machine:
            return "machine"
        return "failed" if attempt.failed else "hung_up"

    async def _settle(self, attempt: _Attempt, outcome: Outcome) -> None:
        """Write down what comes of it."""
        found, orphan = attempt.found, attempt.found.result.orphan
        self._metrics.call_backs_total.labels(outcome).inc()
        if outcome in ("told", "lost"):
            return
        if outcome == "not_tried":
            await self._insist(store.again, found, time.time(), counted=False)
        elif attempt.last or call_back_uri(self._uri, orphan.caller) is None:
            await self._insist(store.give_up, found, time.time())
            self._metrics.call_backs_total.labels("given_up").inc()
            log.error("call_back_given_up", calls_back=orphan.call_id, tool=orphan.tool, tries=found.tries)
        else:
            await self._insist(store.again, found, time.time() + attempt.later.pauses[found.tries - 1])

    def _note(self, attempt: _Attempt, event: RecordEvent) -> None:
        """An edge of the call."""
        if isinstance(event, Answered):
            attempt.answered.set()
        elif isinstance(event, ResultTold) and attempt.told is None:
            # At the first word of it: whoever dies after this, nobody calls a second time.
            told = self._insist(store.told, attempt.found, time.time())
            attempt.told = asyncio.get_running_loop().create_task(told)
        elif isinstance(event, Ended):
            attempt.failed = event.record.outcome == "failed"
            attempt.machine = event.record.outcome == "machine"

    async def _keep(self, attempt: _Attempt) -> None:
        """Renew the claim; where it was lost, say so and leave it."""
        found = attempt.found
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                if await self._queue.ask(store.renew, found.job_id, found.token, LEASE_S):
                    continue
            except QueueUnavailable:
                continue
            log.warning("call_back_lost", calls_back=found.result.orphan.call_id, reason="another worker has it")
            attempt.lost.set()
            return

    async def _insist(self, function: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs) -> bool:
        """Have it written down, as soon as Redis is there. False where it never was."""
        give_up = time.monotonic() + INSIST_S
        while time.monotonic() < give_up:
            try:
                await self._queue.ask(function, *args, **kwargs)
                return True
            except QueueUnavailable:
                await asyncio.sleep(LOOK_S)
        return False
