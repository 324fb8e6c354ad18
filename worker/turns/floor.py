"""The two small joint machines of a call's turn-taking, as tables.

The *floor* says who is speaking; the *response slot* says how the provider's one in-band response
stands. Every pair of state and edge is in its table, so that there is no event without an answer.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["FLOOR", "SLOT", "Floor", "FloorEdge", "Slot", "SlotEdge"]


class Floor(Enum):
    """Who holds the floor."""

    NOBODY = "nobody"
    CALLER = "caller"
    AGENT = "agent"
    FILLER = "filler"


class FloorEdge(Enum):
    """What can change who holds the floor."""

    CALLER_STARTED = "caller_started"
    CALLER_STOPPED = "caller_stopped"
    AGENT_HEARD = "agent_heard"
    FILLER_HEARD = "filler_heard"
    PLAYOUT_DRY = "playout_dry"


# The caller keeps the floor until the provider's VAD says otherwise: audio that comes in meanwhile does not take it.
FLOOR: dict[tuple[Floor, FloorEdge], Floor] = {
    (Floor.NOBODY, FloorEdge.CALLER_STARTED): Floor.CALLER,
    (Floor.NOBODY, FloorEdge.CALLER_STOPPED): Floor.NOBODY,
    (Floor.NOBODY, FloorEdge.AGENT_HEARD): Floor.AGENT,
    (Floor.NOBODY, FloorEdge.FILLER_HEARD): Floor.FILLER,
    (Floor.NOBODY, FloorEdge.PLAYOUT_DRY): Floor.NOBODY,
    (Floor.CALLER, FloorEdge.CALLER_STARTED): Floor.CALLER,
    (Floor.CALLER, FloorEdge.CALLER_STOPPED): Floor.NOBODY,
    (Floor.CALLER, FloorEdge.AGENT_HEARD): Floor.CALLER,
    (Floor.CALLER, FloorEdge.FILLER_HEARD): Floor.CALLER,
    (Floor.CALLER, FloorEdge.PLAYOUT_DRY): Floor.CALLER,
    (Floor.AGENT, FloorEdge.CALLER_STARTED): Floor.CALLER,
    (Floor.AGENT, FloorEdge.CALLER_STOPPED): Floor.AGENT,
    (Floor.AGENT, FloorEdge.AGENT_HEARD): Floor.AGENT,
    (Floor.AGENT, FloorEdge.FILLER_HEARD): Floor.FILLER,
    (Floor.AGENT, FloorEdge.PLAYOUT_DRY): Floor.NOBODY,
    (Floor.FILLER, FloorEdge.CALLER_STARTED): Floor.CALLER,
    (Floor.FILLER, FloorEdge.CALLER_STOPPED): Floor.FILLER,
    (Floor.FILLER, FloorEdge.AGENT_HEARD): Floor.AGENT,
    (Floor.FILLER, FloorEdge.FILLER_HEARD): Floor.FILLER,
    (Floor.FILLER, FloorEdge.PLAYOUT_DRY): Floor.NOBODY,
}


class Slot(Enum):
    """The provider's one in-band response."""

    FREE = "free"
    REQUESTED = "requested"
    ACTIVE = "active"
    CANCELLING = "cancelling"


class SlotEdge(Enum):
    """What can change the response slot.

    REQUEST: we asked, or the end of the caller's turn makes the server create one by itself.
    CREATED, DONE: the provider's response.created and response.done. CANCEL: a barge-in or our cancel.
    REFUSED: `conversation_already_has_active_response`. EXPIRED: no word within the bound. LOST: the session is gone.
    """

    REQUEST = "request"
    CREATED = "created"
    CANCEL = "cancel"
    DONE = "done"
    REFUSED = "refused"
    EXPIRED = "expired"
    LOST = "lost"


SLOT: dict[tuple[Slot, SlotEdge], Slot] = {
    (Slot.FREE, SlotEdge.REQUEST): Slot.REQUESTED,
    (Slot.FREE, SlotEdge.CREATED): Slot.ACTIVE,
    (Slot.FREE, SlotEdge.CANCEL): Slot.FREE,
    (Slot.FREE, SlotEdge.DONE): Slot.FREE,
    (Slot.FREE, SlotEdge.REFUSED): Slot.ACTIVE,
    (Slot.FREE, SlotEdge.EXPIRED): Slot.FREE,
    (Slot.FREE, SlotEdge.LOST): Slot.FREE,
    (Slot.REQUESTED, SlotEdge.REQUEST): Slot.REQUESTED,
    (Slot.REQUESTED, SlotEdge.CREATED): Slot.ACTIVE,
    (Slot.REQUESTED, SlotEdge.CANCEL): Slot.CANCELLING,
    # The done of an earlier, cancelled response; ours is still to come.
    (Slot.REQUESTED, SlotEdge.DONE): Slot.REQUESTED,
    (Slot.REQUESTED, SlotEdge.REFUSED): Slot.ACTIVE,
    (Slot.REQUESTED, SlotEdge.EXPIRED): Slot.FREE,
    (Slot.REQUESTED, SlotEdge.LOST): Slot.FREE,
    (Slot.ACTIVE, SlotEdge.REQUEST): Slot.ACTIVE,
    (Slot.ACTIVE, SlotEdge.CREATED): Slot.ACTIVE,
    (Slot.ACTIVE, SlotEdge.CANCEL): Slot.CANCELLING,
    (Slot.ACTIVE, SlotEdge.DONE): Slot.FREE,
    (Slot.ACTIVE, SlotEdge.REFUSED): Slot.ACTIVE,
    (Slot.ACTIVE, SlotEdge.EXPIRED): Slot.FREE,
    (Slot.ACTIVE, SlotEdge.LOST): Slot.FREE,
    # The caller's turn ended before the cancelled response's done came: the server creates the next one by itself.
    (Slot.CANCELLING, SlotEdge.REQUEST): Slot.REQUESTED,
    # A response that we cancelled before the server had created it.
    (Slot.CANCELLING, SlotEdge.CREATED): Slot.CANCELLING,
    (Slot.CANCELLING, SlotEdge.CANCEL): Slot.CANCELLING,
    (Slot.CANCELLING, SlotEdge.DONE): Slot.FREE,
    (Slot.CANCELLING, SlotEdge.REFUSED): Slot.CANCELLING,
    (Slot.CANCELLING, SlotEdge.EXPIRED): Slot.FREE,
    (Slot.CANCELLING, SlotEdge.LOST): Slot.FREE,
}
