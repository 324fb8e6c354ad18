"""The calls that this worker makes: those that were ordered, over HTTP or by the command line, and call backs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog
from pydantic import ValidationError

from telephony.accounts import AccountSettings
from telephony.endpoint import Endpoint
from telephony.errors import NotRegistered
from tools.queue.store.call_backs import CallBack
from worker.call.session import CallSession
from worker.errors import OperatorError
from worker.records.record import Answered, Observer, RecordEvent
from worker.service.dial_rules import Order, Refused, Target, back_by, faults_of
from worker.service.sessions import Sessions, facts_of
from worker.service.switchboard import Switchboard
from worker.tasks import first_of

__all__ = ["OutgoingCalls"]

log = structlog.get_logger(__name__)

ANNOUNCED_S = 5.0
LOOK_S = 0.05


class OutgoingCalls:
    """Has the switchboard dial, once registrar or proxy have had time to know us; gives up on who does not answer."""

    def __init__(
        self,
        endpoint: Endpoint,
        board: Switchboard,
        sessions: Sessions,
        accounts: Sequence[AccountSettings],
        *,
        by_proxy: bool,
        one_trunk: bool,
    ) -> None:
        """by_proxy: calls go by a proxy that takes those of workers alone. one_trunk: all call backs go by one URI."""
        self._endpoint, self._board, self._sessions = endpoint, board, sessions
        self._accounts, self._by_proxy, self._one_trunk = accounts, by_proxy, one_trunk
        self._ringing: set[asyncio.Task[None]] = set()

    async def dial(self, uri: str, context: str, agent: str | None, account: str | None) -> CallSession:
        """Call somebody; the agent speaks once they answer. No list is asked: who has the command line decides.

        Raises OperatorError for a name that no agent has and for what is too long, and as `place` does.
        """
        try:
            order = Order(to=uri, context=context, agent=agent, account=account)
            return await self.place(order, Target(uri, uri), None)
        except ValidationError as error:
            raise OperatorError(faults_of(error)) from None
        except Refused as refused:
            raise OperatorError(refused.why) from None

    async def place(self, order: Order, target: Target, caller_id: str | None) -> CallSession:
        """Call somebody, for at most the agent's `outbound.ring_seconds` until they answer.

        Raises Refused where the order names no agent, SipRequestError, or OSError.
        """
        answered = asyncio.Event()

        def note(event: RecordEvent) -> None:
            if isinstance(event, Answered):
                answered.set()

        make = self._sessions.for_order(order, target, note)
        if self._by_proxy:
            await self._announced()
        session = await _registered(
            lambda: self._board.dial(
                target.uri, make, headers=order.headers, caller_id=caller_id, account=order.account
            )
        )
        name = f"ringing-{session.info.call_id}"
        self._ringing.add(task := asyncio.create_task(self._ring(session, answered), name=name))
        task.add_done_callback(self._ringing.discard)
        return session

    async def call_back(self, uri: str, found: CallBack, observer: Observer) -> CallSession:
        """Call back who was promised it: by the account that they called, else by `uri`. observer: told its edges."""
        orphan = found.result.orphan
        name = facts_of(orphan).account
        if not self._one_trunk:
            uri = back_by(self._accounts, name, orphan.caller) or uri
        make = self._sessions.for_call_back(found, observer)
        return await _registered(lambda: self._board.dial(uri, make, made_for=name))

    async def _ring(self, session: CallSession, answered: asyncio.Event) -> None:
        await first_of(session.agent.outbound.ring_seconds, answered, session.ended)
        if not answered.is_set():
            self._board.hang_up(session.info.call_id)

    async def _announced(self) -> None:
        """Wait until the proxy knows us, at most so long: it takes calls of workers alone."""
        give_up = time.monotonic() + ANNOUNCED_S
        while time.monotonic() < give_up:
            state = self._endpoint.registration
            if state is not None and state.registered:
                return
            await asyncio.sleep(LOOK_S)
        log.warning("not_announced", after_s=ANNOUNCED_S)


async def _registered(call: Callable[[], Awaitable[CallSession]]) -> CallSession:
    """Make a call; an account's first REGISTER gets its time to be answered."""
    give_up = time.monotonic() + ANNOUNCED_S
    while True:
        try:
            return await call()
        except NotRegistered as error:
            if not error.pending or time.monotonic() >= give_up:
                raise
        await asyncio.sleep(LOOK_S)
