from __future__ import annotations

import json

import pytest

from worker.call_tools.transfer import SUMMARY_CHARS, Target, open_to, transfer_call_function, wanted

SALES = Target(label="sales", uri="sip:200@pbx.example.com", description="orders and prices")
BOSS = Target(label="boss", uri="sip:1@pbx.example.com", callers=("+4930*", "alice"))


def test_a_caller_has_the_targets_whose_patterns_fit() -> None:
    assert open_to((SALES, BOSS), "+4940123") == (SALES,)
    assert open_to((SALES, BOSS), "+49 30 123") == (SALES, BOSS)
    assert open_to((SALES, BOSS), "alice") == (SALES, BOSS)
    assert open_to((BOSS,), "") == ()


def test_the_model_sees_labels_and_no_uri() -> None:
    function = transfer_call_function((SALES, BOSS))
    assert function["parameters"]["properties"]["to"]["enum"] == ["sales", "boss"]
    assert "orders and prices" in json.dumps(function)
    assert "sip:" not in json.dumps(function) and "pbx" not in json.dumps(function)


def test_what_the_model_asks_for() -> None:
    found = wanted('{"to": "sales", "summary": " wants\\n shoes\\u0007 "}', (SALES, BOSS))
    assert (found.target, found.way, found.summary, found.fault) == (SALES, "blind", "wants shoes", "")
    long = wanted(json.dumps({"to": "boss", "summary": "x" * 5000}), (BOSS,))
    assert len(long.summary) == SUMMARY_CHARS


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ("", "'to' has to be one of: sales."),
        ("{", "The arguments have to be a JSON object."),
        ("[" * 100_000, "The arguments have to be a JSON object."),
        ("[1]", "The arguments have to be a JSON object."),
        ('{"to": "sip:attacker@evil.example", "summary": ""}', "'to' has to be one of: sales."),
        ('{"to": "boss", "summary": ""}', "'to' has to be one of: sales."),
        ('{"to": ["sales"]}', "'to' has to be one of: sales."),
        ('{"to": "sales", "way": "sideways"}', "'way' has to be one of: blind."),
        ('{"to": "sales", "way": ["blind"]}', "'way' has to be one of: blind."),
    ],
)
def test_nothing_but_a_label_of_the_list_comes_of_it(arguments: str, fault: str) -> None:
    found = wanted(arguments, (SALES,))
    assert (found.target, found.fault) == (None, fault)


def test_the_way_is_the_targets_first_and_may_be_chosen_where_there_are_two() -> None:
    both = Target(label="both", uri="sip:3@pbx.example.com", ways=("attended", "blind"))
    assert "way" not in transfer_call_function((SALES, BOSS))["parameters"]["properties"]
    assert transfer_call_function((both,))["parameters"]["properties"]["way"]["enum"] == ["attended", "blind"]
    assert wanted('{"to": "both"}', (both,)).way == "attended"
    assert wanted('{"to": "both", "way": "blind"}', (both,)).way == "blind"
