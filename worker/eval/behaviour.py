"""How a simulated caller behaves in a call: a plan in, acts out. A pure machine; time is a parameter (s).

It is told of edges: the agent's voice, what was understood of it, the end of the caller's own words.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from worker.eval.plan import Act, Plan, Step

__all__ = ["Ask", "Behaviour", "GiveUp"]

PAUSE_S = 0.8
"""A person answers some 0.8 s after the other has stopped."""
CUT_S = 1.5
"""An agent that falls silent within so long after words of ours that cut into its own owes an answer to them."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """What was waited for did not come."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Whoever plays the persona is to say what is done now: `decided` is to be told, or `undecided`."""

    heard: tuple[str, ...]
    """What was understood since the caller's last act; "": words that fitted no sentence."""


class Behaviour:
    """Goes through the plan's steps, then answers by its rules, or as whoever plays the persona decides."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._next = 0
        self._used = [0] * len(plan.answers)
        self._tries = 0
        self._due_interruptions = {one.utterance: one for one in plan.interruptions}
        self._utterances = 0
        self._speaking = False
        self._agent_since: float | None = None
        self._quiet_since: float | None = None
        self._waiting_since = 0.0
        self._heard: list[str] = []
        """Since the caller's last act that was no interruption."""
        self._asking = False
        self._asked = 0
        self._decided: deque[Act] = deque()
        self._failed = ""
        self._owed = False
        """We have spoken into the agent's words: its silence after that is not our turn."""

    def begin(self, now: float) -> None:
        """The call was answered."""
        self._waiting_since = now

    def agent_speaks(self, now: float) -> None:
        """The agent's voice is heard."""
        self._utterances += 1
        self._owed = False
        self._agent_since, self._quiet_since = now, None

    def agent_quiet(self, now: float) -> None:
        """The agent's voice has stopped."""
        self._agent_since, self._quiet_since = None, now
        if not self._speaking and now > self._waiting_since + CUT_S:
            self._owed = False

    def understood(self, text: str) -> None:
        """The recogniser's words for what the agent has said; "": it fitted no sentence."""
        self._heard.append(text)

    def said(self, now: float) -> None:
        """Our own words are spoken to their end, or the keys pressed."""
        self._speaking = False
        self._waiting_since = now

    def decided(self, acts: Sequence[Act]) -> None:
        """What the persona does now, in order; nothing: it waits."""
        self._asking = False
        self._decided.extend(acts)

    def undecided(self, reason: str) -> None:
        """Nobody can say what the persona does."""
        self._asking, self._failed = False, reason

    def tick(self, now: float) -> Act | Ask | GiveUp | None:
        """What to do now, if anything."""
        if self._speaking:
            return None
        if (act := self._interruption(now)) is not None:
            return self._begin(act)
        if self._next < len(self._plan.steps):
            return self._by_script(self._plan.steps[self._next], now)
        if self._plan.who:
            return self._as_played(now)
        if self._plan.answers:
            return self._by_rules(now)
        if now >= self._waiting_since + self._plan.patience_s:
            return GiveUp("all is said, and the agent does not hang up")
        return None

    def _begin(self, act: Act) -> Act:
        self._speaking = bool(act.say or act.keys)
        self._owed = bool(act.say) and self._agent_since is not None
        return act

    def _interruption(self, now: float) -> Act | None:
        found = self._due_interruptions.get(self._utterances)
        if found is None or self._agent_since is None or now < self._agent_since + found.after_s:
            return None
        del self._due_interruptions[self._utterances]
        return Act(say=found.say)

    def _by_script(self, step: Step, now: float) -> Act | GiveUp | None:
        due = self._due(step)
        if due is not None and due <= now:
            self._next += 1
            self._waiting_since = now
            if step.act != Act():
                self._forget(now)
            return self._begin(step.act)
        if now >= self._waiting_since + step.patience_s:
            waited = {"quiet": "the agent's word", "interrupting": "the agent's word", "heard": repr(step.hears)}
            return GiveUp(f"waited {step.patience_s:g} s for {waited.get(step.when, 'nothing')}")
        return None

    def _due(self, step: Step) -> float | None:
        if step.when == "at once":
            return self._waiting_since + step.after_s
        if step.when == "interrupting":
            return None if self._agent_since is None else self._agent_since + step.after_s
        if self._quiet_since is None or self._owed:
            return None
        if step.when == "heard" and not any(re.search(step.hears, text) for text in self._heard):
            return None
        return max(self._quiet_since, self._waiting_since) + step.after_s

    def _by_rules(self, now: float) -> Act | GiveUp | None:
        since = self._quiet_since
        if since is not None and not self._owed and now >= max(since, self._waiting_since) + PAUSE_S:
            for number, answer in enumerate(self._plan.answers):
                if self._used[number] < answer.times and any(re.search(answer.hears, text) for text in self._heard):
                    self._used[number] += 1
                    self._forget(now)
                    return self._begin(answer.act)
        if now < self._waiting_since + self._plan.patience_s:
            return None
        if self._tries < len(self._plan.otherwise):
            self._tries += 1
            self._forget(now)
            return self._begin(Act(say=self._plan.otherwise[self._tries - 1]))
        return GiveUp(f"heard nothing for {self._plan.patience_s:g} s that a rule has an answer to")

    def _as_played(self, now: float) -> Act | Ask | GiveUp | None:
        if self._failed:
            return GiveUp(self._failed)
        if self._decided:  # nobody speaks into the other's words but by an interruption
            return self._begin(self._decided.popleft()) if self._agent_since is None else None
        if self._asking:
            return None
        since = self._quiet_since
        theirs = since is not None and not self._owed and now >= max(since, self._waiting_since) + PAUSE_S
        if not (theirs and self._heard) and now < self._waiting_since + self._plan.patience_s:
            return None
        if self._asked >= self._plan.most:
            return GiveUp(f"the persona was asked {self._plan.most} times (most), and the call is not over")
        heard, self._asking = tuple(self._heard), True
        self._asked += 1
        self._forget(now)
        return Ask(heard)

    def _forget(self, now: float) -> None:
        """What comes next answers the next act."""
        self._heard.clear()
        self._quiet_since = None
        self._waiting_since = now
