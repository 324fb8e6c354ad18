from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from tools import ToolContext, ToolDefinitionError
from tools.define.schema import nearest, signature_of
from tools.errors import InvalidArguments


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Address(BaseModel):
    """Where it goes."""

    street: str
    title: str | None = None


class Tree(BaseModel):
    children: list[Tree] = []


def order(
    article: Annotated[str, "The article's name."],
    count: int = 1,
    size: Size = Size.SMALL,
    to: Address | None = None,
    how: Literal["fast", "cheap"] = "cheap",
    day: date | None = None,
) -> None: ...


def test_the_schema_is_small_closed_and_complete() -> None:
    schema = signature_of(order).parameters
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["article"]
    properties = schema["properties"]
    assert properties["article"] == {"type": "string", "description": "The article's name."}
    assert properties["count"] == {"type": "integer", "default": 1}
    assert properties["size"]["enum"] == ["small", "large"]
    assert "$ref" not in str(schema) and "$defs" not in str(schema)
    address = properties["to"]["anyOf"][0]
    assert set(address["properties"]) == {"street", "title"}  # a field named title is no title
    assert "title" not in address


def test_a_recursive_model_keeps_its_reference() -> None:
    def grow(tree: Tree) -> None: ...

    schema = signature_of(grow).parameters["properties"]["tree"]
    assert "$ref" in str(schema) and "Tree" in schema["$defs"]


def test_arguments_become_what_the_function_wants() -> None:
    text = '{"article": "lamp", "size": "large", "to": {"street": "High Street"}, "day": "2026-03-01"}'
    assert signature_of(order).bind(text) == {
        "article": "lamp",
        "size": Size.LARGE,
        "to": Address(street="High Street"),
        "day": date(2026, 3, 1),
    }


def test_a_number_is_taken_for_the_text_that_a_tool_wants() -> None:
    assert signature_of(order).bind('{"article": 427}') == {"article": "427"}


def test_parameters_may_have_any_name() -> None:
    def odd(schema: str, json: str, model_config: str, copy: str = "x") -> None: ...

    arguments = {"schema": "a", "json": "b", "model_config": "c"}
    assert signature_of(odd).bind('{"schema": "a", "json": "b", "model_config": "c"}') == arguments


def test_the_context_is_not_the_model_s_business() -> None:
    def here(context: ToolContext, x: int) -> None: ...

    signature = signature_of(here)
    assert signature.context == "context"
    assert list(signature.parameters["properties"]) == ["x"]


def test_no_arguments_may_be_sent_as_an_empty_text() -> None:
    def nothing() -> None: ...

    assert signature_of(nothing).bind("") == {}
    assert signature_of(nothing).bind("{}") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{order: 427}", "The arguments are not valid JSON at character 1. Send one JSON object."),
        ('{"article": ', "not valid JSON at character"),
        ("[1]", "have to be a JSON object, not a list"),
        ("{}", "the field 'article' is missing"),
        ('{"article": "x", "coutn": 2}', "there is no field 'coutn' (did you mean 'count'?)"),
        ('{"article": "x", "zzz": 2}', "there is no field 'zzz' (the fields are: article, count, "),
        ('{"article": "x", "count": "many"}', "the field 'count' is wrong: Input should be a valid integer"),
        ('{"article": "x", "to": {}}', "the field 'to.street' is missing"),
        ('{"article": "x", "size": "huge"}', "the field 'size' is wrong: Input should be 'small' or 'large'"),
        ("[" * 100_000, "too long"),
        ("[" * 50_000, "not valid JSON"),
    ],
)
def test_wrong_arguments_are_explained_to_the_model(text: str, message: str) -> None:
    with pytest.raises(InvalidArguments) as caught:
        signature_of(order).bind(text)
    assert message in str(caught.value)


def test_the_reason_for_the_log_has_no_values() -> None:
    with pytest.raises(InvalidArguments) as caught:
        signature_of(order).bind('{"article": "x", "count": "4111-1111"}')
    assert caught.value.reason == "count: int_parsing"


@given(st.text())
def test_whatever_the_model_sends_is_taken_or_explained(text: str) -> None:
    try:
        assert "article" in signature.bind(text)
    except InvalidArguments as error:
        assert str(error)


signature = signature_of(order)


def no_type(x) -> None: ...  # type: ignore[no-untyped-def]
def star(*numbers: int) -> None: ...
def star_star(**options: int) -> None: ...
def positional(x: int, /) -> None: ...
def alien(x: socket.socket) -> None: ...
def callback(x: Callable[[], None]) -> None: ...
def undefined(x: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def takes_bytes(x: list[bytes]) -> None: ...
def wrong_default(article: int = "x") -> None: ...  # type: ignore[assignment]
def text_for_a_date(day: date = "2026-01-01") -> None: ...  # type: ignore[assignment]
def below(x: Annotated[int, Field(ge=1)] = 0) -> None: ...
def no_annotation(x: 3) -> None: ...  # type: ignore[valid-type]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (no_type, "x has no type: annotate it, such as `x: str`"),
        (star, "*numbers can't be described to a model: name each parameter"),
        (star_star, "**options can't be described"),
        (positional, "x is positional only: take the `/` out"),
        (alien, "x is a socket, which can't be described to a model: take str, int"),
        (callback, "x is a"),
        (undefined, "the annotation 'Nowhere' is not defined: import it"),
        (takes_bytes, "x takes bytes, which a model can't send: take str"),
        (wrong_default, "the default of article, 'x', does not fit its type (Input should be a valid integer)"),
        (text_for_a_date, "the default of day, '2026-01-01', does not fit its type"),
        (below, "the default of x, 0, does not fit its type"),
        (no_annotation, "x is a 3, which can't be described"),
    ],
)
def test_a_signature_that_cannot_be_described_says_how_to_mend_it(function: Callable[..., Any], message: str) -> None:
    with pytest.raises(ToolDefinitionError) as caught:
        signature_of(function)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"tool {function.__module__}:{function.__name__}: ")


def test_defaults_that_fit_are_taken() -> None:
    def fine(a: float = 1, b: str | None = None, c: str = None, d: date = date(2026, 1, 1)) -> None: ...  # type: ignore[assignment]

    assert signature_of(fine).parameters["required"] == []


def test_a_constraint_is_kept_in_the_schema_and_checked() -> None:
    def book(seats: Annotated[int, Field(ge=1, le=8, description="How many.")]) -> None: ...

    found = signature_of(book)
    assert found.parameters["properties"]["seats"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 8,
        "description": "How many.",
    }
    with pytest.raises(InvalidArguments, match="less than or equal to 8"):
        found.bind('{"seats": 9}')


def test_the_nearest_name() -> None:
    assert nearest("order_stats", ["order_status", "current_time"]) == "order_status"
    assert nearest("zzz", ["order_status"]) is None
