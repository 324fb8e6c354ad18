"""Where a 3xx may send a call on to, and what a refusal's Reason says: by the text alone."""

from __future__ import annotations

import pytest

from telephony.sip.reason import q850_cause
from telephony.sip.redirect import may_follow

LIST = ("sip:9??@pbx.example:5070",)


def response(*contacts: str) -> str:
    return "SIP/2.0 302 Moved\r\n" + "".join(f"Contact: {one}\r\n" for one in contacts) + "\r\n"


@pytest.mark.parametrize(
    "contacts, followed",
    [
        (["<sip:900@pbx.example:5070>"], True),
        (['"A, B" <sip:900@pbx.example:5070;transport=tcp>;q=0.5', "<sip:1@x>"], True),
        (["<sip:800@pbx.example:5070>, <sip:900@pbx.example:5070>"], True),
        (["sip:900@pbx.example:5070;q=0.1"], True),
        (["<sip:900@pbx.example>"], False),
        (["<sip:900@pbx.example:5071>"], False),
        (["<sip:900@pbx.example:5070>", "<sip:900@pbx.example:5071>"], False),
        (["<sip:900@pbx.example:5070;maddr=203.0.113.1>"], False),
        (["<sip:900@pbx.example:5070?Route=%3Csip:evil%3E>"], False),
        (["<sip:901@pbx.example:5070>"], False),
        ([], False),
    ],
)
def test_only_what_the_list_has(contacts: list[str], followed: bool) -> None:
    assert may_follow("<sip:900@pbx.example>", response(*contacts), LIST) is followed
    assert not may_follow("<sip:900@pbx.example>", response(*contacts), ())


@pytest.mark.parametrize(
    "value, cause",
    [
        ('Q.850;cause=17;text="User busy"', 17),
        ("q.850 ; cause = 21", 21),
        ('SIP;cause=200;text="ok", Q.850;cause=16', 16),
        ("SIP;cause=486", None),
        ("Q.850;cause=0", None),
        ("Q.850;cause=999", None),
        ("Q.850;cause=abc", None),
        ("", None),
        ("Q.850;" + "x" * 8000, None),
    ],
)
def test_the_cause_of_q_850(value: str, cause: int | None) -> None:
    assert q850_cause(f"BYE sip:a@b SIP/2.0\r\nReason: {value}\r\n\r\n") == cause
