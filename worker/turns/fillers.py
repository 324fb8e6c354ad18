"""The fillers' part of the turn machine: when the caller waits in silence, and what is asked for then. Pure."""

from __future__ import annotations

from worker.realtime import events as realtime
from worker.turns.events import CancelResponse, Command, OfferSpoken, PlayTone, Purpose, SpeakFiller, Unmet
from worker.turns.expectations import Expect, Then
from worker.turns.filler_voice import Filler, Waiting
from worker.turns.floor import Slot
from worker.turns.pending import PendingTool
from worker.turns.state import TONE, TurnState

__all__ = ["FillerTurns"]


class FillerTurns:
    """Asks for fillers and the tone, and gives them up for whoever has something to say."""

    def __init__(self, state: TurnState) -> None:
        self._state = state

    def started(self, event: realtime.ResponseStarted) -> list[Command]:
        """A filler's response was created."""
        filler = self._state.fillers.current
        self._state.remember(event.response_id, Purpose.FILLER)
        if filler is None or event.metadata.get("number") != str(filler.number):
            # Given up before the server had created it.
            self._state.slot.discard(event.response_id)
            return [CancelResponse(event.response_id)]
        filler.response_id = event.response_id
        return []

    def heard(self, item_id: str) -> list[Command]:
        """The first audio of the filler in flight is queued for playout."""
        state, filler = self._state, self._state.fillers.current
        state.fillers.heard(item_id)
        if filler is None or not filler.offered_for:
            return []
        for tool in state.pending.running():
            tool.offered = tool.offered or tool.tool_call_id in filler.offered_for
        return [OfferSpoken(filler.text)]

    def give_up(self) -> list[Command]:
        """Take the filler in flight back; what it has queued for playout is the playout's matter."""
        filler = self._state.fillers.drop()
        if filler is None or filler.response_id is None:
            return []
        self._state.slot.discard(filler.response_id)
        return [] if filler.generated else [CancelResponse(filler.response_id)]

    def give_up_unheard(self) -> list[Command]:
        """The model is about to speak: a filler that has not begun would be a second voice."""
        filler = self._state.fillers.current
        return self.give_up() if filler is not None and filler.item_id is None else []

    def expire(self, now: float) -> list[Command]:
        """Give up a filler that the provider owes us for too long."""
        state, bound = self._state, self._state.fillers.bound()
        filler = state.fillers.current
        if filler is None or bound is None or bound > now:
            return []
        begun = filler.item_id is not None
        expect, then = (Expect.FILLER_ENDED, Then.GO_ON) if begun else (Expect.FILLER_BEGUN, Then.OWN_WORDS)
        state.fill_in = state.fill_in or not begun
        return [Unmet(expect.value, now - filler.asked_at, then.value), *self.give_up()]

    def refused(self) -> None:
        """The provider won't say it: we do."""
        if self._state.fillers.drop() is not None:
            self._state.fill_in = True

    def fill(self, now: float) -> list[Command]:
        """Ask for what is due: a sentence, the tone, or nothing."""
        if not self._may_fill():
            return []
        commands: list[Command] = []
        if self._may_speak() and self._sentence_due() <= now:
            commands += self._ask(now)
        due = self._state.fillers.tone_due()
        if due is not None and due <= now:
            # A tone is no voice: the floor stays nobody's. Its end comes as PlayoutChanged.
            self._state.playing = TONE
            commands.append(PlayTone())
        return commands

    def wakes(self, now: float) -> list[float | None]:
        """When something of this is due (s)."""
        times = [self._state.fillers.bound()]
        if self._may_fill():
            times.append(self._state.fillers.tone_due())
            if self._may_speak():
                times.append(max(self._sentence_due(), self._state.requests.free_at(now)))
        return times

    def _may_fill(self) -> bool:
        """Whether the caller waits in silence, for a tool or for a new session."""
        state = self._state
        waiting = bool(state.pending.running()) or not state.connected
        return waiting and state.quiet and state.media and state.ending is None and not state.listening

    def _may_speak(self) -> bool:
        state = self._state
        # While the provider runs a tool its response stands still: a filler is beside it, not over it.
        free = state.slot.free or (state.slot.state is Slot.ACTIVE and state.pending.remote_of(state.slot.response_id))
        free = free and not (state.owed or state.unplaced or state.fill_in or state.asking)
        free = free and state.fillers.current is None
        return state.config.fillers.spoken and state.connected and free and bool(state.pending.running())

    def _sentence_due(self) -> float:
        tools = self._state.pending.running()
        return self._state.fillers.sentence_due(tools[0].name, news=any(tool.news for tool in tools))

    def _ask(self, now: float) -> list[Command]:
        tools = self._state.pending.running()
        if not self._state.requests.spend(now):
            return []
        asked = self._offer(tools, now) or self._sentence(tools, now)
        if asked is None:
            return []
        for tool in tools:
            tool.fillers += 1
        metadata = {"purpose": Purpose.FILLER.value, "number": str(asked.number)}
        return [SpeakFiller(asked.text, metadata, tuple(tool.tool_call_id for tool in tools))]

    def _sentence(self, tools: list[PendingTool], now: float) -> Filler | None:
        news = next((tool for tool in tools if tool.news), None)
        waiting = [Waiting(tool.name, tool.fillers, now - tool.started_at, tool.awaits) for tool in tools]
        asked = self._state.fillers.ask(waiting, now, news.news if news else None)
        if news is not None:
            news.news = None
        return asked

    def _offer(self, tools: list[PendingTool], now: float) -> Filler | None:
        """The offer to tell it later, where a tool takes too long that it was not made for yet."""
        offer = self._state.config.fillers.offer
        if offer is None:
            return None
        late = [tool for tool in tools if not (tool.offered or tool.awaits) and offer.possible(tool.name)]
        if not any(offer.due(tool.name, now - tool.started_at, tool.fillers) for tool in late):
            return None
        return self._state.fillers.offer(offer.text, tuple(tool.tool_call_id for tool in late), now)
