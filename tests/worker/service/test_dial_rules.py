"""Whom another program may have us call: property tests, and the cases that cost money."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from telephony.accounts import AccountSettings
from telephony.sip.uri import parse
from worker.service.dial_rules import DialLedger, DialRules, Order, Refused, Target, back_by, faults_of

RULES = DialRules(
    to=("+49*", "100", "sip:*@pbx.example.com", "sip:sales@shop.example:5070"),
    callers=("+49 30 555",),
    trunk="sip:{caller}@trunk.example.com",
)


@pytest.mark.parametrize(
    ("to", "uri", "called"),
    [
        ("+49 (30) 123-4567", "sip:+49301234567@trunk.example.com", "+49301234567"),
        ("tel:+49-30-1", "sip:+49301@trunk.example.com", "+49301"),
        ("100", "sip:100@trunk.example.com", "100"),
        ("sip:bob@PBX.example.com", "sip:bob@pbx.example.com", "sip:bob@pbx.example.com"),
        ("SIP:bob@pbx.example.com;transport=TCP", "sip:bob@pbx.example.com;transport=tcp", "sip:bob@pbx.example.com"),
        ("sip:sales@shop.example:5070", "sip:sales@shop.example:5070", "sip:sales@shop.example:5070"),
    ],
)
def test_who_is_on_the_list_is_dialled(to: str, uri: str, called: str) -> None:
    assert RULES.target(to) == Target(uri, called)


@pytest.mark.parametrize(
    ("to", "status", "said"),
    [
        ("+43 1 234", 403, "OFFHOOK_DIAL_TO"),
        ("0900123456", 403, "OFFHOOK_DIAL_TO"),
        ("1001", 403, "OFFHOOK_DIAL_TO"),
        ("sip:bob@evil.example", 403, "OFFHOOK_DIAL_TO"),
        ("sip:bob@pbx.example.com:5070", 403, "OFFHOOK_DIAL_TO"),
        ("sips:bob@pbx.example.com", 403, "OFFHOOK_DIAL_TO"),
        ("sip:pbx.example.com", 400, "plain"),
        ("sip:bob@pbx.example.com;maddr=evil.example", 400, "more than a plain"),
        ("sip:bob@pbx.example.com;lr", 400, "more than a plain"),
        ("sip:bob@pbx.example.com?Route=sip:evil.example", 400, "headers"),
        ("sip:bob@pbx.example.com?Route=<sip:evil.example>", 400, "SIP URI"),
        ("sip:bob@pbx.example.com;method=REFER", 400, "method"),
        ("sip:bob:secret@pbx.example.com", 400, "password"),
        ("sip:+49301;isub=1@pbx.example.com", 400, "plain"),
        ("sip:a@evil.example;x=@pbx.example.com", 400, "SIP URI"),
        ("sip:a%40evil.example@pbx.example.com", 400, "plain"),
        ("+49*31#", 400, "no telephone number"),
        ("+49301\r\nX: y", 400, "no telephone number"),
        ("anonymous", 400, "nobody"),
        ("", 400, "no telephone number"),
    ],
)
def test_nobody_else_is(to: str, status: int, said: str) -> None:
    with pytest.raises(Refused) as refused:
        RULES.target(to)
    assert refused.value.status == status and said in refused.value.why


def test_without_a_list_or_a_trunk_it_is_said_what_is_missing() -> None:
    with pytest.raises(Refused, match="OFFHOOK_DIAL_TO has no list"):
        DialRules(trunk="sip:{caller}@trunk.example.com").target("+491")
    with pytest.raises(Refused, match="OFFHOOK_SIP_REGISTRAR"):
        DialRules(to=("*",)).target("+491")


@given(st.text(st.characters(codec="utf-8"), max_size=80) | st.from_regex(r"sips?:[ -~]{0,60}", fullmatch=True))
def test_what_is_dialled_is_always_at_a_host_of_the_list(to: str) -> None:
    try:
        target = RULES.target(to)
    except Refused:
        return
    uri = parse(target.uri)
    assert uri is not None and uri.host in ("trunk.example.com", "pbx.example.com", "shop.example")
    assert set(uri.parameters) <= {"transport"} and target.uri.isprintable() and " " not in target.uri


def test_a_call_comes_from_a_number_of_the_list() -> None:
    assert RULES.caller_id("+4930 555") == "+4930555" and RULES.caller_id(None) is None
    with pytest.raises(Refused, match="OFFHOOK_DIAL_FROM"):
        RULES.caller_id("110")


ORDER = Order(to="100")


def test_so_many_at_once_and_so_many_a_minute() -> None:
    ledger = DialLedger(at_once=2, a_minute=3)
    with pytest.raises(Refused, match="OFFHOOK_DIAL_CALLS") as refused:
        ledger.admit(2, 0.0)
    assert refused.value.status == 429 and refused.value.retry_after_s
    for second in range(3):
        ledger.admit(0, float(second))
    with pytest.raises(Refused, match="OFFHOOK_DIAL_PER_MINUTE") as refused:
        ledger.admit(0, 10.0)
    assert refused.value.retry_after_s == 51
    ledger.admit(0, 60.0)


@given(st.lists(st.floats(0, 30), min_size=1, max_size=60))
def test_no_minute_has_more_than_its_orders(gaps: list[float]) -> None:
    ledger, now, begun = DialLedger(at_once=9, a_minute=5), 0.0, []
    for gap in gaps:
        now += gap
        try:
            ledger.admit(0, now)
        except Refused as refused:
            now += refused.retry_after_s or 0
            ledger.admit(0, now)
        begun.append(now)
    assert all(sum(start <= one < start + 60 for one in begun) <= 5 for start in begun)


def test_an_order_that_is_made_again_is_the_same_call_for_a_day() -> None:
    ledger = DialLedger(at_once=2, a_minute=2)
    assert ledger.known("k", ORDER, 0.0) is None
    ledger.made("k", ORDER, "call-1", 0.0)
    assert ledger.known("k", ORDER, 80_000.0) == "call-1"
    assert ledger.known("other", ORDER, 1.0) is None and ledger.known(None, ORDER, 1.0) is None
    with pytest.raises(Refused) as refused:
        ledger.known("k", Order(to="101"), 1.0)
    assert refused.value.status == 422
    assert ledger.known("k", ORDER, 90_000.0) is None


def test_what_is_wrong_with_an_order_is_one_line_without_what_was_given() -> None:
    with pytest.raises(ValidationError) as wrong:
        Order.model_validate({"to": "", "context": "4711 " * 1000, "uri": "x"})
    line = faults_of(wrong.value)
    assert "to: " in line and "context: " in line and "uri: " in line and "4711" not in line and "\n" not in line


BERLIN = AccountSettings(name="berlin", registrar="a.example", username="line7", number="+4930123")
MUNICH = AccountSettings(name="munich", registrar="b.example", username="line8", transport="tcp")
BY = DialRules(to=("+49*",), accounts=(BERLIN, MUNICH), trunk="sip:{caller}@trunk.example.com")


@pytest.mark.parametrize(
    ("account", "caller_id", "host"),
    [
        ("munich", None, "b.example;transport=tcp"),
        ("munich", "+4930123", "b.example;transport=tcp"),
        (None, "+4930123", "a.example"),
        (None, None, "a.example"),
    ],
)
def test_a_number_goes_by_the_account_that_is_named_or_called_from(
    account: str | None, caller_id: str | None, host: str
) -> None:
    assert BY.target("+49891", account, caller_id).uri == f"sip:+49891@{host}"
    assert replace(BY, one_trunk=True).target("+49891", account, caller_id).uri == "sip:+49891@trunk.example.com"


def test_an_account_that_is_none_says_which_there_are() -> None:
    with pytest.raises(Refused, match="no 'bonn'; there are berlin, munich"):
        BY.target("+49891", "bonn")
    with pytest.raises(Refused, match="OFFHOOK_SIP_ACCOUNTS names no file"):
        RULES.target("+49891", "bonn")


def test_an_accounts_number_may_be_called_from() -> None:
    assert BY.caller_id("+49 30 123") == "+4930123"
    with pytest.raises(Refused):
        BY.caller_id("+4930124")


def test_who_came_by_an_account_is_called_back_by_it() -> None:
    assert back_by((BERLIN, MUNICH), "munich", "+4989777") == "sip:+4989777@b.example;transport=tcp"
    assert back_by((BERLIN, MUNICH), "bonn", "+4989777") is None, "it has gone from the file"
    assert back_by((BERLIN, MUNICH), "berlin", "anonymous") is None
