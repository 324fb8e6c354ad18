"""What one call will be: a scenario and a seed in, every choice made. Pure; the same seed makes the same choices."""

from __future__ import annotations

import random
from typing import Literal

from pydantic import BaseModel, ConfigDict

from worker.eval.eval_file import EvalFile, Scenario, Turn

__all__ = ["Act", "Answer", "Interruption", "Plan", "Step", "plan", "plans"]

MOST_INTERRUPTIONS = 200
"""Times that an agent speaks in a call."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class Act(_Value):
    """What the caller does: words, keys, or the end; nothing of it: the caller has only waited."""

    say: str = ""
    keys: str = ""
    hang_up: bool = False


class Step(_Value):
    """One act, and what it waits for. Times in s."""

    act: Act
    when: Literal["quiet", "heard", "interrupting", "at once"] = "quiet"
    hears: str = ""
    after_s: float
    patience_s: float


class Answer(_Value):
    """A persona's rule."""

    hears: str
    act: Act
    times: int


class Interruption(_Value):
    """The so-manieth time that the agent speaks (from 1), the caller speaks into it after so many s."""

    utterance: int
    after_s: float
    say: str


class Plan(_Value):
    """One call. seed: of the noise, and of which frames are lost."""

    scenario: str
    number: int
    seed: int
    steps: tuple[Step, ...]
    answers: tuple[Answer, ...] = ()
    otherwise: tuple[str, ...] = ()
    patience_s: float
    who: str = ""
    """Whom a text model plays once the steps are over; "": nobody, the answers are all."""
    most: int = 0
    """How often it is asked."""
    interruptions: tuple[Interruption, ...] = ()
    noise_db: float | None = None
    loss_percent: float = 0.0
    packet_loss_percent: int = 0
    """Of the packets of both sides; which ones is not the seed's."""

    @property
    def name(self) -> str:
        """How the call is called in reports."""
        return f"{self.scenario} #{self.number}"

    def words(self) -> tuple[str, ...]:
        """All that the caller may say."""
        acts = [*(step.act for step in self.steps), *(answer.act for answer in self.answers)]
        said = [*(act.say for act in acts), *self.otherwise, *(one.say for one in self.interruptions)]
        return tuple(dict.fromkeys(text for text in said if text))


def plans(file: EvalFile, only: str | None = None, *, played: bool = False) -> list[tuple[Scenario, Plan]]:
    """Return every call of the file, in its order. only: of this scenario. played: a text model plays the personas."""
    chosen = [one for one in file.scenario if only in (None, one.name)]
    return [(one, plan(one, file.seed, number, played=played)) for one in chosen for number in range(1, one.repeat + 1)]


def plan(scenario: Scenario, seed: int, number: int = 1, *, played: bool = False) -> Plan:
    """Make the choices of a scenario's so-manieth call. Other scenarios of the file have no part in them."""
    chance = random.Random(f"{seed}/{scenario.name}/{number}")
    own = chance.getrandbits(32)
    steps = tuple(_step(turn, chance) for turn in scenario.turns)
    persona = scenario.persona
    answers: list[Answer] = []
    otherwise: list[str] = []
    if persona is not None:
        for rule in persona.rules:
            act = Act(say=_one(rule.say, chance), keys=rule.keys, hang_up=rule.hang_up)
            answers.append(Answer(hears=rule.hears, act=act, times=rule.times))
        if persona.otherwise:
            otherwise = [_one(persona.otherwise, chance) for _ in range(persona.tries)]
    return Plan(
        scenario=scenario.name,
        number=number,
        seed=own,
        steps=steps,
        answers=tuple(answers),
        otherwise=tuple(otherwise),
        patience_s=persona.patience if persona is not None else max(turn.within for turn in scenario.turns),
        who=persona.who or "" if persona is not None and played else "",
        most=persona.most if persona is not None else 0,
        interruptions=_interruptions(scenario, chance),
        noise_db=scenario.noise,
        loss_percent=scenario.loss,
        packet_loss_percent=scenario.packet_loss,
    )


def _step(turn: Turn, chance: random.Random) -> Step:
    act = Act(say=_one(turn.say, chance), keys=turn.keys, hang_up=turn.hang_up)
    if turn.interrupt_at is not None:
        return Step(act=act, when="interrupting", after_s=turn.interrupt_at, patience_s=turn.within)
    when: Literal["quiet", "heard", "at once"] = (
        "at once" if turn.at_once else "heard" if turn.wait_for is not None else "quiet"
    )
    return Step(act=act, when=when, hears=turn.wait_for or "", after_s=turn.pause, patience_s=turn.within)


def _interruptions(scenario: Scenario, chance: random.Random) -> tuple[Interruption, ...]:
    wanted = scenario.interruptions
    if wanted is None:
        return ()
    found = []
    for utterance in range(1, MOST_INTERRUPTIONS + 1):
        if chance.random() < wanted.chance:
            after_s = round(chance.uniform(wanted.earliest, wanted.latest), 2)
            found.append(Interruption(utterance=utterance, after_s=after_s, say=_one(wanted.say, chance)))
    return tuple(found)


def _one(texts: tuple[str, ...], chance: random.Random) -> str:
    return chance.choice(texts) if texts else ""
