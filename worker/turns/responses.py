"""The responses' part of the turn machine: what is asked for, one at a time, and what became of it. Pure."""

from __future__ import annotations

from worker.realtime import events as realtime
from worker.turns.approvals import ApprovalTurns
from worker.turns.events import CancelResponse, Command, Purpose, Words
from worker.turns.expectations import Expect, Then
from worker.turns.fillers import FillerTurns
from worker.turns.floor import Floor, Slot, SlotEdge
from worker.turns.refusals import Remedy, sort
from worker.turns.remedies import Remedies
from worker.turns.remote import RemoteTurns
from worker.turns.state import TurnState
from worker.turns.tools import WORDS_GIVEN, ToolTurns

__all__ = ["REFUSED_IN_A_ROW", "ResponseTurns"]

ACTIVE = "conversation_already_has_active_response"
REFUSED_IN_A_ROW = 5
"""So many requests refused for a response that holds the slot, and the session is of no use."""
MORE = 2
"""A response that was cut off by the provider is asked to go on so many times in a row."""
LONGEST_WAIT_S = 20.0
"""A provider that wants more patience than that of a caller can't speak any more (s)."""


class ResponseTurns:
    """Asks for the responses that are owed and follows the provider's through the slot."""

    def __init__(
        self,
        state: TurnState,
        fillers: FillerTurns,
        tools: ToolTurns,
        remote: RemoteTurns,
        approvals: ApprovalTurns,
        remedies: Remedies,
    ) -> None:
        self._state = state
        self._remote = remote
        self._fillers = fillers
        self._tools = tools
        self._approvals = approvals
        self._remedies = remedies
        self._refused = 0
        self._silent = 0
        self._more = 0
        self._echoes = False
        """The provider gives our metadata back: a response without is not ours."""
        self._assumed: str | None = None
        """A response that is taken for ours without its metadata."""

    def heard(self, response_id: str, now: float) -> list[Command]:
        """Audio of this response was queued for playout."""
        state = self._state
        state.spoke.append(response_id)
        state.turn_over = False
        state.progress += 1
        if response_id == state.slot.response_id:
            state.all_sent = False
        self._remedies.of_use(now)
        return self._fillers.give_up_unheard() + self._tools.heard(response_id)

    def of_use(self, now: float) -> None:
        """The model has called a tool."""
        self._state.turn_over = False
        self._remedies.of_use(now)

    def audio_done(self, event: realtime.AudioDone, now: float) -> list[Command]:
        """No more audio comes of an item."""
        if event.response_id == self._state.slot.response_id:
            self._state.all_sent = True
            self._state.progress += 1
        return []

    def started(self, event: realtime.ResponseStarted, now: float) -> list[Command]:
        """A response was created."""
        state = self._state
        purpose = event.metadata.get("purpose")
        if purpose == Purpose.FILLER:
            return self._fillers.started(event)
        asked = state.slot.state is Slot.REQUESTED
        self._echoes = self._echoes or purpose is not None
        if purpose is None and asked and not self._echoes:
            purpose, self._assumed = state.owed.asked_for, event.response_id  # a gateway may leave the metadata out
        state.remember(event.response_id, purpose)
        kept = state.slot.created(event.response_id, now)
        state.progress, state.all_sent = state.progress + 1, False
        if not kept or (state.floor is Floor.CALLER and not state.paused) or self._approvals.stray(purpose):
            # Created while the caller speaks: nobody would hear it. What it should have said stays in the conversation.
            # Or beside a question of ours: the model does not answer for the caller, nor itself.
            state.slot.cancel(now)
            return self._cancel(event.response_id, now)
        self._refused = 0
        self._approvals.started(event.response_id, purpose)
        if purpose is not None and not asked:
            state.owed.came(purpose)
        self._remote.response_started(event.response_id, own=purpose is None and not asked)
        if purpose == Purpose.TOOL_RESULT:
            self._tools.response_started(event.response_id)
        elif purpose not in WORDS_GIVEN:
            state.owed.drop(Purpose.RESUME)
        if state.ending is not None and purpose == Purpose.GOODBYE:
            state.ending.response_id = event.response_id
        return self._fillers.give_up_unheard()

    def done(self, event: realtime.ResponseDone, now: float) -> list[Command]:
        """A response is generated to its end, or given up by the provider."""
        state = self._state
        if state.fillers.speaks(event.response_id):
            if state.fillers.current is not None and state.fillers.current.item_id is None:
                self._fillers.refused()  # not a sound of it
            state.fillers.generated(state.playing)
            return []
        known = event.response_id in state.purposes
        purpose = event.metadata.get("purpose") or state.purposes.get(event.response_id)
        state.purposes.pop(event.response_id, None)
        if purpose == Purpose.FILLER:
            return []
        given_up = state.slot.discarded(event.response_id)
        called = state.pending.generating(event.response_id)
        state.slot.done(event.response_id, now)
        self._tools.response_done(event.response_id, given_up=given_up)
        self._goodbye_done(event, purpose, given_up)
        if event.status == "failed" and not given_up:
            return self._failed(event.error_code or event.reason, event.reason, now)
        state.owed.succeeded()
        commands = [] if given_up or not known else self._judge(event, purpose, called, now)
        if state.slot.free:
            state.owed.ended()
        return commands + self._approvals.generated(event.response_id, now)

    def provider_error(self, event: realtime.ProviderError, now: float) -> list[Command]:
        """The provider complains, perhaps about a response that was asked for."""
        state = self._state
        if event.metadata.get("purpose") == Purpose.FILLER:
            self._fillers.refused()
        elif event.request == "tool_output":
            return self._output_refused(event, now)
        elif event.code == ACTIVE:
            return self._taken(now)
        elif state.slot.state in (Slot.REQUESTED, Slot.CANCELLING) and self._is_refusal(event):
            state.slot.move(SlotEdge.EXPIRED, now)
            return self._failed(event.code, event.message, now)
        return []

    def not_come(self, expect: Expect, waited_s: float, now: float) -> list[Command]:
        """What the response in the slot owes did not come: give it up, and ask again for what was not said."""
        state = self._state
        active = state.slot.state is Slot.ACTIVE
        response_id = state.slot.response_id or ""
        if expect is Expect.CANCELLED:
            state.slot.move(SlotEdge.EXPIRED, now)
            return [self._remedies.told(expect, Then.GO_ON, waited_s)]
        called = state.pending.generating(response_id)
        commands = self._cancel(response_id, now) if active else []
        if expect is Expect.RESPONSE_ENDED or called:
            # All there is was heard, or the call that it made runs: as if its end had come.
            commands.append(self._remedies.told(Expect.RESPONSE_ENDED, Then.GO_ON, waited_s))
            commands += self.done(realtime.ResponseDone(response_id, "completed"), now)
            state.slot.discard(response_id)
            return commands
        if active and response_id:
            state.slot.cancel(now)
            self._tools.response_done(response_id, given_up=True)
            self._goodbye_lost(response_id)
        state.slot.move(SlotEdge.EXPIRED, now)
        state.owed.want_again()
        return commands + self._remedies.strike(expect, now, waited_s)

    def give_up(self, response_id: str, now: float) -> list[Command]:
        """Give up a response that is stuck in the slot; another one in it goes on."""
        state = self._state
        if state.slot.state is not Slot.ACTIVE or state.slot.response_id != response_id or not state.silent:
            return []
        state.slot.cancel(now)
        self._tools.response_done(response_id, given_up=True)
        self._goodbye_lost(response_id)
        return self._cancel(response_id, now)

    def request(self, now: float) -> list[Command]:
        """Ask for what is owed, where it may be said now."""
        state = self._state
        able = state.connected and state.media and not state.unplaced
        if not (able and state.slot.free) or state.floor is Floor.CALLER or state.requests.free_at(now) > now:
            return []
        if Purpose.GREETING in state.owed and now < state.greets_from:
            return []
        request = state.owed.take(now, only=self._only())
        if request is None:
            return []
        state.requests.spend(now)
        state.slot.move(SlotEdge.REQUEST, now)
        if request.purpose is Purpose.TOOL_RESULT:
            self._tools.asked()
        return [*self._fillers.give_up_unheard(), request]

    def _only(self) -> Purpose | None:
        """What alone may be asked for as things stand; None: anything."""
        if self._state.ending is not None:
            return Purpose.GOODBYE
        return Purpose.APPROVAL if self._state.asking else None

    def wakes(self, now: float) -> list[float | None]:
        """When something of this is due (s)."""
        state = self._state
        blocked = state.owed and state.requests.free_at(now) > now
        return [state.owed.wake(now), state.requests.free_at(now) if blocked else None]

    # --- what came of a response --------------------------------------------------------------------------------------

    def _judge(self, event: realtime.ResponseDone, purpose: str | None, called: bool, now: float) -> list[Command]:
        """Look at a response that is done: was it whole, and was there a sound?"""
        spoke = event.response_id in self._state.spoke
        if event.status == "completed" and (spoke or called):
            self._silent = self._more = 0
            self._remedies.whole()
            return []
        why = f"{event.status}{f' ({event.reason})' if event.reason else ''}"
        if not (spoke or called):
            return self._soundless(purpose, why, now)
        go_on = event.reason != "content_filter" and self._more < MORE and self._state.ending is None
        go_on = go_on and purpose != Purpose.APPROVAL  # a question that was cut off is asked again
        if go_on:
            self._more += 1
            self._state.owed.want(Purpose.RESUME)
        return [self._remedies.told(Expect.WHOLE, Then.ASK_AGAIN if go_on else Then.GO_ON, detail=why)]

    def _soundless(self, purpose: str | None, why: str, now: float) -> list[Command]:
        """Nothing was to be heard, and no tool was called: asked again once, then words of ours, then a new session."""
        state = self._state
        if state.ending is not None or purpose == Purpose.GOODBYE:
            return [self._remedies.told(Expect.SOUND, Then.GO_ON, detail=why)]
        self._silent += 1
        if self._silent == 2 and purpose not in WORDS_GIVEN and state.silent and state.quiet:
            state.owed.ended()
            state.turn_over = False
            words = self._remedies.say(Words.AGAIN, now)
            return [self._remedies.told(Expect.SOUND, Then.OWN_WORDS, detail=why), words]
        state.owed.want_again()
        if self._silent > 1:
            state.strikes = max(state.strikes, 1)
        return self._remedies.strike(Expect.SOUND, now, detail=why)

    def _failed(self, code: str, message: str, now: float) -> list[Command]:
        state = self._state
        refusal = sort(code, message, calls_open=state.talks and bool(state.pending.ours()))
        detail = f"{code}: {message}" if message and message != code else code
        if refusal.remedy is Remedy.PLACEHOLDERS and state.talks:
            state.talks = False
            state.owed.want_again()
            return [self._remedies.told(Expect.RESPONSE, Then.PLACEHOLDERS, detail=detail)]
        if refusal.remedy is Remedy.WAIT:
            if state.waiting.waited(now) + refusal.after_s > LONGEST_WAIT_S:
                return self._remedies.apologise(Expect.RESPONSE, detail=detail)
            state.told_until = now + refusal.after_s
            state.owed.wait(state.told_until)
            return [self._remedies.told(Expect.RESPONSE, Then.WAIT, refusal.after_s, detail)]
        if state.owed.failed(now):
            return [self._remedies.told(Expect.RESPONSE, Then.ASK_AGAIN, detail=detail)]
        told = self._remedies.apologise(Expect.RESPONSE, detail=code or "response failed")
        return told

    def _is_refusal(self, event: realtime.ProviderError) -> bool:
        """Whether an error means that the response that is to come won't: of ours, or the server's own."""
        if event.request is not None:
            return event.request == "create_response"
        own = self._state.server_answers and event.code.rpartition(".")[2] == "response_failed"
        return own or sort(event.code, event.message).remedy is Remedy.PLACEHOLDERS

    def _taken(self, now: float) -> list[Command]:
        """Somebody else's response holds the slot. What we asked for is still owed; its done frees the slot."""
        state = self._state
        if state.slot.free:
            return []  # of a request that was given up
        if state.slot.state is Slot.ACTIVE and (response_id := state.slot.response_id) is not None:
            if response_id == self._assumed or state.purposes.get(response_id) is None:
                self._not_ours(response_id)
            return []  # where it is ours, it has begun all the same
        self._refused += 1
        state.owed.want_again()
        state.slot.move(SlotEdge.REFUSED, now)
        if self._refused < REFUSED_IN_A_ROW:
            return []
        self._refused = 0
        return self._remedies.strike(Expect.RESPONSE, now, detail=ACTIVE)

    def _not_ours(self, response_id: str) -> None:
        """Theirs was first: what we asked for is still owed."""
        state, self._assumed = self._state, None
        state.purposes[response_id] = None
        self._tools.not_told(response_id)
        if state.owed.asked:
            state.owed.want_again()

    def _output_refused(self, event: realtime.ProviderError, now: float) -> list[Command]:
        commands = self._tools.refused(event, now)
        slot = self._state.slot
        if commands and slot.state is Slot.REQUESTED and self._state.owed.asked_for is Purpose.TOOL_RESULT:
            slot.cancel(now)  # it would have nothing to tell
            self._state.owed.ended()
        return commands

    def _cancel(self, response_id: str, now: float) -> list[Command]:
        """Cancel a response: as often as we may ask for one. One that is not cancelled is not heard either."""
        return [CancelResponse(response_id)] if self._state.cancels.spend(now) else []

    def _goodbye_done(self, event: realtime.ResponseDone, purpose: str | None, given_up: bool) -> None:
        ending = self._state.ending
        if ending is None or ending.response_id != event.response_id or given_up:
            return
        asked = purpose == Purpose.GOODBYE and event.status != "failed"
        if event.response_id in self._state.spoke or asked:
            # A model that has no words for the goodbye it was asked for is not asked over and over.
            ending.said = True
        else:
            # end_call without a word: the caller is owed a goodbye.
            self._state.owed.want(Purpose.GOODBYE, self._state.config.goodbye)

    def _goodbye_lost(self, response_id: str) -> None:
        ending = self._state.ending
        if ending is not None and ending.response_id == response_id:
            self._state.owed.want(Purpose.GOODBYE, self._state.config.goodbye)
