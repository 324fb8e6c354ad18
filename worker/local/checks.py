"""Rules for the shape of what a client sends, checked as strictly as the service does it. Pure.

A rule is a small frozen object with `check(value, path)`; it raises `RequestError` with the path of the field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from worker.local.errors import RequestError

__all__ = [
    "Anything",
    "ByType",
    "Choice",
    "Flag",
    "Listing",
    "Number",
    "OneOf",
    "Rule",
    "Shape",
    "Table",
    "Text",
    "whole",
]


class Rule(Protocol):
    """What a value has to be."""

    def check(self, value: Any, path: str) -> None:
        """Raise RequestError if `value`, which stands at `path`, breaks the rule."""


def _kind(value: Any) -> str:
    """The JSON name of a value's type, with its article."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    names = {int: "an integer", float: "a decimal", str: "a string", list: "an array", dict: "an object"}
    return names.get(type(value), "a value")


def wrong_type(value: Any, path: str, expected: str) -> RequestError:
    """The error for a value of another JSON type."""
    message = f"Invalid type for '{path}': expected {expected}, but got {_kind(value)} instead."
    return RequestError(message, code="invalid_type", param=path)


def wrong_value(value: Any, path: str, allowed: tuple[Any, ...]) -> RequestError:
    """The error for a value that is not among the allowed ones."""
    listed = [f"'{one}'" for one in allowed]
    names = listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])}, and {listed[-1]}"
    message = f"Invalid value: '{value}'. Supported values are: {names}."
    return RequestError(message, code="invalid_value", param=path)


@dataclass(frozen=True, slots=True)
class Anything:
    """Any JSON value."""

    def check(self, value: Any, path: str) -> None:
        """Accept it."""


@dataclass(frozen=True, slots=True)
class Text:
    """A string; `longest` in characters, `pattern` over all of it."""

    longest: int | None = None
    pattern: str | None = None
    nullable: bool = False

    def check(self, value: Any, path: str) -> None:
        """Raise unless it is such a string."""
        if value is None and self.nullable:
            return
        if not isinstance(value, str):
            raise wrong_type(value, path, "a string")
        if self.longest is not None and len(value) > self.longest:
            message = (
                f"Invalid '{path}': string too long. Expected a string with maximum length {self.longest}, "
                f"but got a string with length {len(value)} instead."
            )
            raise RequestError(message, code="string_above_max_length", param=path)
        if self.pattern is not None and not re.fullmatch(self.pattern, value):
            message = f"Invalid '{path}': string does not match pattern. Expected one that matches '{self.pattern}'."
            raise RequestError(message, code="invalid_value", param=path)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few strings."""

    values: tuple[str, ...]
    nullable: bool = False

    def check(self, value: Any, path: str) -> None:
        """Raise unless it is one of them."""
        if value is None and self.nullable:
            return
        if not isinstance(value, str):
            raise wrong_type(value, path, "a string")
        if value not in self.values:
            raise wrong_value(value, path, self.values)


@dataclass(frozen=True, slots=True)
class Flag:
    """A boolean."""

    def check(self, value: Any, path: str) -> None:
        """Raise unless it is one."""
        if not isinstance(value, bool):
            raise wrong_type(value, path, "a boolean")


@dataclass(frozen=True, slots=True)
class Number:
    """A number between `low` and `high`, both included."""

    low: float
    high: float
    nullable: bool = False
    whole: bool = False
    words: tuple[str, ...] = ()
    """Strings that may stand in its place, such as "inf"."""

    def check(self, value: Any, path: str) -> None:
        """Raise unless it is such a number."""
        if (value is None and self.nullable) or (isinstance(value, str) and value in self.words):
            return
        noun = "integer" if self.whole else "decimal"
        article = "an" if self.whole else "a"
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            raise wrong_type(value, path, f"{article} {noun}")
        if not self.low <= value <= self.high:
            below = value < self.low
            message = (
                f"Invalid '{path}': {noun} {'below minimum' if below else 'above maximum'} value. Expected a value "
                f"{'>=' if below else '<='} {self.low if below else self.high}, but got {value} instead."
            )
            code = f"{noun}_{'below_min' if below else 'above_max'}_value"
            raise RequestError(message, code=code, param=path)


def whole(low: int, high: int, *, nullable: bool = False, words: tuple[str, ...] = ()) -> Number:
    """A rule for an integer between `low` and `high`, both included."""
    return Number(low, high, nullable, True, words)


@dataclass(frozen=True, slots=True)
class Listing:
    """An array, each element by one rule."""

    element: Rule
    most: int | None = None
    nullable: bool = False

    def check(self, value: Any, path: str) -> None:
        """Raise unless it is such an array."""
        if value is None and self.nullable:
            return
        if not isinstance(value, list):
            raise wrong_type(value, path, "an array")
        if self.most is not None and len(value) > self.most:
            message = f"Invalid '{path}': array too long. Expected an array with maximum length {self.most}."
            raise RequestError(message, code="array_above_max_length", param=path)
        for index, one in enumerate(value):
            self.element.check(one, f"{path}[{index}]")


@dataclass(frozen=True, slots=True)
class Table:
    """An object with any keys, each value by one rule."""

    value: Rule = Anything()
    most: int | None = None
    longest_key: int | None = None
    nullable: bool = False

    def check(self, value: Any, path: str) -> None:
        """Raise unless it is such an object."""
        if value is None and self.nullable:
            return
        if not isinstance(value, dict):
            raise wrong_type(value, path, "an object")
        if self.most is not None and len(value) > self.most:
            message = f"Invalid '{path}': too many properties. Expected an object with at most {self.most} properties."
            raise RequestError(message, code="object_above_max_properties", param=path)
        for key, one in value.items():
            Text(longest=self.longest_key).check(key, f"{path}.{key}")
            self.value.check(one, f"{path}.{key}")


@dataclass(frozen=True, slots=True)
class Shape:
    """An object with known fields and no others."""

    fields: Mapping[str, Rule]
    required: tuple[str, ...] = ()
    nullable: bool = False

    def check(self, value: Any, path: str) -> None:
        """Raise unless it is such an object. `path` is empty for the event itself."""
        if value is None and self.nullable:
            return
        if not isinstance(value, dict):
            raise wrong_type(value, path, "an object")
        prefix = f"{path}." if path else ""
        for name in self.required:
            if name not in value:
                where = prefix + name
                message = f"Missing required parameter: '{where}'."
                raise RequestError(message, code="missing_required_parameter", param=where)
        for name, one in value.items():
            rule = self.fields.get(name)
            if rule is None:
                where = prefix + name
                raise RequestError(f"Unknown parameter: '{where}'.", code="unknown_parameter", param=where)
            rule.check(one, prefix + name)


@dataclass(frozen=True, slots=True)
class OneOf:
    """A value by one rule where it is no object, and by another where it is one; null is neither."""

    plain: Rule
    table: Rule

    def check(self, value: Any, path: str) -> None:
        """Raise unless it fits the one that is meant."""
        (self.table if isinstance(value, dict) else self.plain).check(value, path)


@dataclass(frozen=True, slots=True)
class ByType:
    """An object whose shape hangs on one of its fields (`key`)."""

    shapes: Mapping[str, Rule]
    key: str = "type"
    nullable: bool = False
    or_else: Rule | None = None
    """What a string in its place has to be; None: no string."""

    def check(self, value: Any, path: str) -> None:
        """Raise unless it is an object of one of the shapes."""
        if value is None and self.nullable:
            return
        if isinstance(value, str) and self.or_else is not None:
            self.or_else.check(value, path)
            return
        if not isinstance(value, dict):
            raise wrong_type(value, path, "an object")
        where = f"{path}.{self.key}" if path else self.key
        if self.key not in value:
            message = f"Missing required parameter: '{where}'."
            raise RequestError(message, code="missing_required_parameter", param=where)
        chosen = value[self.key]
        if not isinstance(chosen, str):
            raise wrong_type(chosen, where, "a string")
        if chosen not in self.shapes:
            raise wrong_value(chosen, where, tuple(self.shapes))
        self.shapes[chosen].check(value, path)
