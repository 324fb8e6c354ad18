from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telephony.sip import message as sip
from telephony.sip.message import cut

MESSAGE = (
    "INVITE sip:427@10.0.0.1;transport=udp SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 10.0.0.2:5060\r\n"
    'f: "A. Caller"\r\n  <sip:+4930123@example.com>\r\n\t;tag=1\r\n'
    "To: <sip:0800427@example.com>\r\n"
    "Call-ID : abc\r\n"
    "CSeq: 314159 INVITE\r\n"
    "Privacy: id\r\nPrivacy: header\r\n"
    "Content-Type: Application/SDP; x=y\r\nl: 25\r\n\r\n"
    "v=0\r\nTo: not a header\r\nabc"
)


def test_headers_short_forms_folding_and_the_body() -> None:
    assert sip.header(MESSAGE, "From") == '"A. Caller" <sip:+4930123@example.com> ;tag=1'
    assert sip.header(MESSAGE, "call-id") == "abc"
    assert sip.header(MESSAGE, "X-None") == "" and not sip.has_header(MESSAGE, "X-None")
    assert sip.headers(MESSAGE, "Privacy") == ["id", "header"]
    assert sip.media_type(MESSAGE) == "application/sdp"
    assert sip.cseq(MESSAGE) == 314159 and sip.cseq("x\r\n\r\n") == -1
    assert sip.body(MESSAGE) == "v=0\r\nTo: not a header\r\nabc"
    assert sip.request_uri(MESSAGE) == "sip:427@10.0.0.1;transport=udp"


def test_folding_of_rfc_3261() -> None:
    """Section 7.3.1: one Subject, three times."""
    folded = "X\r\ns: I know you're there,\r\n         pick up the phone\r\n         and answer!\r\n\r\n"
    assert sip.header(folded, "Subject") == "I know you're there, pick up the phone and answer!"


def whole(body: str = "v=0\r\n", length: int | None = None, kind: str = "application/sdp") -> str:
    size = len(body.encode()) if length is None else length
    return f"INVITE sip:a@b SIP/2.0\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n\r\n{body}"


@pytest.mark.parametrize(
    "message, status",
    [
        (whole(), 0),
        (whole("ä"), 0),
        (whole("", 0), 0),
        (whole("v=0\r\nmore", 5), 0),  # what follows is no part of it, RFC 3261 section 18.3
        (whole(length=6), 400),
        (whole("", 5), 400),
        (whole().replace("Content-Length: 5\r\n", ""), 0),
        (whole("").replace("Content-Length: 0\r\n", ""), 400),
        ("INVITE sip:a@b SIP/2.0\r\n\r\n", 0),
        ("INVITE sip:a@b SIP/2.0\r\nFrom: <si", 400),
        (whole(length=-5), 400),
        (whole("x" * 5000)[:4000], 513),
        ("INVITE sip:a@b SIP/2.0\r\nX: " + "x" * 5000, 513),
        (whole("x" * 5000), 0),
    ],
)
def test_what_was_cut(message: str, status: int) -> None:
    assert cut(message) == status


@settings(deadline=None)
@given(st.text(max_size=60), st.integers(0, 200))
def test_every_cut_of_a_body_is_seen(body: str, at: int) -> None:
    message = whole("v=0" + body).encode()
    short = message[:at]
    assert cut(short.decode("utf-8", "surrogateescape")) == (0 if at >= len(message) else 400)


@settings(deadline=None)
@given(st.text())
def test_nothing_raises(text: str) -> None:
    found = [
        sip.header(text, "To"),
        sip.body(text),
        sip.request_uri(text),
        sip.offered_codec(text),
        sip.media_type(text),
    ]
    assert all(isinstance(part, str) for part in found)
    assert cut(text) in (0, 400, 513) and sip.cseq(text) >= -1


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
    assert sip.offered_codec(f"v=0\r\nc=IN IP4 127.0.0.1\r\n{media}\r\na=sendrecv\r\n") == codec


def test_the_first_that_we_speak_counts() -> None:
    """The table of what is chosen where G.722 is listed first."""
    offer = "m=audio 4000 RTP/AVP 9 0 8\r\na=rtpmap:9 G722/8000\r\n"
    chosen = {codecs: sip.offered_codec(offer, codecs) for codecs in (("PCMU", "G722"), ("PCMU", "PCMA"), ("PCMA",))}
    assert chosen == {("PCMU", "G722"): "G722", ("PCMU", "PCMA"): "PCMU", ("PCMA",): "PCMA"}
