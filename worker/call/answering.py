"""What becomes of a call of ours, by who answers it: the agent speaks, a message is left, or it ends. Pure.

Until it is known who answered, the model hears silence and says nothing: whoever answers is not talked over, and a
machine hears nothing that is a person's. What was a person may turn out to be a machine; then the same rule counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from worker.agent.agent import AgentOutbound
from worker.call.screening import Answerer, BeepHeard, GreetingEnded, Judged, Screening

__all__ = ["Answering", "Begin", "Leave", "LeaveMessage", "Step"]

SCREENED_MS: Final = 30_000
"""A machine has told by its words or its beep by then."""
MACHINE_MS: Final = 60_000
"""A machine that has neither beeped nor fallen silent by then is left without a message."""
PRIVATE_MS: Final = 12_000
"""What is for one person's ears is not told to a line on which nobody has spoken by then."""


@dataclass(frozen=True, slots=True)
class Begin:
    """The agent may speak."""


@dataclass(frozen=True, slots=True)
class LeaveMessage:
    """The machine listens: say this, and hang up."""

    text: str


@dataclass(frozen=True, slots=True)
class Leave:
    """Hang up. reason: for the record."""

    reason: str


Step = Begin | LeaveMessage | Leave


class Answering:
    """One call of ours, from the answer on. private: what it is about is for one person's ears alone."""

    def __init__(self, policy: AgentOutbound, *, private: bool = False, rate_hz: int = 8000) -> None:
        """Nobody is judged yet. rate_hz: of the audio that is heard."""
        self.judged: Judged | None = None
        """Who answered, as known last."""
        self.holding = True
        """The agent has not begun."""
        self.over = False
        """Nothing more is to be found out."""
        # Whatever is usual for a machine: what is for one person's ears is not gone on with to a tape.
        private_to_tape = private and policy.on_machine == "go_on"
        self._policy = policy.model_copy(update={"on_machine": "hang_up"}) if private_to_tape else policy
        self._private = private
        self._screening = Screening(rate_hz)
        self._bytes_per_ms = rate_hz * 2 / 1000
        self._ms = 0.0

    @property
    def answerer(self) -> Answerer | None:
        """Who answered; None: not known yet."""
        return self.judged.answerer if self.judged is not None else None

    def hear(self, pcm: bytes) -> list[Step]:
        """Take the next of the far side's audio: 16-bit PCM at the rate of the call."""
        if self.over:
            return []
        self._ms += len(pcm) / self._bytes_per_ms
        steps = [step for fact in self._screening.hear(pcm) for step in self._know(fact)]
        return steps or self._by_time()

    def read(self, text: str) -> list[Step]:
        """Take what the far side said, by the provider's transcript."""
        return [] if self.over else [step for fact in self._screening.read(text) for step in self._know(fact)]

    def _know(self, fact: Judged | BeepHeard | GreetingEnded) -> list[Step]:
        if self.over:
            return []
        if isinstance(fact, Judged):
            self.judged = fact
            return self._by_machine() if fact.answerer == "machine" else self._by_person(fact.answerer)
        return self._message() if self._policy.on_machine == "message" else []

    def _by_person(self, answerer: Answerer) -> list[Step]:
        if not self.holding or (answerer == "silence" and self._private):
            return []
        self.holding = False
        return [Begin()]

    def _by_machine(self) -> list[Step]:
        if self._policy.on_machine == "go_on":
            return self._by_person("person")
        if self._policy.on_machine == "hang_up":
            return self._end(Leave("answering machine"))
        return []

    def _message(self) -> list[Step]:
        return self._end(LeaveMessage(self._policy.message))

    def _by_time(self) -> list[Step]:
        waits = self.answerer == "machine" and self._policy.on_machine == "message"
        if waits:
            return self._end(Leave("answering machine")) if self._ms >= MACHINE_MS else []
        if self.holding:
            return self._end(Leave("nobody spoke")) if self._private and self._ms >= PRIVATE_MS else []
        self.over = self._ms >= SCREENED_MS
        return []

    def _end(self, step: Step) -> list[Step]:
        self.over = True
        return [step]
