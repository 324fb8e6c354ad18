"""What a call's ladder shows of a message: its first line, and nothing that is nobody's business."""

import pytest

from telephony.sip.ladder import LONGEST_LINE, shown


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("INVITE sip:427@127.0.0.1:5060;transport=udp SIP/2.0", "INVITE sip:427@127.0.0.1:5060;transport=udp"),
        ("SIP/2.0 486 Busy Here", "486 Busy Here"),
        ("SIP/2.0 200", "200"),
        ("INVITE sip:alice:s3cret@pbx.example?subject=pin%201234 SIP/2.0", "INVITE sip:alice@pbx.example"),
        ("BYE sips:pbx.example SIP/2.0", "BYE sips:pbx.example"),
        ("INVITE tel:+4930123;phone-context=x SIP/2.0", "INVITE"),
        ("INVITE sip:[2001:db8::1]:5060 SIP/2.0", "INVITE sip:[2001:db8::1]:5060"),
        ("not sip at all", ""),
        ("", ""),
    ],
)
def test_the_first_line(line: str, found: str) -> None:
    assert shown(line + "\r\nCall-ID: x\r\nAuthorization: Digest response=secret\r\n\r\nSignal=5") == found


def test_the_user_of_the_other_side_s_contact_is_left_out() -> None:
    assert shown("BYE sip:+4930125:pw@192.0.2.7:5062 SIP/2.0\r\n\r\n", hide_user=True) == "BYE sip:192.0.2.7:5062"


def test_it_is_printable_and_bounded() -> None:
    found = shown(f"INVITE sip:a\x1b[31m{'b' * 5000}@host SIP/2.0\r\n")
    assert len(found) <= LONGEST_LINE and found.isprintable()
