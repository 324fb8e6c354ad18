"""How a call ends politely: after its goodbye was heard, once. Pure."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Ending"]

HANG_UP_PAD_S = 0.4
"""From the last goodbye packet to the BYE: what a caller's jitter buffer holds (60 to 200 ms), and the way there."""
GOODBYE_BOUND_S = 15.0
"""A goodbye that was not heard by then does not hold the call any longer."""


@dataclass(slots=True)
class Ending:
    """A call that is about to end, after the goodbye in `response_id` was heard."""

    reason: str
    """Who or what ended it, for the record."""
    forced: bool
    """The end is ours (drain, time limit): the caller's speech does not take it back."""
    since: float
    """When it was decided (s)."""
    response_id: str | None = None
    """The response that says goodbye, once there is one."""
    said: bool = False
    """The goodbye is generated to its end; what is left is to hear it."""
    quiet_since: float | None = None
    """Since when all of it has been sent to the caller (s)."""

    def speech(self) -> None:
        """The caller spoke into a forced goodbye: it has to be said again."""
        self.quiet_since = None

    def settle(self, quiet: bool, now: float) -> None:
        """Note whether the playout is quiet."""
        if not quiet or not self.said:
            self.quiet_since = None
        elif self.quiet_since is None:
            self.quiet_since = now

    def due(self) -> float:
        """When to hang up (s), as things stand."""
        bound = self.since + GOODBYE_BOUND_S
        return bound if self.quiet_since is None else min(bound, self.quiet_since + HANG_UP_PAD_S)
