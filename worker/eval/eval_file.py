"""The evaluation's file (TOML): the agent, who calls it and how, and what each call is judged by.

A wrong key or value raises `EvalFileError`: one line with the file, the key's path and the nearest allowed key.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from worker.agent.faults import fault_line
from worker.errors import EvalFileError
from worker.eval.table import Choice, Keys, Pattern, Table
from worker.eval.text_model import TextModel
from worker.local.patterns import PatternError, jsgf
from worker.records.record import CallOutcome

__all__ = [
    "Ears",
    "EvalFile",
    "Expect",
    "FaultKind",
    "Persona",
    "Said",
    "Scenario",
    "ToolExpected",
    "Turn",
    "load_eval_file",
]

FaultKind = Literal["tool_worker_killed", "redis_away", "provider_killed", "provider_hangs"]
PATIENCE_S = 30.0
"""A caller who waits so long for the other's word gives up."""
PAUSE_S = 0.8
"""A person answers some 0.8 s after the other has stopped."""


class AgentUnderTest(Table):
    """Who is called."""

    file: Path | None = Field(default=None, description="the agent file; left out: OFFHOOK_AGENT, else the shipped one")
    uri: str | None = Field(
        default=None, pattern=r"^sips?:\S+$", description="a running worker's, which is called instead"
    )
    records: Path | None = Field(default=None, description="with uri: the folder of that worker's records")

    @model_validator(mode="after")
    def _one_of_them(self) -> AgentUnderTest:
        if self.uri is not None and self.file is not None:
            raise ValueError("file and uri exclude each other: a running worker has its agent file already")
        if self.records is not None and self.uri is None:
            raise ValueError("records goes with uri: our own worker's records are known")
        return self


class Ears(Table):
    """What the callers' own recogniser understands: patterns as in a dialogue file (worker/local)."""

    lines: tuple[str, ...] = Field(default=(), description="sentences of the agent's")
    phrases: dict[str, tuple[str, ...]] = Field(default_factory=dict, description="lists that the lines name")
    before: tuple[str, ...] = Field(default=(), description="fillers: said alone, or in one breath with a line")

    @model_validator(mode="after")
    def _readable(self) -> Ears:
        try:
            self.grammar()
        except PatternError as error:
            raise ValueError(str(error)) from None
        return self

    def grammar(self) -> str | None:
        """Return them as JSGF; None where there are none. Raises PatternError."""
        spoken = dict.fromkeys(" ".join(re.findall(r"[a-z']+", text.lower())) for text in self.before)
        before = f"[({'|'.join(spoken)})] " if spoken else ""
        lines = [*(before + line for line in self.lines), *spoken]
        return jsgf(lines, self.phrases) if lines else None


class Turn(Table):
    """One thing that the caller does, and when: by default once the agent has spoken and is quiet again."""

    say: Choice = Field(default=(), description="words, or several of which the seed chooses")
    keys: Keys = Field(default="", description="keys to press: 0-9, A-D, * and #")
    hang_up: bool = Field(default=False, description="end the call")
    wait_for: Pattern | None = Field(default=None, description="a regular expression on what the caller's ears hear")
    interrupt_at: float | None = Field(default=None, ge=0, description="s into what the agent says")
    at_once: bool = Field(default=False, description="wait for nothing but the pause")
    pause: float = Field(default=PAUSE_S, ge=0, le=600, description="s of quiet before it")
    within: float = Field(default=PATIENCE_S, gt=0, le=600, description="s after which the caller gives up waiting")

    @model_validator(mode="after")
    def _one_thing(self) -> Turn:
        if sum((bool(self.say), bool(self.keys), self.hang_up)) > 1:
            raise ValueError("say, keys and hang_up exclude each other: write a turn for each")
        if sum((self.wait_for is not None, self.interrupt_at is not None, self.at_once)) > 1:
            raise ValueError("wait_for, interrupt_at and at_once exclude each other")
        if not (self.say or self.keys or self.hang_up or self.wait_for):
            raise ValueError("needs one of say, keys, hang_up, wait_for")
        return self


class Rule(Table):
    """What a persona does when it hears something."""

    hears: Pattern
    say: Choice = ()
    keys: Keys = ""
    hang_up: bool = False
    times: int = Field(default=1, ge=1, description="how often in a call")

    @model_validator(mode="after")
    def _one_thing(self) -> Rule:
        if sum((bool(self.say), bool(self.keys), self.hang_up)) != 1:
            raise ValueError("needs one of say, keys, hang_up")
        return self


class Persona(Table):
    """A caller who reacts: by rules (the first one that fits what was heard, and is not used up), or as a text model
    plays them, where there is one and its key is set; without its key the rules play.
    """

    who: str | None = Field(default=None, min_length=1, description="who calls, why and in what mood, for the model")
    rules: tuple[Rule, ...] = ()
    most: int = Field(default=20, ge=1, le=200, description="how often the model is asked in a call")
    otherwise: Choice = Field(default=(), description="said after `patience` s without anything that a rule answers")
    tries: int = Field(default=3, ge=0, description="how often that is said, before the caller gives up")
    patience: float = Field(default=PATIENCE_S, gt=0, le=600, description="s of waiting before that")


class Interruptions(Table):
    """The caller speaks into what the agent says, by chance: which time, and where, is the seed's."""

    chance: float = Field(ge=0, le=1, description="for each time that the agent speaks")
    say: Choice = ("hold on",)
    earliest: float = Field(default=0.5, ge=0, description="s into what the agent says")
    latest: float = Field(default=2.0, ge=0, description="s into what the agent says")

    @model_validator(mode="after")
    def _in_order(self) -> Interruptions:
        if self.latest < self.earliest:
            raise ValueError("latest is before earliest")
        return self


class Fault(Table):
    """What is broken while the call goes on. A scenario with faults has processes of its own."""

    kind: FaultKind
    on: Literal["answer", "tool"] = Field(default="answer", description="what it is counted from: the first tool call")
    after: float = Field(default=0.0, ge=0, le=600, description="s")
    seconds: float = Field(default=3.0, gt=0, le=600, description="redis_away, provider_hangs: for so long")


class ToolExpected(Table):
    """A tool that is called so often; with `arguments` only calls with these count (further ones don't matter)."""

    name: str
    times: int = Field(default=1, ge=0)
    arguments: dict[str, Any] | None = None
    status: str | None = Field(default=None, description="of each of its calls, such as ok")


class Said(Table):
    """Something that the agent says, as the record has it."""

    text: Pattern = Field(description="a regular expression; capital letters don't matter")
    within: float | None = Field(default=None, gt=0, description="s")
    after: Pattern | None = Field(default=None, description="counted from the end of this turn of the caller's")


class Expect(Table):
    """What a call is judged by."""

    outcome: CallOutcome | None = None
    no_errors: bool = Field(default=False, description="the record tells of none")
    never_silent_over: float | None = Field(default=None, gt=0, description="s for which the caller waits for a voice")
    tools: tuple[ToolExpected, ...] = ()
    said: tuple[Said, ...] = ()
    heard: tuple[Pattern, ...] = Field(default=(), description="what the caller's own ears have to understand")
    judged: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(), description="the rubric: sentences that have to hold of the call, judged by [model]"
    )

    @property
    def needs_record(self) -> bool:
        """Whether it can't be judged by the caller alone."""
        return bool(self.outcome or self.no_errors or self.never_silent_over or self.tools or self.said or self.judged)


class Scenario(Table):
    """One kind of call."""

    name: str = Field(min_length=1)
    dialled: str = Field(default="agent", pattern=r"^[A-Za-z0-9+._-]+$", description="the number, for routes")
    caller: str = Field(default="eval", pattern=r"^[A-Za-z0-9+._-]+$", description="who calls")
    repeat: int = Field(default=1, ge=1, le=1000, description="calls, each with a seed of its own")
    turns: tuple[Turn, ...] = ()
    persona: Persona | None = Field(default=None, description="takes over after the turns")
    interruptions: Interruptions | None = None
    noise: float | None = Field(default=None, ge=-20, le=80, description="dB that the voice stands over white noise")
    loss: float = Field(default=0.0, ge=0, le=100, description="per cent of the caller's frames that are silenced")
    packet_loss: int = Field(default=0, ge=0, le=100, description="per cent of RTP packets that are lost, each way")
    at_most: float = Field(default=120.0, gt=0, le=3600, description="s of call, then it is broken off and has failed")
    faults: tuple[Fault, ...] = ()
    expect: Expect = Expect()

    @model_validator(mode="after")
    def _somebody_acts(self) -> Scenario:
        if not self.turns and (self.persona is None or not (self.persona.rules or self.persona.who)):
            raise ValueError("needs turns, or a persona with rules or with who: nobody would say a word")
        return self

    @property
    def listens(self) -> bool:
        """Whether the caller's ears are needed."""
        return bool(self.persona or self.expect.heard or any(turn.wait_for for turn in self.turns))


class EvalFile(Table):
    """The whole file."""

    seed: int = Field(default=1, ge=0, description="of all that is left to chance")
    at_once: int = Field(default=1, ge=1, le=100, description="calls at the same time")
    agent: AgentUnderTest = AgentUnderTest()
    ears: Ears = Ears()
    model: TextModel | None = None
    scenario: tuple[Scenario, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> EvalFile:
        if not self.scenario:
            raise ValueError("there is no scenario: write each as a table of its own, [[scenario]]")
        names = [one.name for one in self.scenario]
        for number, one in enumerate(self.scenario, 1):
            place = f"scenario[{number}] ({one.name})"
            if one.name in names[: number - 1]:
                raise ValueError(f"{place}: the name is taken already")
            if one.listens and not self.ears.lines:
                raise ValueError(f"{place}: wait_for, heard and a persona need [ears] with lines")
            if self.model is None and (one.expect.judged or (one.persona is not None and one.persona.who)):
                raise ValueError(f"{place}: who and judged are for a text model: write [model] with url and name")
            if self.agent.uri is not None:
                _check_foreign(one, place, self.agent.records)
        return self


def _check_foreign(scenario: Scenario, place: str, records: Path | None) -> None:
    """What can't be had of a worker that somebody else runs."""
    if scenario.faults:
        raise ValueError(f"{place}: faults are for our own processes: name the agent's file in place of uri")
    if records is None and scenario.expect.needs_record:
        raise ValueError(f"{place}: all but heard is judged by the record: name the folder, agent.records")
    if any(tool.arguments is not None for tool in scenario.expect.tools):
        raise ValueError(f"{place}: arguments stand in no record: name the agent's file in place of uri")


def load_eval_file(path: Path) -> EvalFile:
    """Read the file; paths in it are taken from its own folder. Raises `EvalFileError`, a line for each fault."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise EvalFileError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise EvalFileError(f"{path}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise EvalFileError(f"{path}: is not TOML: {error}") from None
    try:
        found = EvalFile.model_validate(raw)
    except ValidationError as error:
        lines = [fault_line(detail, EvalFile, f"{path}: ") for detail in error.errors(include_url=False)]
        raise EvalFileError([line.replace(": : ", ": ") for line in lines]) from None
    given = {"file": found.agent.file, "records": found.agent.records}
    own = {name: (path.parent / place).resolve() for name, place in given.items() if place is not None}
    for name, place in own.items():
        if not place.exists():
            raise EvalFileError(f"{path}: agent.{name}: there is no {place}")
    return found.model_copy(update={"agent": found.agent.model_copy(update=own)})
