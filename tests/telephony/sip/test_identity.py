from __future__ import annotations

import pytest

from telephony.sip.identity import Caller, caller_of, dialled_of


def invite(uri: str = "sip:427@10.0.0.1", sender: str = "<sip:+4930124@h>;tag=a", *more: str) -> str:
    lines = [f"INVITE {uri} SIP/2.0", f"From: {sender}", "To: <sip:0800427@example.com>", *more]
    return "\r\n".join([*lines, "", ""])


@pytest.mark.parametrize(
    "sender, caller",
    [
        ('"sip:1001@pbx.example" <sip:+4930124@h>;tag=a', "+4930124"),
        ('"A. Caller"\r\n <sip:+4930123@example.com>;tag=1', "+4930123"),
        ("<sip:gateway.example.com>", "gateway.example.com"),
        ("<tel:+49-30-124>;tag=a", "+4930124"),
        ("sip:12@h;tag=a", "12"),
        ("nonsense", ""),
    ],
)
def test_who_calls(sender: str, caller: str) -> None:
    assert caller_of(invite(sender=sender), trusted=False) == Caller(caller)


ASSERTED = "P-Asserted-Identity: <sip:+4930125@h>"
ANONYMOUS = '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=a'


@pytest.mark.parametrize(
    "sender, more, trusted, caller",
    [
        (ANONYMOUS, [ASSERTED], True, Caller("+4930125", private=True)),
        (ANONYMOUS, [ASSERTED, "Privacy: id"], True, Caller("+4930125", private=True)),
        (ANONYMOUS, [ASSERTED], False, Caller("anonymous")),
        ("<sip:7@h>", [ASSERTED], True, Caller("+4930125")),
        ("<sip:7@h>", [ASSERTED], False, Caller("7")),
        ("<sip:7@h>", [ASSERTED, "Privacy: none"], True, Caller("+4930125")),
        ("<sip:7@h>", [ASSERTED, "Privacy: header;id;critical"], True, Caller("+4930125", private=True)),
        ("<sip:7@h>", [ASSERTED, "Privacy: session"], True, Caller("+4930125")),
        ("<sip:7@h>", ["Privacy: id"], False, Caller("7", private=True)),
        # RFC 3325 section 9.1: a SIP and a tel URI, in one header or two
        (
            "<sip:7@h>",
            ['P-Asserted-Identity: "F, J" <sip:fluffy@cisco.com>, <tel:+14085264000>'],
            True,
            Caller("+14085264000"),
        ),
        ("<sip:7@h>", ["P-Asserted-Identity: <sip:fluffy@cisco.com>"], True, Caller("fluffy")),
        ("<sip:7@h>", ["P-Asserted-Identity: nobody"], True, Caller("7")),
    ],
)
def test_who_calls_by_the_word_of_the_network(sender: str, more: list[str], trusted: bool, caller: Caller) -> None:
    assert caller_of(invite("sip:1@h", sender, *more), trusted=trusted) == caller


@pytest.mark.parametrize(
    "uri, number",
    [
        ("sip:427@10.0.0.1", "427"),
        ("sip:+15550100;npdi;rn=+15550199@h", "+15550100"),
        ("sip:%2B15550100@h", "+15550100"),
        ("tel:+1-555-0100", "+15550100"),
        ("sip:10.0.0.1", "0800427"),
        ("sip:line7@10.0.0.1", "0800427"),
    ],
)
def test_what_was_dialled(uri: str, number: str) -> None:
    assert dialled_of(invite(uri), "line7") == number
