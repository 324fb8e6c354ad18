"""Who may be offered what, and whom a call back may dial."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.call_tools.later import WORDS, LaterWays, call_back_uri, offer_words, opening_words

TEMPLATE = "sip:{caller}@trunk.example.com:5080;transport=tcp"
BOTH = ("call_back", "send")


@pytest.mark.parametrize("caller", ["+491711234567", "0301234", "alice", "john.doe", "line-7_a"])
def test_plain_numbers_and_names_are_dialled(caller: str) -> None:
    assert call_back_uri(TEMPLATE, caller) == f"sip:{caller}@trunk.example.com:5080;transport=tcp"


@pytest.mark.parametrize(
    "caller",
    [
        "",
        "anonymous",
        "Anonymous",
        "anonymous.invalid",
        "unknown",
        "192.0.2.7",  # the host of a caller without a user part
        "2001",  # a control: this one is plain
        "2001:db8::1",
        "*72900123",  # a command to the exchange
        "#31#900123",
        "+49171@evil.example.com",
        "1;phone-context=evil",
        "1?Replaces=x",
        "%2B49171",
        "49171 ",
        "49 171",
        "1\r\nRoute: <sip:evil.example.com>",
        "<sip:1",
        '"1"',
        "{caller}",
        "é",
        "1" * 66,
    ],
)
def test_nothing_else_is(caller: str) -> None:
    assert (call_back_uri(TEMPLATE, caller) is None) == (caller != "2001")


@given(st.text())
def test_whatever_calls_the_host_dialled_is_ours(caller: str) -> None:
    found = call_back_uri(TEMPLATE, caller)
    assert found is None or re.fullmatch(r"sip:\+?[A-Za-z0-9._-]+@trunk\.example\.com:5080;transport=tcp", found)


def test_only_what_the_installation_can_do_is_offered() -> None:
    able = LaterWays(send="default", uri=TEMPLATE)
    assert able.channels_for(BOTH, "0301234") == {"call_back": "call_back", "send": "default"}
    assert able.channels_for(("send",), "0301234") == {"send": "default"}
    assert LaterWays(uri=TEMPLATE).channels_for(BOTH, "0301234") == {"call_back": "call_back"}
    assert LaterWays(hook=True).channels_for(BOTH, "0301234") == {"call_back": "call_back"}
    assert LaterWays().channels_for(BOTH, "0301234") == {}


@pytest.mark.parametrize("able", [LaterWays(send="send", uri=TEMPLATE), LaterWays(send="send", hook=True)])
@pytest.mark.parametrize("caller", ["anonymous", ""])
def test_who_hides_is_not_called_back(able: LaterWays, caller: str) -> None:
    assert able.channels_for(BOTH, caller) == {"send": "send"}


def test_who_may_be_called_back_is_the_agent_s_to_say() -> None:
    able = LaterWays(uri=TEMPLATE)
    assert able.channels_for(BOTH, "+4930123", ("+49*",)) == {"call_back": "call_back"}
    assert able.channels_for(BOTH, "+1900123", ("+49*", "030*")) == {}


def test_the_combinations_are_those_that_a_caller_may_have() -> None:
    assert LaterWays(send="x", uri=TEMPLATE).combinations(BOTH) == [("call_back",), ("send",), BOTH]
    assert LaterWays(send="x").combinations(BOTH) == [("send",)]
    assert LaterWays().combinations(BOTH) == []


def test_the_offer_is_in_the_agent_s_language_and_names_what_is_possible() -> None:
    assert offer_words(BOTH, {}, {}, "de-AT") == WORDS["de"]["both"]
    assert offer_words(("send",), {}, {}, "en-GB") == WORDS["en"]["send"]
    assert offer_words(("call_back",), {}, {}, "sv") == WORDS["en"]["call_back"]
    assert offer_words((), {}, {}, "en") is None


def test_the_operator_s_words_come_first() -> None:
    own, by_language = {"send": "Soll ich?"}, {"de-AT": {"send": "Darf ich?"}, "de": {"both": "Was nun?"}}
    assert offer_words(("send",), own, by_language, "de-at") == "Darf ich?"
    assert offer_words(("send",), own, by_language, "de-DE") == "Soll ich?"
    assert offer_words(BOTH, own, by_language, "de-AT") == "Was nun?"
    assert offer_words(BOTH, {"both": ""}, {}, "en") is None, "no words, no offer"


def test_a_call_back_begins_in_the_agent_s_language() -> None:
    assert opening_words("fr-CH") != opening_words("en") == opening_words("xx")


def test_every_language_has_words_for_everything() -> None:
    assert {frozenset(words) for words in WORDS.values()} == {frozenset({"both", "call_back", "send"})}
