"""POST /calls: another program has us call somebody.

    POST /calls    {"to": "+49 30 1234567", "context": "Order 4711 can be fetched.", "from": "+4930555"}

wants `Authorization: Bearer` and OFFHOOK_DIAL_TOKEN. 202 names the call, of which GET /calls/ID tells: it is dialled,
and who answers, or that nobody does, stands in its record. An order that is made again with the `Idempotency-Key` of
the first makes no second call: the worker that took it remembers for a day, or until it ends.

400: the order is wrong. 401: the token is. 403: no list allows it. 415: it is no JSON. 422: the key was another
order's. 429: too many, Retry-After says for how long. 503: this worker takes no new calls, or can't dial.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from aiohttp import web
from pydantic import ValidationError

from telephony.errors import SipRequestError, TelephonyError
from telephony.sip.own_headers import checked
from worker.call.session import CallSession
from worker.service.bearer import admit
from worker.service.dial_rules import DialLedger, DialRules, Order, Refused, Target, faults_of

__all__ = ["Dialler", "DialOrders"]

LONGEST_KEY = 128
DIAL_S = 8.0
"""For the endpoint to send an INVITE: it waits for the proxy's word on who we are."""


class Dialler(Protocol):
    """What an order needs of the worker."""

    def takes_orders(self) -> str | None:
        """Say why no call can be made at the moment; None where one can."""

    async def place(self, order: Order, target: Target, caller_id: str | None) -> CallSession:
        """Call somebody. Raises TelephonyError, OSError, or Refused."""

    def hang_up(self, call_id: str) -> None:
        """End a call."""


class DialOrders:
    """The orders of one worker."""

    def __init__(
        self,
        dialler: Dialler,
        rules: DialRules,
        ledger: DialLedger,
        token: str | None,
        clock: Callable[[], float] = time.monotonic,
        *,
        bound_s: float = DIAL_S,
    ) -> None:
        """token: None: nobody may order calls. bound_s: for the telephone to send an INVITE."""
        self._dialler, self._rules, self._ledger, self._clock = dialler, rules, ledger, clock
        self._token, self._bound_s = token, bound_s
        self._going_on: set[asyncio.Task[None]] = set()
        self._one = asyncio.Lock()

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Take an order."""
        admit(request, self._token, "calls are made for a token: set OFFHOOK_DIAL_TOKEN")
        try:
            order, key = await _read(request)
            async with self._one:  # one after the other: the limits, and a key that comes twice at once
                call_id = self._ledger.known(key, order, self._clock()) or await self._make(order, key)
        except Refused as refused:
            headers = {} if refused.retry_after_s is None else {"Retry-After": str(refused.retry_after_s)}
            return web.json_response({"error": refused.why}, status=refused.status, headers=headers)
        return web.json_response({"call_id": call_id}, status=202, headers={"Location": f"/calls/{call_id}"})

    async def _make(self, order: Order, key: str | None) -> str:
        caller_id = self._rules.caller_id(order.caller_id)
        target = self._rules.target(order.to, order.account, caller_id)
        try:
            checked(order.headers)
        except SipRequestError as error:
            raise Refused(400, f"headers: {error}") from None
        if (why := self._dialler.takes_orders()) is not None:
            raise Refused(503, why, 10)
        self._ledger.admit(len(self._going_on), self._clock())
        placing = asyncio.ensure_future(self._dialler.place(order, target, caller_id))
        await asyncio.wait({placing}, timeout=self._bound_s)
        if not placing.done():  # no cancel: the call may be on its way, and nobody would talk on it
            placing.add_done_callback(self._too_late)
            raise Refused(503, f"the telephone did not answer within {self._bound_s:g} s", 10)
        try:
            session = placing.result()
        except (TelephonyError, OSError) as error:
            raise Refused(503, f"can't dial: {error}", 10) from None
        task = asyncio.create_task(_over(session), name=f"ordered-{session.info.call_id}")
        self._going_on.add(task)
        task.add_done_callback(self._going_on.discard)
        self._ledger.made(key, order, session.info.call_id, self._clock())
        return session.info.call_id

    def _too_late(self, placing: asyncio.Future[CallSession]) -> None:
        """A call that was given up is made all the same: it ends before somebody answers it."""
        if not placing.cancelled() and placing.exception() is None:
            self._dialler.hang_up(placing.result().info.call_id)


async def _over(session: CallSession) -> None:
    await session.ended.wait()


async def _read(request: web.Request) -> tuple[Order, str | None]:
    """Read an order and its key. Raises Refused."""
    if request.content_type != "application/json":  # no form of a strange page can send that (CORS)
        raise Refused(415, 'write Content-Type: application/json and {"to": "+49301234567"}')
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= LONGEST_KEY and key.isprintable()):
        raise Refused(400, f"Idempotency-Key: has 1 to {LONGEST_KEY} printable characters")
    try:
        return Order.model_validate_json(await request.text()), key
    except UnicodeDecodeError:
        raise Refused(400, "the order is no UTF-8") from None
    except ValidationError as error:
        raise Refused(400, faults_of(error)) from None
