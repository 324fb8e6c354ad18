"""Reads a dialogue file (TOML): what is heard, what is said, which function is called and how its result is worded.

A wrong file is one line: the file, the key, what is wrong, the nearest allowed key. README.md shows the format.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, get_type_hints

from worker.local.brain import STALLS, Faults
from worker.local.errors import DialogueError
from worker.local.patterns import Pattern, PatternError, parse

__all__ = ["Answer", "CallRule", "Dialogue", "TurnRule", "load_dialogue", "read_dialogue"]

DEFAULT = Path(__file__).parent / "dialogues" / "default.toml"


@dataclass(frozen=True, slots=True)
class Answer:
    """How a result is worded. when: what its fields must be ("*": present); say: words, one of them in turn."""

    when: Mapping[str, Any]
    say: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CallRule:
    """A function call. arguments: templates of the slots; optional: left out where the session has no such tool."""

    tool: str
    arguments: Mapping[str, Any]
    answers: tuple[Answer, ...]
    optional: bool


@dataclass(frozen=True, slots=True)
class TurnRule:
    """One thing that is understood. fault: what goes wrong in its place (see README.md)."""

    hears: tuple[Pattern, ...]
    say: tuple[str, ...]
    calls: tuple[CallRule, ...]
    pending: tuple[str, ...]
    fault: str | None


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A dialogue file."""

    turns: tuple[TurnRule, ...]
    greeting: tuple[str, ...] = ("Hello.",)
    pending: tuple[str, ...] = ("I am still looking.",)
    not_understood: tuple[str, ...] = ("I am sorry, I did not understand that.",)
    failed: tuple[str, ...] = ("I am sorry, that did not work.",)
    unable: tuple[str, ...] = ("I am sorry, I can't do that.",)
    idle: tuple[str, ...] = ("Are you still there?",)
    results_alone: bool = False
    """Results are told only where nothing new was said: a question is answered alone, as some models do."""
    faults: Faults = field(default_factory=Faults)

    @property
    def patterns(self) -> list[Pattern]:
        """Everything that is heard."""
        return [pattern for turn in self.turns for pattern in turn.hears]


FAULTS_OF_A_TURN = ("close", "silence", "fail", "bad_arguments")
WORDS = ("greeting", "pending", "not_understood", "failed", "unable", "idle")


def load_dialogue(path: Path | None = None) -> Dialogue:
    """Read a dialogue file, the shipped one by default. Raises DialogueError."""
    path = path or DEFAULT
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise DialogueError(f"{path}: can't be read: {reason}") from None
    return read_dialogue(text, str(path))


def read_dialogue(text: str, name: str = "dialogue") -> Dialogue:
    """Read a dialogue from TOML text. Raises DialogueError, its message beginning with `name`."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DialogueError(f"{name}: not valid TOML: {error}") from None
    return _Reader(name).dialogue(values)


class _Reader:
    """Turns TOML values into a dialogue; knows the file's name for its errors."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.phrases: dict[str, tuple[str, ...]] = {}

    def wrong(self, key: str, what: str) -> DialogueError:
        return DialogueError(f"{self.name}: {key}: {what}")

    def keys(self, table: Any, path: str, allowed: tuple[str, ...]) -> dict[str, Any]:
        if not isinstance(table, dict):
            raise self.wrong(path, "must be a table")
        for key in table:
            if key not in allowed:
                near = difflib.get_close_matches(key, allowed, 1, 0.5)
                hint = f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(allowed)}"
                raise self.wrong(f"{path}.{key}" if path else key, f"unknown key; {hint}")
        return table

    def words(self, table: Mapping[str, Any], key: str, path: str) -> tuple[str, ...]:
        value = table.get(key, [])
        found = [value] if isinstance(value, str) else value
        if not isinstance(found, list) or not all(isinstance(one, str) and one.strip() for one in found):
            raise self.wrong(f"{path}{key}", "must be a text, or a list of texts")
        return tuple(found)

    def tables(self, table: Mapping[str, Any], key: str, path: str) -> list[Any]:
        value = table.get(key, [])
        if not isinstance(value, list):
            raise self.wrong(f"{path}{key}", f"must be written as [[{path}{key}]]")
        return value

    def dialogue(self, values: dict[str, Any]) -> Dialogue:
        self.keys(values, "", (*WORDS, "results_alone", "slots", "faults", "turn"))
        alone = values.get("results_alone", False)
        if not isinstance(alone, bool):
            raise self.wrong("results_alone", "must be true or false")
        slots = values.get("slots", {})
        if not isinstance(slots, dict):
            raise self.wrong("slots", "must be a table")
        self.phrases = {name: self.words(slots, name, "slots.") for name in slots}
        turns = [self.turn(one, f"turn[{index}]") for index, one in enumerate(self.tables(values, "turn", ""))]
        if not turns:
            raise self.wrong("turn", "there must be one [[turn]] at least")
        given = {key: self.words(values, key, "") for key in WORDS if key in values}
        return Dialogue(tuple(turns), results_alone=alone, faults=self.faults(values.get("faults", {})), **given)

    def faults(self, table: Any) -> Faults:
        hints = get_type_hints(Faults)
        self.keys(table, "faults", tuple(one.name for one in fields(Faults)))
        for key, value in table.items():
            allowed = hints[key].__args__ if isinstance(hints[key], UnionType) else (hints[key],)
            if type(value) not in allowed and not (type(value) is int and float in allowed):
                expected = " or ".join(one.__name__ for one in allowed if one is not type(None))
                raise self.wrong(f"faults.{key}", f"must be of type {expected}")
        if table.get("stall") not in (None, *STALLS):
            raise self.wrong("faults.stall", f"must be one of {', '.join(STALLS)}")
        return Faults(**table)

    def turn(self, table: Any, path: str) -> TurnRule:
        self.keys(table, path, ("hears", "say", "call", "pending", "fault"))
        hears = tuple(self.pattern(one, f"{path}.hears") for one in self.words(table, "hears", f"{path}."))
        if not hears:
            raise self.wrong(f"{path}.hears", "is missing: what is heard?")
        calls = self.tables(table, "call", f"{path}.")
        fault = table.get("fault")
        if fault is not None and fault not in FAULTS_OF_A_TURN:
            raise self.wrong(f"{path}.fault", f"must be one of {', '.join(FAULTS_OF_A_TURN)}")
        say = self.words(table, "say", f"{path}.")
        if not (say or calls or fault):
            raise self.wrong(path, "there is nothing to do: give it say, [[turn.call]] or fault")
        return TurnRule(
            hears,
            say,
            tuple(self.call(one, f"{path}.call[{index}]") for index, one in enumerate(calls)),
            self.words(table, "pending", f"{path}."),
            fault,
        )

    def pattern(self, source: str, path: str) -> Pattern:
        try:
            return parse(source, self.phrases)
        except PatternError as error:
            raise self.wrong(path, f"{source!r}: {error}") from None

    def call(self, table: Any, path: str) -> CallRule:
        self.keys(table, path, ("tool", "arguments", "answer", "optional"))
        tool, arguments = table.get("tool"), table.get("arguments", {})
        if not isinstance(tool, str) or not tool:
            raise self.wrong(f"{path}.tool", "must be the name of a function")
        if not isinstance(arguments, dict):
            raise self.wrong(f"{path}.arguments", "must be a table")
        answers = self.tables(table, "answer", f"{path}.")
        optional = table.get("optional", False)
        if not isinstance(optional, bool):
            raise self.wrong(f"{path}.optional", "must be true or false")
        found = tuple(self.answer(one, f"{path}.answer[{index}]") for index, one in enumerate(answers))
        return CallRule(tool, arguments, found, optional)

    def answer(self, table: Any, path: str) -> Answer:
        self.keys(table, path, ("when", "say"))
        when = table.get("when", {})
        if not isinstance(when, dict):
            raise self.wrong(f"{path}.when", "must be a table")
        say = self.words(table, "say", f"{path}.")
        if not say:
            raise self.wrong(f"{path}.say", "is missing: how is the result worded?")
        return Answer(when, say)
