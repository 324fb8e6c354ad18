from __future__ import annotations

from typing import Any

import pytest

from worker.local.checks import Anything, ByType, Choice, Flag, Listing, Number, Rule, Shape, Table, Text, whole
from worker.local.errors import RequestError


def refused(rule: Rule, value: Any) -> tuple[str | None, str | None]:
    with pytest.raises(RequestError) as caught:
        rule.check(value, "it")
    return caught.value.code, caught.value.param


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        (Anything(), None),
        (Text(), ""),
        (Text(longest=3), "abc"),
        (Text(pattern="[a-z]+"), "abc"),
        (Text(nullable=True), None),
        (Choice(("a", "b")), "b"),
        (Flag(), True),
        (whole(1, 3), 3),
        (whole(1, 3, words=("inf",)), "inf"),
        (whole(1, 3, nullable=True), None),
        (Number(0, 1), 0.5),
        (Number(0, 1), 1),
        (Listing(Flag()), [True, False]),
        (Table(Text(), most=1), {"a": "b"}),
        (Shape({"a": Flag()}), {}),
        (Shape({"a": Flag()}, ("a",)), {"a": True}),
        (ByType({"x": Shape({"type": Anything()})}), {"type": "x"}),
        (ByType({"x": Anything()}, or_else=Choice(("auto",))), "auto"),
    ],
)
def test_what_fits_passes(rule: Rule, value: Any) -> None:
    rule.check(value, "it")


@pytest.mark.parametrize(
    ("rule", "value", "code", "param"),
    [
        (Text(), 1, "invalid_type", "it"),
        (Text(longest=2), "abc", "string_above_max_length", "it"),
        (Text(pattern="[a-z]+"), "a b", "invalid_value", "it"),
        (Choice(("a",)), "b", "invalid_value", "it"),
        (Choice(("a",)), 1, "invalid_type", "it"),
        (Flag(), 1, "invalid_type", "it"),
        (whole(1, 3), 1.5, "invalid_type", "it"),
        (whole(1, 3), True, "invalid_type", "it"),
        (whole(1, 3), 4, "integer_above_max_value", "it"),
        (whole(1, 3), 0, "integer_below_min_value", "it"),
        (Number(0, 1), 1.5, "decimal_above_max_value", "it"),
        (Number(0, 1), "x", "invalid_type", "it"),
        (Listing(Flag()), {}, "invalid_type", "it"),
        (Listing(Flag()), [True, 0], "invalid_type", "it[1]"),
        (Listing(Flag(), most=1), [True, True], "array_above_max_length", "it"),
        (Table(), [], "invalid_type", "it"),
        (Table(Text()), {"a": 1}, "invalid_type", "it.a"),
        (Table(most=1), {"a": 1, "b": 1}, "object_above_max_properties", "it"),
        (Table(longest_key=1), {"ab": 1}, "string_above_max_length", "it.ab"),
        (Shape({}), {"b": 1}, "unknown_parameter", "it.b"),
        (Shape({"a": Flag()}, ("a",)), {}, "missing_required_parameter", "it.a"),
        (Shape({}), None, "invalid_type", "it"),
        (ByType({"x": Anything()}), {}, "missing_required_parameter", "it.type"),
        (ByType({"x": Anything()}), {"type": "y"}, "invalid_value", "it.type"),
        (ByType({"x": Anything()}), {"type": 1}, "invalid_type", "it.type"),
        (ByType({"x": Anything()}), "x", "invalid_type", "it"),
    ],
)
def test_what_does_not_fit_is_named(rule: Rule, value: Any, code: str, param: str) -> None:
    assert refused(rule, value) == (code, param)


def test_the_message_lists_what_is_allowed() -> None:
    with pytest.raises(RequestError, match="Invalid value: 'x'. Supported values are: 'a', 'b', and 'c'."):
        Choice(("a", "b", "c")).check("x", "it")
