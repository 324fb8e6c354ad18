"""The INVITEs that are turned away: each gets its refusal, after the callback that told of it. On the pj thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from telephony import binding
from telephony.account import SipAccount
from telephony.binding import explain, pj
from telephony.events import CallRefused, RefusedFor
from telephony.parameters import operation

__all__ = ["REASONS", "Refusal", "TurnedAway"]

log = structlog.get_logger(__name__)

SLOW_REFUSAL_S = 0.25
"""A refusal's delay on the wheel. It opens two sockets for each INVITE before asking us, gives a closed one's place
free after 0.5 s, and aborts when all 64 are taken: a scanner's 30 INVITEs a second would end the process. With its
four lines held this long the rest get the library's own 486, which opens none."""
REASONS = {
    400: "Bad Request",
    403: "Forbidden",
    482: "Loop Detected",
    488: "Not Acceptable Here",
    503: "Service Unavailable",
    513: "Message Too Large",
}
"""Reason phrases of our own refusals."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an INVITE is turned away, with what, and after how many s it may come again."""

    why: RefusedFor
    status: int = 503
    retry_after_s: int | None = None


class TurnedAway:
    """Those whose refusal is not over yet: the library's calls are held until then."""

    def __init__(self, post: Callable[[CallRefused], None], later: Callable[[float, Callable[[], None]], None]) -> None:
        """post: told of each. later: has something done after so many s."""
        self._post, self._later = post, later
        self._delay_s = 0.0
        self._calls: list[pj.Call] = []

    def __len__(self) -> int:
        return len(self._calls)

    def start(self, capacity: int) -> None:
        """The library is up. capacity: the calls at once that the build carries."""
        self._delay_s = 0.0 if capacity > binding.WHEEL_CALLS else SLOW_REFUSAL_S

    def add(self, account: SipAccount, pj_id: int, source: str, refusal: Refusal) -> None:
        """Turn an INVITE away."""
        # Answered after the callback: 2.15 frees the request's copy when the callback returns, and aborts where the
        # final answer has already done so.
        call = pj.Call(account, pj_id)
        self._calls.append(call)
        status, reason = refusal.status, REASONS[refusal.status]
        headers = {} if refusal.retry_after_s is None else {"Retry-After": str(refusal.retry_after_s)}
        self._later(self._delay_s, lambda: _refuse(call, operation(status, reason, headers)))
        self._post(CallRefused(status, reason, source, refusal.why))

    def drop_over(self) -> None:
        """Let go of those that are over, outside the library's callbacks."""
        if self._calls:
            self._calls = [call for call in self._calls if call.isActive()]

    def clear(self) -> None:
        """Let go of all."""
        self._calls.clear()


def _refuse(call: pj.Call, answer: pj.CallOpParam) -> None:
    try:
        call.answer(answer)  # hangup would leave the headers out
    except pj.Error as error:
        log.info("refusal_not_sent", error=explain(error))
