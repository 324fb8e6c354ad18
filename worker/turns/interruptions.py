"""What the caller says while a tool runs that is of no use then: when it counts, and which tools it stops. Pure.

A cough must not cancel a search: speech counts once it has ended as a turn with a word in it. The provider's
transcriber tells; where it tells nothing for `WORDS_S` after the end of the speech, the turn is taken for words.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.realtime import events as realtime
from worker.turns.events import CancelTool, Command, Unmet
from worker.turns.expectations import TABLE, Expect, Then
from worker.turns.pending import PendingTool
from worker.turns.state import TurnState

__all__ = ["SPEECHES", "WORDS_S", "Interruptions"]

WORDS_S = TABLE[Expect.TRANSCRIPT].seconds
"""So long the words of a turn are waited for."""
SPEECHES = 8
"""So many turns of the caller's may wait for their words; the oldest is given up then: no tool is stopped for it."""


@dataclass(slots=True)
class _Speech:
    began: float
    ended: float | None = None


class Interruptions:
    """Stops those tools that the caller has spoken into (`TurnConfig.cancelled_by_barge_in`)."""

    def __init__(self, state: TurnState) -> None:
        self._state = state
        self._speeches: dict[str, _Speech] = {}

    def speech_started(self, event: realtime.SpeechStarted, now: float) -> None:
        """The caller begins to speak: it may be of interest to what runs now."""
        if any(tool.name in self._state.config.cancelled_by_barge_in for tool in self._state.pending.running()):
            self._speeches[event.item_id] = _Speech(now)
            if len(self._speeches) > SPEECHES:
                del self._speeches[next(iter(self._speeches))]

    def speech_stopped(self, event: realtime.SpeechStopped, now: float) -> None:
        """The caller's turn has ended; its words may still come."""
        speech = self._speeches.get(event.item_id)
        if speech is not None:
            speech.ended = now

    def transcribed(self, event: realtime.CallerTranscript, now: float) -> list[Command]:
        """The words of a turn are known; there may be none."""
        speech = self._speeches.pop(event.item_id, None)
        has_words = any(character.isalnum() for character in event.text)
        return [] if speech is None or not has_words else self._stop(speech)

    def not_transcribed(self, event: realtime.CallerTranscriptFailed, now: float) -> list[Command]:
        """They will never be known: it was a turn all the same."""
        speech = self._speeches.pop(event.item_id, None)
        return [] if speech is None else self._stop(speech)

    def withdrawn(self, event: realtime.ToolCallsWithdrawn, now: float) -> list[Command]:
        """The model no longer waits for these calls: those that may be are stopped, the others told when they end."""
        found = [self._state.pending.get(tool_call_id) for tool_call_id in event.tool_call_ids]
        return self._cancel([tool for tool in found if tool is not None and tool.output is None])

    def session_lost(self) -> None:
        """What was said into the lost session is no turn: nothing more is heard of it."""
        self._speeches.clear()

    def expire(self, now: float) -> list[Command]:
        """Wait no longer for the words of a turn."""
        late = [
            key for key, speech in self._speeches.items() if speech.ended is not None and speech.ended + WORDS_S <= now
        ]
        told: list[Command] = [Unmet(Expect.TRANSCRIPT.value, WORDS_S, Then.GO_ON.value) for _ in late]
        return told + [command for key in late for command in self._stop(self._speeches.pop(key))]

    def wakes(self) -> list[float | None]:
        """When words are waited for no longer (s)."""
        return [speech.ended + WORDS_S for speech in self._speeches.values() if speech.ended is not None]

    def _stop(self, speech: _Speech) -> list[Command]:
        """Stop what ran when the caller began to speak, and runs still."""
        return self._cancel([tool for tool in self._state.pending.running() if tool.started_at <= speech.began])

    def _cancel(self, tools: list[PendingTool]) -> list[Command]:
        """Stop those of these tools that may be stopped so, each once."""
        names = self._state.config.cancelled_by_barge_in
        stopped = [tool for tool in tools if tool.name in names and not (tool.cancelled or tool.awaits or tool.remote)]
        for tool in stopped:
            tool.cancelled = True
        return [CancelTool(tool.tool_call_id) for tool in stopped]
