from __future__ import annotations

import pytest

from telephony.errors import SipRequestError
from telephony.sip.own_headers import checked


def test_what_may_be_added() -> None:
    assert checked({"X-Account": "7", "User-to-User": "41;encoding=hex"}) == {
        "X-Account": "7",
        "User-to-User": "41;encoding=hex",
    }


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"X-A": "1\r\nVia: SIP/2.0/UDP x"}, "no line breaks"),
        ({"X-A\r\nVia": "1"}, "no name of a header"),
        ({"": "1"}, "no name"),
        ({"Via": "1"}, "the call itself needs"),
        ({"f": "1"}, "the call itself needs"),
        ({"call-ID": "1"}, "the call itself needs"),
        ({"Content-Length": "1"}, "the call itself needs"),
        ({"Refer-To": "sip:a@b"}, "the call itself needs"),
        ({"P-Asserted-Identity": "sip:a@b"}, "the call itself needs"),
        ({"X-A": "1", "x-a": "2"}, "twice"),
        ({"X-A": "a" * 8192}, "at most 512"),
        ({f"X-{n}": "a" * 500 for n in range(5)}, "at most 2048"),
    ],
)
def test_what_may_not(headers: dict[str, str], words: str) -> None:
    with pytest.raises(SipRequestError, match=words):
        checked(headers)
