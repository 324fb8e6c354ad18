from __future__ import annotations

import pytest

from telephony.sip.facts import LONGEST_DATA, MOST_HEADERS, InviteFacts, facts_of, may_be_read


def invite(*more: str, sender: str = '"A. Caller" <sip:+4930124@h>;tag=a') -> str:
    lines = ["INVITE sip:427@10.0.0.1 SIP/2.0", f"From: {sender}", "To: <sip:0800427@example.com>", *more]
    return "\r\n".join([*lines, "", ""])


DIVERTED = [
    'Diversion: <sip:+49-30-555@h>;reason=no-answer;counter=1, "Desk" <tel:+4930556>;reason="user-busy"',
    "Diversion: <sip:+4930557@h>;reason=unconditional;privacy=full",
]
HISTORY = (
    "History-Info: <sip:+4930100@h>;index=1, <sip:+4930101@h?Reason=SIP%3Bcause%3D486%3Btext%3D%22Busy%22>;index=1.1,"
    " <sip:427@10.0.0.1>;index=1.2"
)


def test_what_a_trusted_network_says() -> None:
    facts = facts_of(invite(*DIVERTED, "User-to-User: 00C0FFEE;encoding=hex"), trusted=True)
    assert facts == InviteFacts("A. Caller", ("+4930555", "+4930556"), "no-answer", "00C0FFEE")
    asserted = 'P-Asserted-Identity: "Real Name" <sip:+4930125@h>'
    assert facts_of(invite(asserted), trusted=True).display_name == "Real Name"


def test_of_a_stranger_only_the_name_counts() -> None:
    message = invite(*DIVERTED, HISTORY, "User-to-User: 0123", 'P-Asserted-Identity: "Boss" <sip:1@h>')
    assert facts_of(message, trusted=False) == InviteFacts("A. Caller")


def test_history_tells_who_was_dialled_before_and_why() -> None:
    facts = facts_of(invite(HISTORY), trusted=True)
    assert (facts.diverted_from, facts.diverted_why) == (("+4930101",), "486")
    hidden = "History-Info: <sip:+4930101@h?Privacy=history&Reason=SIP%3Bcause%3D302>;index=1, <sip:427@h>;index=1.1"
    assert facts_of(invite(hidden), trusted=True).diverted_from == ()


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("416363742037;encoding=hex", "Acct 7"),
        ("00416363742037 ; encoding=hex;purpose=isdn-uui", "Acct 7"),  # with ISDN's protocol discriminator
        ("c3;encoding=hex", "c3"),
        ('"plain words"', "plain words"),
        ("xyz;encoding=hex", "xyz"),
        ("", ""),
        ("a" * 2000, "a" * LONGEST_DATA),
    ],
)
def test_data_of_the_callers_application(value: str, data: str) -> None:
    assert facts_of(invite(f"User-to-User: {value}"), trusted=True).user_to_user == data


def test_headers_of_the_list_only_and_bounded() -> None:
    lines = [
        "X-Account: 7",
        "x-account: 8",
        "X-Shop-Till: 2\r\n a",
        "X-Other: no",
        "Authorization: secret",
        "X-Bad: \x01a",
    ]
    facts = facts_of(invite(*lines), trusted=False, wanted=("x-account", "X-Shop-*", "X-Bad", "X-None"))
    assert facts.headers == {"x-account": "7", "x-shop-till": "2 a", "x-bad": "a"}
    many = facts_of(invite(*(f"X-{n}: {'v' * 9000}" for n in range(40))), trusted=True, wanted=("X-*",))
    assert len(many.headers) == MOST_HEADERS and {len(v) for v in many.headers.values()} == {LONGEST_DATA}


def test_what_there_is_not_is_not_told() -> None:
    assert InviteFacts().as_json() == {}
    assert InviteFacts("A", headers={"x-a": "1"}).as_json() == {"display_name": "A", "headers": {"x-a": "1"}}


@pytest.mark.parametrize("name", ["Authorization", "auth*", "*", "", "X A", "Proxy-Auth*", "x\r\n"])
def test_headers_that_nobody_reads(name: str) -> None:
    assert not may_be_read(name)


@pytest.mark.parametrize(
    "line", ["Diversion: <", "Diversion: ,,;", "History-Info: %%%?", "History-Info: <sip:a@h?Reason", "User-to-User: ;"]
)
def test_nonsense_is_no_fact(line: str) -> None:
    facts = facts_of(invite(line), trusted=True)
    assert facts.diverted_from == () and facts.user_to_user == ""
