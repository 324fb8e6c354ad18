from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony import sip_text

MESSAGE = (
    "INVITE sip:427@10.0.0.1;transport=udp SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 10.0.0.2:5060\r\n"
    'f: "A. Caller" <sip:+4930123@example.com>;tag=1\r\n'
    "To: <sip:0800427@example.com>\r\n"
    "Call-ID : abc\r\n"
    "Content-Type: application/sdp\r\n\r\n"
    "v=0\r\nTo: not a header\r\n"
)


def test_headers_short_forms_and_the_body() -> None:
    assert sip_text.header(MESSAGE, "From") == '"A. Caller" <sip:+4930123@example.com>;tag=1'
    assert sip_text.header(MESSAGE, "call-id") == "abc"
    assert sip_text.header(MESSAGE, "X-None") == ""
    assert sip_text.body(MESSAGE) == "v=0\r\nTo: not a header\r\n"
    assert sip_text.request_uri(MESSAGE) == "sip:427@10.0.0.1;transport=udp"


@pytest.mark.parametrize(
    "uri, user, host",
    [
        ("sip:427@10.0.0.1", "427", "10.0.0.1"),
        ('"x" <sip:a.b@example.com:5080;transport=tcp>;tag=1', "a.b", "example.com"),
        ("sips:user:password@[fd00::2]:5061", "user", "[fd00::2]"),
        ("tel:+4930123;phone-context=x", "+4930123", "+4930123"),
        ("sip:example.com", "", "example.com"),
        ("mailto:a@b", "", ""),
        ("", "", ""),
    ],
)
def test_parts_of_a_uri(uri: str, user: str, host: str) -> None:
    assert (sip_text.user_of(uri), sip_text.host_of(uri)) == (user, host)


def test_who_calls() -> None:
    assert sip_text.caller_of("<sip:12@h>") == "12"
    assert sip_text.caller_of("<sip:gateway.example.com>") == "gateway.example.com"


def test_what_was_dialled() -> None:
    assert sip_text.dialled_of(MESSAGE, None) == "427"
    assert sip_text.dialled_of(MESSAGE, "427") == "0800427", "our own contact: the number is in To"
    assert sip_text.dialled_of(MESSAGE.replace("427@10", "10"), None) == "0800427"


@pytest.mark.parametrize(
    "kind, content, digit",
    [
        ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", "5"),
        ("application/dtmf-relay", "Duration=160\r\nsignal = #\r\n", "#"),
        ("Application/DTMF; x=y", "7\r\n", "7"),
        ("application/dtmf", "Signal=a", "A"),
        ("application/dtmf", "10", "*"),
        ("application/dtmf", "11", "#"),
        ("application/dtmf", "", ""),
        ("application/dtmf", "seven", ""),
        ("application/dtmf-relay", "nothing", ""),
        ("text/plain", "5", ""),
    ],
)
def test_keys_in_info(kind: str, content: str, digit: str) -> None:
    assert sip_text.info_digit(kind, content) == digit


@pytest.mark.parametrize(
    ("media", "codec"),
    [
        ("m=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000", "PCMA"),
        ("m=audio 4000 RTP/AVP 18 96 0\r\na=rtpmap:18 G729/8000\r\na=rtpmap:96 opus/48000/2", "PCMU"),
        ("m=audio 4000 RTP/SAVP 97 0\r\na=rtpmap:97 pcma/8000", "PCMA"),
        ("m=audio 4000/2 RTP/AVP 9 8\r\na=rtpmap:9 G722/8000", "G722"),
        ("m=video 4002 RTP/AVP 0\r\nm=audio 4000 RTP/AVP 8", "PCMA"),
        ("m=audio 4000 RTP/AVP 18", ""),
        ("m=audio 4000 RTP/AVP", ""),
        ("m=image 4000 udptl t38", ""),
        ("", ""),
    ],
)
def test_the_codec_that_an_offer_leads_to(media: str, codec: str) -> None:
    assert sip_text.offered_codec(f"v=0\r\nc=IN IP4 127.0.0.1\r\n{media}\r\na=sendrecv\r\n") == codec


def test_registrar() -> None:
    assert sip_text.registrar_uri("pbx:5080") == "sip:pbx:5080"
    assert sip_text.registrar_uri("SIP:pbx;transport=tcp") == "SIP:pbx;transport=tcp"


@given(st.text())
def test_nothing_raises_and_names_are_bounded(text: str) -> None:
    found = [sip_text.header(text, "To"), sip_text.body(text), sip_text.request_uri(text), sip_text.offered_codec(text)]
    names = [sip_text.user_of(text), sip_text.host_of(text), sip_text.caller_of(text), sip_text.dialled_of(text, None)]
    assert all(isinstance(part, str) for part in found)
    assert all(len(name) <= sip_text.LONGEST and name.isprintable() for name in names)


def test_a_name_without_end() -> None:
    assert len(sip_text.user_of("sip:" + "4" * 10_000 + "@h")) == sip_text.LONGEST
    assert sip_text.user_of("sip:a\x00\x1bb@h") == "ab"
