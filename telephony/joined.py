"""Calls that hear each other: a B2BUA's two legs, connected in pjmedia's conference. On the pj thread only.

The audio goes from one to the other without Python. Their ports stay connected beside it, so that recordings go on and
something may still be played to one of them. Keys are passed on, and the end of one call is the end of the other.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from telephony.binding import explain, pj
from telephony.call import SipCall

log = structlog.get_logger(__name__)


class Joined:
    """Which calls are connected. It keeps ids, and no reference to a call."""

    def __init__(self, calls: Mapping[str, SipCall]) -> None:
        self._calls = calls
        self._other: dict[str, str] = {}

    def join(self, one: SipCall, two: SipCall) -> None:
        """Let them hear each other, now and after each new negotiation. Raises pj.Error."""
        self._other[one.call_id], self._other[two.call_id] = two.call_id, one.call_id
        one.join(self)
        two.join(self)
        self.media_changed(one)

    def media_changed(self, call: SipCall) -> None:
        """A call's audio is new: connect it again."""
        other = self._partner(call)
        if other is None:
            return
        here, there = call.audio(), other.audio()
        if here is not None and there is not None:
            here.startTransmit(there)
            there.startTransmit(here)

    def pressed(self, call: SipCall, digit: str) -> None:
        """A key goes to the other side."""
        other = self._partner(call)
        if other is not None:
            try:
                other.send_digits(digit)
            except pj.Error as error:  # on hold, or without telephone-event
                log.info("key_not_passed_on", call_id=call.call_id, error=explain(error))

    def ended(self, call_id: str) -> None:
        """A call is over: so is the other."""
        other_id = self._other.pop(call_id, None)
        other = None if other_id is None else self._calls.get(other_id)
        if other is None or other_id is None:
            return
        self._other.pop(other_id, None)
        other.partner = None
        try:
            other.finish()
        except pj.Error as error:
            log.warning("hang_up_failed", call_id=other_id, error=explain(error))

    def _partner(self, call: SipCall) -> SipCall | None:
        other = self._calls.get(self._other.get(call.call_id, ""))
        return None if other is None or other.ended else other
