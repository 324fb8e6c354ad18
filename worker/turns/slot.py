"""The provider's one in-band response. How long each state may last stands in `expectations`."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from worker.turns.floor import SLOT, Slot, SlotEdge

__all__ = ["ResponseSlot"]

# Late deltas of a cancelled response come within a round trip; a few dozen ids are more than a call has in flight.
REMEMBERED = 64


@dataclass(slots=True)
class ResponseSlot:
    """State of the slot, the response in it, and the responses whose audio is no longer wanted."""

    state: Slot = Slot.FREE
    response_id: str | None = None
    since: float = 0.0
    _discarded: deque[str] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    @property
    def free(self) -> bool:
        """Whether a response may be requested."""
        return self.state is Slot.FREE

    def move(self, edge: SlotEdge, now: float) -> None:
        """Take one edge of the table."""
        state = SLOT[(self.state, edge)]
        if state is not self.state:
            self.state, self.since = state, now
        if state in (Slot.FREE, Slot.REQUESTED):
            self.response_id = None

    def created(self, response_id: str, now: float) -> bool:
        """The provider created an in-band response. False if it was cancelled before it was created."""
        self.move(SlotEdge.CREATED, now)
        self.response_id = response_id
        if self.state is Slot.CANCELLING:
            self.discard(response_id)
            return False
        return True

    def done(self, response_id: str, now: float) -> None:
        """The provider finished a response: the one in the slot, or an earlier one that no longer matters."""
        if self.response_id in (None, response_id):
            self.move(SlotEdge.DONE, now)

    def cancel(self, now: float) -> str | None:
        """Give up the response in the slot; returns its id where it is known."""
        response_id = self.response_id
        self.move(SlotEdge.CANCEL, now)
        if response_id is not None:
            self.discard(response_id)
        return response_id

    def discard(self, response_id: str) -> None:
        """Audio and control calls of this response are no longer wanted."""
        if response_id not in self._discarded:
            self._discarded.append(response_id)

    def discarded(self, response_id: str) -> bool:
        """Whether this response was given up."""
        return response_id in self._discarded

    def lost(self, now: float) -> bool:
        """The session is gone. True if a response that somebody waits for went with it."""
        waited_for = self.state in (Slot.REQUESTED, Slot.ACTIVE)
        self.move(SlotEdge.LOST, now)
        self._discarded.clear()
        return waited_for
