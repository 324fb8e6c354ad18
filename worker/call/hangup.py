"""How a call ends from our side: why, how it counts, by when, and the one hang-up. Pure, but for what it is given."""

from __future__ import annotations

from collections.abc import Callable

from worker.records.record import CallOutcome

__all__ = ["APOLOGY_BOUND_S", "HangUp"]

APOLOGY_BOUND_S = 15.0
"""The apology takes 6 s. Where its playout stands still (a held call), the call ends without it."""
MESSAGE_LEFT = "message left"
OUTCOMES: dict[str, CallOutcome] = {
    "drain": "drained",
    "limit": "limit",
    "agent": "completed",
    MESSAGE_LEFT: "machine",
}
"""What it counts as when the turn machine hangs up, by its reason."""


class HangUp:
    """One call's end. `hang_up(reason)` is called once, whatever happens."""

    def __init__(self, hang_up: Callable[[str], None]) -> None:
        self._hang_up = hang_up
        self._outcome: CallOutcome | None = None
        self._hung_up = False
        self.reason = ""
        """Why; for the record."""
        self.fault = ""
        """What can't be mended any more, and has to be apologised for."""
        self.by = float("inf")
        """When the call is hung up at the latest (s)."""

    @property
    def decided(self) -> bool:
        """Whether the end is certain, if only after the apology."""
        return self._outcome is not None

    def failed(self, reason: str) -> bool:
        """Something can't be mended. False where that changes nothing: the end is decided, or this is the second."""
        if self.fault or self.decided:
            return False
        self.fault = reason
        return True

    def after_apology(self, reason: str, now: float) -> None:
        """The apology plays; `end` follows it, and is due by itself when it takes too long."""
        self._outcome, self.reason, self.by = "failed", reason, now + APOLOGY_BOUND_S

    def leave(self, reason: str, outcome: CallOutcome | None = None) -> None:
        """Hang up now; without `outcome`, it counts by the reason."""
        self._outcome, self.reason = outcome or OUTCOMES.get(reason, "completed"), reason
        self.end()

    def end(self) -> None:
        """Hang up, once."""
        if not self._hung_up:
            self._hung_up = True
            self._hang_up(self.reason)

    def outcome(self, by: str, *, answered: bool) -> CallOutcome:
        """Return what a call counts as that is over on the wire, and was ended there by that side."""
        if self._outcome is not None:
            return self._outcome
        if by in ("network", "error"):
            return "failed"
        return "completed" if answered else "abandoned"
