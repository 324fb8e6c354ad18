"""What a capture server gets of a message: what it needs to show the dialog, and nothing confidential."""

from __future__ import annotations

import pytest

from telephony.sip.head import LONGEST, head, reconstructed
from telephony.sip.message import body, header

INVITE = "\r\n".join(
    [
        "INVITE sip:427:pw@192.0.2.1?subject=pin SIP/2.0",
        "v: SIP/2.0/UDP 192.0.2.7:5062;branch=z9hG4bK1",
        'f: "Ada L." <sip:+4930123:pw@192.0.2.7;user=phone>;tag=1',
        "To: <sip:427@192.0.2.1>",
        "Call-ID: abc@192.0.2.7",
        "CSeq: 7 INVITE",
        "Contact: Ada <sip:+4930123@192.0.2.7:5062>",
        "P-Asserted-Identity: <sip:+4930999@192.0.2.7>",
        "Authorization: Digest username=ada, response=0123",
        "Proxy-Authorization: Digest response=4567",
        "X-Account: 815",
        "Refer-To: <sip:+4930777@192.0.2.9>",
        "Content-Type: application/sdp",
        "Content-Length: 20",
        "",
        "a=crypto:1 inline:KEY",
    ]
)


def test_the_head_has_what_shows_the_dialog() -> None:
    lines = head(INVITE).split("\r\n")
    assert lines == [
        "INVITE sip:427@192.0.2.1 SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.7:5062;branch=z9hG4bK1",
        'From: "Ada L." <sip:+4930123@192.0.2.7;user=phone>;tag=1',
        "To: <sip:427@192.0.2.1>",
        "Call-ID: abc@192.0.2.7",
        "CSeq: 7 INVITE",
        "Contact: <sip:192.0.2.7:5062>",
        "Content-Type: application/sdp",
        "",
        "",
    ]


def test_a_challenge_and_an_answer() -> None:
    message = "SIP/2.0 401 Unauthorized\r\nWWW-Authenticate: Digest nonce=n\r\nCSeq: 1 INVITE\r\n\r\n"
    assert head(message) == "SIP/2.0 401 Unauthorized\r\nCSeq: 1 INVITE\r\n\r\n"


@pytest.mark.parametrize(
    "said",
    [
        '"Ada L." <sip:+4930123@pbx.example>;tag=1',
        "Ada +4930123 <tel:+4930123>;tag=1",
        'Ada "L <+4930123 <sips:+4930123:pw@pbx.example>;tag=1',
        "sip:+4930123@pbx.example;tag=1",
        "Ada +4930123 tel:+4930123;tag=1",
        "+4930123",
    ],
)
def test_a_caller_in_confidence_is_named_in_no_message(said: str) -> None:
    message = f"BYE sip:+4930123@192.0.2.7 SIP/2.0\r\nFrom: <sip:427@here>\r\nTo: {said}\r\nContact: {said}\r\n\r\n"
    found = head(message, private=True, hide_target=True)
    assert "+4930123" not in found and "Ada" not in found and "pw" not in found and "BYE sip:192.0.2.7" in found


def test_what_is_too_long_or_no_sip() -> None:
    assert head("") == head("not sip\r\nFrom: x\r\n\r\n") == ""
    long = f"OPTIONS sip:a@b SIP/2.0\r\nFrom: <sip:a:{'p' * 5000}@b>\r\nCall-ID: c\r\n" + "Via: x\r\n" * 900 + "\r\n"
    assert "pp" not in head(long) and len(head(long)) <= LONGEST + 2
    assert head("INVITE tel:+4930123 SIP/2.0\r\n\r\n") == "INVITE tel:anonymous SIP/2.0\r\n\r\n"
    assert "\x1b" not in head("BYE sip:a@b SIP/2.0\r\nUser-Agent: a\x1b[31m\r\n\r\n")


def test_an_answer_that_is_not_at_hand_is_made_of_its_request() -> None:
    found = reconstructed("405", "INFO", head(INVITE.replace("7 INVITE", "8 INFO")))
    assert found.startswith("SIP/2.0 405 \r\nVia: SIP/2.0/UDP 192.0.2.7:5062") and "X-Reconstructed: yes" in found
    assert (header(found, "CSeq"), header(found, "Call-ID"), body(found)) == ("8 INFO", "abc@192.0.2.7", "")


def test_a_request_that_is_not_at_hand_is_made_of_the_invite() -> None:
    known = head("SIP/2.0 200 OK\r\n" + INVITE.partition("\r\n")[2].replace("<sip:427@192.0.2.1>", "<sip:427@x>;tag=2"))
    ack = reconstructed("ACK", "ACK", known)
    assert ack.startswith("ACK sip:427@x SIP/2.0\r\n") and header(ack, "CSeq") == "7 ACK" and "Via" not in ack
    bye = reconstructed("BYE", "BYE", known, swapped=True)
    assert bye.startswith("BYE sip:+4930123@192.0.2.7 SIP/2.0\r\n") and header(bye, "CSeq") == "0 BYE"
    assert header(bye, "From") == "<sip:427@x>;tag=2"
    assert reconstructed("BYE", "BYE", "") == ""
