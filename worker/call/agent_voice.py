"""The agent's voice: what of the provider's audio the caller hears, and what the provider is told of that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from worker.call.conversation import Conversation
from worker.call.media import CallMedia
from worker.call.transcript import Transcript
from worker.realtime import events as realtime
from worker.records.record import Who
from worker.records.telemetry import Telemetry
from worker.turns.events import AudioStarted, Purpose, ResumePlayout
from worker.turns.machine import TurnMachine

__all__ = ["UNHEARD", "AgentVoice"]

UNHEARD = 64
"""Items of responses in flight that may be kept in mind."""


@dataclass(frozen=True, slots=True)
class _Paused:
    """The voice pauses. Times in s by the call's clock."""

    began: float
    done: float
    """When the playout had fallen silent."""
    heard_ms: int


class AgentVoice:
    """Takes a call's audio to its playout, as far as the turn machine wants it, and stops it."""

    def __init__(
        self,
        call: Telemetry,
        machine: TurnMachine,
        media: CallMedia,
        conversation: Conversation,
        transcript: Transcript,
        feed: Callable[[object], None],
    ) -> None:
        self._call = call
        self._machine = machine
        self._media = media
        self._playout = media.playout
        self._conversation = conversation
        self._transcript = transcript
        self._feed = feed
        self._unheard: dict[str, str] = {}
        self._paused: _Paused | None = None

    def take(self, event: realtime.AudioDelta) -> None:
        """Queue a piece of speech, unless nobody wants it any more."""
        if not self._machine.wants_audio(event.response_id):
            self._not_heard(event)
            return
        who: Who = "filler" if self._machine.fillers.speaks(event.response_id) else "agent"
        pcm = self._media.downlink.convert(event.item_id, event.audio)
        if self._playout.play(event.item_id, pcm, who):
            if who == "agent":
                self._transcript.agent_heard()
            self._feed(AudioStarted(event.response_id, event.item_id))

    def _not_heard(self, event: realtime.AudioDelta) -> None:
        """Audio that came too late to be played. Where nothing of its item was, the model must not take it for said."""
        if not self._playout.known(event.item_id) and len(self._unheard) < UNHEARD:
            self._unheard[event.item_id] = event.response_id
            self._transcript.cut(event.item_id, 0, 1)

    def response_done(self, event: realtime.ResponseDone) -> None:
        """Take what nobody heard of a response out of the conversation, now that no more of it comes."""
        for item_id in [item for item, response in self._unheard.items() if response == event.response_id]:
            del self._unheard[item_id]
            if event.metadata.get("purpose") != Purpose.FILLER:  # a filler is no part of the conversation
                self._conversation.not_heard(item_id)

    def session_lost(self) -> None:
        """Nothing more comes of any response."""
        self._unheard.clear()

    def pause(self) -> None:
        """Silence now; what is still to be heard is kept."""
        began = self._call.clock()
        heard_ms = self._playout.pause(began)
        self._paused = _Paused(began, self._call.clock(), heard_ms)

    def resume(self, command: ResumePlayout) -> None:
        """Go on at the heard ms."""
        now, paused = self._call.clock(), self._paused
        self._playout.resume(now)
        self._paused = None
        if paused is not None:
            span = now - paused.began
            self._call.recorder.barge_in_withdrawn(paused.began * 1000, paused.heard_ms, span * 1000, command.by)
            self._call.metrics.barge_in_withdrawn.observe(span)

    def stop(self, *, barge_in: bool) -> None:
        """Silence now; then tell the provider what of it was heard."""
        began = self._call.clock()
        cuts = self._playout.flush(began)
        done = self._call.clock()
        if self._paused is not None:  # it was silent already
            began, done, self._paused = self._paused.began, self._paused.done, None
        if barge_in and cuts:  # without any, the last of it was sent just now
            self._call.recorder.barge_in(began * 1000, cuts[0].heard_ms, (done - began) * 1000)
            self._call.metrics.barge_in.observe(done - began)
        for cut in cuts:
            self._transcript.cut(cut.item_id, cut.heard_ms, cut.received_ms)
            if self._playout.who(cut.item_id) == "filler":
                continue
            if cut.heard_ms <= 0:
                self._conversation.not_heard(cut.item_id)
            else:
                self._conversation.heard_until(cut.item_id, min(cut.heard_ms, cut.received_ms))
