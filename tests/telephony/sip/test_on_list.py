"""Whether a URI is one that a list allows: hosts that are IPv6 addresses."""

import pytest

from telephony.sip.on_list import on_list


@pytest.mark.parametrize(
    ("uri", "pattern", "fits"),
    [
        ("sip:201@[::1]:5060", "sip:2*@[::1]:5060", True),
        ("sip:201@[2001:db8::7]", "sip:*@[2001:db8::*]", True),
        ("sip:201@[::2]", "sip:*@[::1]", False),
        ("sip:201@1", "sip:*@[::1]", False),
    ],
)
def test_an_ipv6_host_is_no_set_of_characters(uri: str, pattern: str, fits: bool) -> None:
    assert on_list(uri, [pattern]) is fits
