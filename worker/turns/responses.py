"""The responses' part of the turn machine: what is asked for, one at a time, and what became of it. Pure."""

from __future__ import annotations

from collections import deque

from worker.realtime import base
from worker.turns.events import Apologise, CancelResponse, Command, Purpose
from worker.turns.fillers import FillerTurns
from worker.turns.floor import Floor, Slot, SlotEdge
from worker.turns.state import TurnState
from worker.turns.tools import ToolTurns

__all__ = ["ResponseTurns"]

WORDS_GIVEN = (Purpose.GREETING, Purpose.NOTICE, Purpose.SILENCE, Purpose.GOODBYE)
"""Responses that say what they were given, and answer nothing."""
REMEMBERED = 64
"""Responses of which something was heard: it counts until they are done, and a call has one or two in flight."""


class ResponseTurns:
    """Asks for the responses that are owed and follows the provider's through the slot."""

    def __init__(self, state: TurnState, fillers: FillerTurns, tools: ToolTurns) -> None:
        self._state = state
        self._fillers = fillers
        self._tools = tools
        self._spoke: deque[str] = deque(maxlen=REMEMBERED)

    def heard(self, response_id: str) -> list[Command]:
        """Audio of this response was queued for playout."""
        self._spoke.append(response_id)
        return self._tools.heard(response_id)

    def started(self, event: base.ResponseStarted, now: float) -> list[Command]:
        """A response was created."""
        state = self._state
        purpose = event.metadata.get("purpose")
        if purpose == Purpose.FILLER:
            return self._fillers.started(event)
        kept = state.slot.created(event.response_id, now)
        if not kept or state.floor is Floor.CALLER:
            # Created while the caller speaks: nobody would hear it. What it should have said stays in the conversation.
            state.slot.cancel(now)
            return [CancelResponse(event.response_id)]
        if purpose not in WORDS_GIVEN:
            state.owed.drop(Purpose.RESUME)
            self._tools.response_started(event.response_id)
            if self._tools.all_acknowledged:
                # Every output that was sent is in the conversation that this response answers.
                state.owed.drop(Purpose.TOOL_RESULT)
        if state.ending is not None and purpose == Purpose.GOODBYE:
            state.ending.response_id = event.response_id
        return self._fillers.give_up_unheard()

    def done(self, event: base.ResponseDone, now: float) -> list[Command]:
        """A response is generated to its end, or given up by the provider."""
        state = self._state
        if state.fillers.speaks(event.response_id):
            state.fillers.generated(state.playing)
            return []
        if event.metadata.get("purpose") == Purpose.FILLER:
            return []
        given_up = state.slot.discarded(event.response_id)
        state.slot.done(event.response_id, now)
        self._tools.response_done(event.response_id, given_up=given_up)
        self._goodbye_done(event, given_up)
        if event.status == "failed" and not given_up:
            return self._failed(event.error_code or event.reason, now)
        state.owed.succeeded()
        if state.slot.free:
            state.owed.ended()
        return []

    def provider_error(self, event: base.ProviderError, now: float) -> list[Command]:
        """The provider complains, perhaps about a response that was asked for."""
        state = self._state
        if event.metadata.get("purpose") == Purpose.FILLER:
            state.fillers.drop()
        elif event.code == "conversation_already_has_active_response":
            # Somebody else's response holds the slot. What we asked for is still owed; its done frees the slot.
            state.owed.want_again()
            state.slot.move(SlotEdge.REFUSED, now)
        elif event.request == "create_response" and state.slot.state in (Slot.REQUESTED, Slot.CANCELLING):
            state.slot.move(SlotEdge.EXPIRED, now)
            return self._failed(event.code, now)
        return []

    def expire(self, now: float) -> list[Command]:
        """Free the slot of a response that the provider owes us for too long."""
        slot = self._state.slot
        if slot.deadline is None or slot.deadline > now:
            return []
        if slot.state is Slot.ACTIVE and self._state.playing is not None:
            slot.since = now  # a long answer from a provider that speaks in real time: it is heard, so it is not lost
            return []
        commands: list[Command] = []
        if slot.state is Slot.REQUESTED and self._state.owed.asked:
            self._state.owed.want_again()
        elif slot.state is Slot.ACTIVE and (response_id := slot.cancel(now)) is not None:
            commands.append(CancelResponse(response_id))
        slot.move(SlotEdge.EXPIRED, now)
        return commands

    def request(self, now: float) -> list[Command]:
        """Ask for what is owed, where it may be said now."""
        state = self._state
        able = state.connected and state.media and not state.unplaced
        if not (able and state.slot.free) or state.floor is Floor.CALLER:
            return []
        request = state.owed.take(now, only=None if state.ending is None else Purpose.GOODBYE)
        if request is None:
            return []
        state.slot.move(SlotEdge.REQUEST, now)
        return [*self._fillers.give_up_unheard(), request]

    def wakes(self, now: float) -> list[float | None]:
        """When something of this is due (s)."""
        return [self._state.slot.deadline, self._state.owed.wake(now)]

    def _failed(self, reason: str, now: float) -> list[Command]:
        if self._state.owed.failed(now):
            return []
        self._state.over = True
        return [Apologise(reason or "response failed")]

    def _goodbye_done(self, event: base.ResponseDone, given_up: bool) -> None:
        ending = self._state.ending
        if ending is None or ending.response_id != event.response_id or given_up:
            return
        asked = event.metadata.get("purpose") == Purpose.GOODBYE and event.status != "failed"
        if event.response_id in self._spoke or asked:
            # A model that has no words for the goodbye it was asked for is not asked over and over.
            ending.said = True
        else:
            # end_call without a word: the caller is owed a goodbye.
            self._state.owed.want(Purpose.GOODBYE, self._state.config.goodbye)
