from __future__ import annotations

import pytest

from telephony.sip.target import fault_of, is_ours, same_user


@pytest.mark.parametrize(
    "text",
    [
        "sip:sales@pbx.example.com",
        "sip:+4930123@trunk.example.com;user=phone",
        "sip:200@192.0.2.4:5080;transport=tcp",
        "sip:[2001:db8::1]:5060",
        "sip:pbx.example.com",
        "SIP:Sales@PBX.example.com;transport=UDP",
        "sips:sales@pbx.example.com",
        "sip:sales@pbx.example.com;transport=tls",
    ],
)
def test_whom_we_may_dial(text: str) -> None:
    assert fault_of(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is no SIP URI"),
        ("sales", "is no SIP URI"),
        ("sip:sa les@pbx", "is no SIP URI"),
        ("sip:sales@pbx ", "is no SIP URI"),
        ("<sip:sales@pbx>", "is no SIP URI"),
        ('"Sales" <sip:sales@pbx>', "is no SIP URI"),
        ("sip:sales@pbx\r\nX-Evil: 1", "is no SIP URI"),
        ("sip:sales@pbx;x\r\nX-Evil: 1", "is no SIP URI"),
        ("sip:sales@pbx:99999", "is no SIP URI"),
        ("http://pbx", "is no SIP URI"),
        ("sip:sales@pbx:0", "the port has to be"),
        ("sip:sales@pbx?Replaces=1", "may not carry headers"),
        ("sip:sales@pbx;method=BYE", "may not name a method"),
        ("sip:sales:secret@pbx", "may not carry a password"),
        ("sip:sales@pbx;transport=sctp", "transport has to be"),
        ("sips:sales:secret@pbx", "may not carry a password"),
        ("tel:+4930123", "a tel URI says not by which host"),
    ],
)
def test_what_is_not_dialled_says_what_to_write(text: str, expected: str) -> None:
    assert (fault_of(text) or "").startswith(expected)


def test_our_own_addresses() -> None:
    ours = ("127.0.0.1", "192.0.2.7", "2001:DB8::0001")
    assert is_ours("sip:agent@127.0.0.1", ours, (5060, 5061))
    assert is_ours("sip:x@192.0.2.7:5060;transport=tcp", ours, (5060, 5061))
    assert is_ours("sip:x@localhost", ours, (5060, 5061))
    assert is_ours("sip:x@[2001:db8::1]", ours, (5060, 5061))
    assert not is_ours("sip:agent@127.0.0.1:5070", ours, (5060, 5061))
    assert not is_ours("sip:agent@127.0.0.1", ours, (5070,))
    assert not is_ours("sip:agent@pbx.example.com", ours, (5060, 5061))
    assert is_ours("sips:x@192.0.2.7", ours, (5060, 5061)) and not is_ours("sips:x@192.0.2.7", ours, (5060,))
    assert not is_ours("nonsense", ours, (5060, 5061))


def test_one_user_at_one_host() -> None:
    assert same_user("sip:line7@PBX.example.com:5080;transport=tcp", "sip:line7@pbx.example.com")
    assert not same_user("sip:line8@pbx.example.com", "sip:line7@pbx.example.com")
    assert not same_user("sip:line7@pbx.example.org", "sip:line7@pbx.example.com")
