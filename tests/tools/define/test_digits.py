from __future__ import annotations

import json
from typing import Annotated, Any

import pytest
from pydantic import SecretStr

from tools import Digits, Needs, ToolDefinitionError, tool
from tools.define.chain import check
from tools.define.digits import hidden, shown

CARD = "4111111111111111"
NONE = SecretStr("")
Card = Annotated[SecretStr, Digits(13, 19, show="last4")]


def spec(function: Any) -> Any:
    return function.__tool__


def test_the_model_sees_no_such_parameter_and_is_told_that_it_is_typed() -> None:
    @tool
    def pay(order: str, card: Card) -> str:
        """Pay an order."""
        return ""

    found = spec(pay).as_function()
    assert found["parameters"]["properties"].keys() == {"order"} and found["parameters"]["required"] == ["order"]
    assert found["description"].startswith("Pay an order. The caller types card on the keypad")


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Annotated[str, Digits()], "SecretStr"),
        (Annotated[SecretStr, Digits(0)], "give 1 to 32"),
        (Annotated[SecretStr, Digits(5, 4)], "give 1 to 32"),
        (Annotated[SecretStr, Digits(4, 33)], "give 1 to 32"),
        (Annotated[SecretStr, Digits(4, 4, show="last4")], "tells too much"),
        (Annotated[SecretStr, Digits(show="all")], "nothing, length, last4"),  # type: ignore[arg-type]
        (Annotated[SecretStr, Digits(seconds=0)], "give 2 to 60"),
    ],
)
def test_what_can_not_be_is_refused(annotation: Any, words: str) -> None:
    def pin(typed: Any) -> None:
        """Take a PIN."""

    pin.__annotations__ = {"typed": annotation}
    with pytest.raises(ToolDefinitionError, match=words):
        tool(pin)


def test_nothing_that_is_typed_has_a_default_or_is_kept_or_needed_by_others() -> None:
    with pytest.raises(ToolDefinitionError, match="leave its default out"):

        @tool
        def one(card: Card = NONE) -> None:
            """One."""

    with pytest.raises(ToolDefinitionError, match="in no cache"):

        @tool(cache=5)
        def two(card: Card) -> None:
            """Two."""

    @tool
    def three(card: Card) -> dict[str, str]:
        """Three."""
        return {}

    @tool
    def four(found: Annotated[dict[str, str], Needs("three")]) -> None:
        """Four."""

    with pytest.raises(ToolDefinitionError, match="for the tool alone"):
        check(spec(four), {"three": spec(three)}.get)


def test_the_model_is_told_as_much_as_the_tool_allows() -> None:
    digits = {"a": Digits(), "b": Digits(show="length"), "c": Digits(8, show="last4")}
    typed = {"a": "1234", "b": "1234", "c": CARD}
    assert shown(digits, typed) == {
        "a": "entered",
        "b": "entered, 4 digits",
        "c": "entered, 16 digits, ending in 1111",
    }


@pytest.mark.parametrize("said", [CARD, int(CARD), "4111 1111 1111 1111", "card 4111-1111-1111-1111.", [{CARD: CARD}]])
def test_what_a_tool_gives_back_of_it_is_taken_out(said: Any) -> None:
    text = hidden(json.dumps({"result": said, "paid": True, "cents": 4200}), {"card": CARD})
    assert "1111" not in text and json.loads(text)["cents"] == 4200


def test_a_short_one_takes_nothing_else_to_pieces() -> None:
    assert json.loads(hidden('{"order": 41234, "pin": "1234", "n": 1234.5}', {"pin": "1234"})) == {
        "order": 41234,
        "pin": "[typed digits]",
        "n": "[typed digits]",
    }
    assert hidden("code 1234!", {"pin": "1234"}) == "code [typed digits]!"
