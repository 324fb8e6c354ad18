"""A call's next leg: the dialog on which it goes on where REFER or Replaces was allowed. On the pj thread only.

The call keeps its id, its bridge and its port: who talks on it hears of the change by an event, and nothing else of it
changes. By REFER (RFC 3515) the library dials the target and tells the other side by NOTIFY how that goes; the new leg
takes over when it is confirmed, or as soon as the old one has ended. By Replaces (RFC 3891) it takes over at once.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Literal

import structlog

from telephony.binding import explain, pj
from telephony.call import SipCall
from telephony.events import HandOverBegan, HandOverEnded

__all__ = ["Legs"]

log = structlog.get_logger(__name__)

RING_S = 60.0
"""So long a target that REFER named may ring."""
BEGIN_S = 2.0
"""After this a leg has an id of the library's, or nothing has come of it."""
BYE_S = 2.0
"""So long the old leg may wait for the other side's BYE, once the new one is up (RFC 5589 section 6.1)."""
MOST = 8
"""Legs that one call may have, after each other."""

Means = Literal["refer", "replaces"]


@dataclass(frozen=True, slots=True)
class _Next:
    leg: SipCall
    means: Means
    target: str


class Legs:
    """The legs that are to come, and those that were."""

    def __init__(
        self,
        calls: MutableMapping[str, SipCall],
        make: Callable[[SipCall, str], SipCall | None],
        may_dial: Callable[[str], bool],
        admits: Callable[[str], bool],
        later: Callable[[float, Callable[[], None]], None],
    ) -> None:
        """make: gives a leg of a call, by which we dial a URI, or nobody where that is ""; None where all lines are in
        use, or its account is not registered. may_dial: whether a URI is somebody else's, and may be called. admits:
        whether calls are taken from "ip:port".
        """
        self._calls = calls
        self._make = make
        self._may_dial = may_dial
        self._admits = admits
        self._later = later
        self._next: dict[str, _Next] = {}
        self._count: dict[str, int] = {}
        self._retired: list[SipCall] = []

    def __len__(self) -> int:
        return len(self._next) + len(self._retired)

    def referred(self, call: SipCall, refer_to: str, source: str) -> SipCall | None:
        """The leg by which a REFER is followed; None where it is declined."""
        target = call.rules.target_of(refer_to, source)
        if target is None or not self._may_dial(target):
            log.warning("hand_over_refused", call_id=call.call_id, means="refer", source=source)
            return None
        return self._begin(call, "refer", target)

    def replaced_by(self, call: SipCall, source: str) -> SipCall | None:
        """The leg that an INVITE with Replaces becomes; None where it is declined."""
        if not self._admits(source) or not call.rules.may_replace(source):
            log.warning("hand_over_refused", call_id=call.call_id, means="replaces", source=source)
            return None
        return self._begin(call, "replaces", "")

    def take_over(self, call_id: str) -> None:
        """The next leg is the call from now on."""
        following = self._next.pop(call_id, None)
        old = self._calls.get(call_id)
        if following is None or old is None:
            return
        old.retire()
        self._retired.append(old)
        self._calls[call_id] = following.leg
        following.leg.succeed(old)
        if following.means == "refer":
            self._later(BYE_S, lambda: self._let_go(old))

    def confirmed(self, leg: SipCall) -> None:
        """A leg is up."""
        following = self._next.get(leg.call_id)
        means: Means = "refer" if leg.outbound else "replaces"
        if following is not None and following.leg is leg:
            self.take_over(leg.call_id)
        leg.post(HandOverEnded(leg.call_id, means, 200))

    def ended(self, call: SipCall) -> bool:
        """A dialog of a call is over; whether the call goes on without it."""
        following = self._next.get(call.call_id)
        if call.retired:
            return True
        if following is None:
            return False
        if following.leg is call:
            del self._next[call.call_id]
            self._retired.append(call)
            return True
        if call.ended_by_us or following.leg.ended or following.leg.getId() == pj.PJSUA_INVALID_ID:
            return False
        self.take_over(call.call_id)  # who referred us has hung up for it; the target rings still
        return True

    def finish(self, call_id: str) -> None:
        """The call is to end: so is what was to come."""
        following = self._next.get(call_id)
        if following is not None:
            self._let_go(following.leg)

    def drop_ended(self) -> None:
        """Let go of what is over, outside the library's callbacks."""
        for call_id in [one for one in self._next if one not in self._calls]:
            following = self._next.pop(call_id)
            self._let_go(following.leg)
            self._retired.append(following.leg)
        if self._retired:
            self._retired = [leg for leg in self._retired if not leg.ended and leg.isActive()]
        for call_id in [one for one in self._count if one not in self._calls]:
            del self._count[call_id]

    def hang_up(self) -> None:
        """Let go of all of them: the endpoint stops."""
        for leg in (*self._retired, *(following.leg for following in self._next.values())):
            self._let_go(leg)

    def clear(self) -> None:
        """Forget them all."""
        self._next.clear()
        self._retired.clear()

    def _begin(self, call: SipCall, means: Means, target: str) -> SipCall | None:
        count = self._count.get(call.call_id, 0)
        busy = call.ended or call.retired or call.partner is not None or call.call_id in self._next
        leg = None if busy or count >= MOST else self._make(call, target)
        if leg is None:
            log.warning("hand_over_refused", call_id=call.call_id, means=means, reason="not now")
            return None
        self._count[call.call_id] = count + 1
        self._next[call.call_id] = _Next(leg, means, target)
        call.post(HandOverBegan(call.call_id, means, target))
        self._later(BEGIN_S, lambda: self._look(leg))
        self._later(RING_S, lambda: self._give_up(leg))
        return leg

    def _look(self, leg: SipCall) -> None:
        """Nothing has come of it where the library could not dial: it tells the other side, and not us."""
        following = self._next.get(leg.call_id)
        if following is not None and following.leg is leg and leg.getId() == pj.PJSUA_INVALID_ID:
            del self._next[leg.call_id]
            leg.post(HandOverEnded(leg.call_id, following.means, 500))

    def _give_up(self, leg: SipCall) -> None:
        if not leg.confirmed:
            self._let_go(leg)

    def _let_go(self, leg: SipCall) -> None:
        if leg.ended or leg.getId() == pj.PJSUA_INVALID_ID:
            return
        try:
            leg.finish()
        except pj.Error as error:
            log.warning("hang_up_failed", call_id=leg.call_id, error=explain(error))
