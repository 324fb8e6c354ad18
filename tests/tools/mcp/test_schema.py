"""Arguments against somebody else's JSON schema: what the model is shown, what is taken, and the words for the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tools.errors import InvalidArguments
from tools.mcp.schema import json_signature

ORDER = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Order",
    "type": "object",
    "properties": {
        "number": {"type": "string", "title": "Number"},
        "pieces": {"type": "integer", "minimum": 1},
        "to": {"$ref": "#/$defs/place"},
    },
    "required": ["number"],
    "additionalProperties": False,
    "$defs": {"place": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
    "anyOf": [{"required": ["pieces"]}, {"required": ["to"]}],
}


def words(arguments: Any) -> tuple[str, str]:
    with pytest.raises(InvalidArguments) as caught:
        json_signature(ORDER).bind(arguments if isinstance(arguments, str) else json.dumps(arguments))
    return str(caught.value), caught.value.reason


def test_the_model_is_shown_an_object_without_what_providers_refuse() -> None:
    shown = json_signature(ORDER).parameters
    assert shown["properties"]["to"] == ORDER["$defs"]["place"]  # type: ignore[index]
    assert set(shown) == {"type", "properties", "required", "additionalProperties"}
    assert json_signature({}).parameters == {"type": "object", "properties": {}, "required": []}


def test_what_fits_is_passed_on_as_it_was_meant() -> None:
    signature = json_signature(ORDER)
    assert signature.bind('{"number": 427, "pieces": "3"}') == {"arguments": {"number": "427", "pieces": 3}}
    assert signature.canonical({"pieces": 3, "number": 427}) == '{"number": "427", "pieces": 3}'
    assert json_signature({}).bind("") == {"arguments": {}}


@pytest.mark.parametrize(
    ("arguments", "said", "reason"),
    [
        ({"pieces": 1}, "the field 'number' is missing", "the arguments: required"),
        ({"number": "1", "pieces": 1, "peices": 2}, "there is no field 'peices' (did you mean 'pieces'?)", "addit"),
        ({"number": "1", "pieces": 0}, "the field 'pieces' is wrong: 0 is less than the minimum of 1", "pieces: min"),
        ({"number": "1", "to": {}}, "the field 'city' is missing in 'to'", "to: required"),
        ({"number": "1"}, "the arguments are wrong", "the arguments: anyOf"),
        ("[]", "have to be a JSON object", "arguments are a list"),
        ("{", "are not valid JSON", "not JSON"),
    ],
)
def test_what_does_not_fit_is_told_by_its_field(arguments: Any, said: str, reason: str) -> None:
    found = words(arguments)
    assert said in found[0] and reason in found[1]


def test_a_value_never_reaches_the_reason_for_the_log() -> None:
    found = words({"number": "1", "pieces": "s3cret"})
    assert "s3cret" in found[0] and "s3cret" not in found[1]
