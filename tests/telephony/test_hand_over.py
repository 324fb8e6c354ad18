"""Who may have a call go on elsewhere, by the lists alone."""

from __future__ import annotations

import pytest

from telephony.sip.hand_over import HandOverRules, fault_of_source
from telephony.sip.on_list import fault_of_pattern

RULES = HandOverRules(("192.0.2.10", "2001:db8::/32"), ("sip:2??@pbx.example", "sip:*@10.0.0.1:5070"), replaces=True)
PBX = "192.0.2.10:5060"


@pytest.mark.parametrize(
    "refer_to, target",
    [
        ("<sip:200@pbx.example>", "sip:200@pbx.example"),
        ("sip:200@pbx.example", "sip:200@pbx.example"),
        ('"Sales" <sip:200@PBX.example;transport=tcp>', "sip:200@PBX.example;transport=tcp"),
        ("<sip:anna@10.0.0.1:5070>", "sip:anna@10.0.0.1:5070"),
        (
            "<sip:200@pbx.example?Replaces=a84b%40x%3Bto-tag%3D1%3Bfrom-tag%3D2&Require=replaces>",
            "sip:200@pbx.example",
        ),
    ],
)
def test_what_the_list_has_is_dialled(refer_to: str, target: str) -> None:
    assert RULES.target_of(refer_to, PBX) == target


@pytest.mark.parametrize(
    "refer_to",
    [
        "",
        "<sip:2000@pbx.example>",
        "<sip:200@evil.example>",
        "<sip:200@pbx.example.evil.example>",
        "<sip:200@pbx.example:5071>",
        "<sips:200@pbx.example>",
        "<tel:200>",
        "<sip:anna@10.0.0.1>",
        "<sip:*72@10.0.0.1:5070>",
        "<sip:%32%30%30@pbx.example>",
        "<sip:200;x=1@pbx.example>",
        "<sip:200:secret@pbx.example>",
        "<sip:200@pbx.example;maddr=203.0.113.9>",
        "<sip:200@pbx.example;method=REGISTER>",
        "<sip:200@pbx.example?Route=%3Csip%3Aevil.example%3E>",
        "<sip:200@pbx.example?Replaces=x%0D%0AX-Evil%3A%201>",
        "<sip:200@pbx.example?Replaces=x&Route=y>",
        "<sip:200@pbx.example>, <sip:201@pbx.example>",
        "<sip:200@pbx.example>;x=<sip:9@evil.example>",
        'sip:200@pbx.example"<sip:9@evil.example>',
        "<sip:200@pbx.example\r\nX: 1>",
        "<sip:200@pbx.example>" + " " * 2000,
    ],
)
def test_what_no_list_has_is_not(refer_to: str) -> None:
    assert RULES.target_of(refer_to, PBX) is None


def test_who_is_not_on_the_list_may_nothing() -> None:
    for source in ("192.0.2.11:5060", "", "pbx.example:5060", "[2001:db9::1]:5060"):
        assert RULES.target_of("<sip:200@pbx.example>", source) is None
        assert not RULES.may_replace(source)
    assert RULES.may_replace(PBX) and RULES.may_replace("[2001:db8::7]:5060")


def test_without_rules_nobody_may_anything() -> None:
    assert HandOverRules().target_of("<sip:200@pbx.example>", PBX) is None
    assert not HandOverRules().may_replace(PBX)
    assert not HandOverRules(("0.0.0.0/0",), ("sip:*@*",)).may_replace(PBX)


def test_a_wrong_list_says_what_to_write() -> None:
    assert fault_of_source("pbx.example") and fault_of_source("10.0.0.0/8") is None
    assert fault_of_pattern("sip:2*@pbx.example") is None
    for wrong in ("", "200", "tel:200", "sip:pbx.example", "sip:@pbx.example", "sip:2*@pbx.example;transport=tcp"):
        assert fault_of_pattern(wrong), wrong
