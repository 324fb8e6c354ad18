"""Listens for who answers a call of ours, and carries out what `answering` makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from worker.call.answering import Answering, Begin, LeaveMessage, Step
from worker.call.hangup import MESSAGE_LEFT, HangUp
from worker.records.telemetry import Telemetry
from worker.turns import events as turn

__all__ = ["Screener"]


class Screener:
    """One call's; idle unless it is told to listen, and again once nothing more is to be found out."""

    def __init__(
        self, call: Telemetry, hangup: HangUp, begin: Callable[[], None], feed: Callable[[object], None]
    ) -> None:
        """begin: the agent may speak. feed: gives an event to the machine."""
        self.answering: Answering | None = None
        """What it listens with; None while it is idle."""
        self._call, self._hangup, self._begin, self._feed = call, hangup, begin, feed

    def hear(self, pcm: bytes) -> bytes:
        """Take the far side's audio (16-bit PCM); return what the session hears: silence until the agent may speak."""
        answering = self.answering
        if answering is None:
            return pcm
        self._take_steps(answering, answering.hear(pcm))
        self._call.recorder.answered_by = answering.answerer
        if answering.over and not answering.holding:
            self.answering = None
        return bytes(len(pcm)) if answering.holding else pcm

    def read(self, text: str) -> None:
        """Take what the far side said, by the provider's transcript."""
        if (answering := self.answering) is not None:
            self._take_steps(answering, answering.read(text))

    def _take_steps(self, answering: Answering, steps: Iterable[Step]) -> None:
        for step in steps:
            judged = answering.judged
            self._call.recorder.answered_by = answering.answerer  # before a step of it ends the call
            self._call.log.info(
                "answered_by",
                answerer=answering.answerer,
                why=judged.why if judged else "",
                step=type(step).__name__,
            )
            if isinstance(step, Begin):
                self._begin()
            elif isinstance(step, LeaveMessage):
                self._feed(turn.GoodbyeWanted(step.text, MESSAGE_LEFT))
                self._feed(turn.MediaReady())
            else:
                self._hangup.leave(step.reason, "machine")
