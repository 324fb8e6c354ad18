from __future__ import annotations

import pytest

from telephony.sip.requests import answer_to

AUDIO = "v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 4000 RTP/AVP 0\r\n"


def request(method: str, kind: str = "", body: str = "", *more: str) -> str:
    lines = [f"{method} sip:a@b SIP/2.0", f"CSeq: 2 {method}", *more]
    lines += [f"Content-Type: {kind}"] if kind else []
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body])


@pytest.mark.parametrize(
    "method, status",
    [("OPTIONS", 200), ("NOTIFY", 481), ("SUBSCRIBE", 489), ("PUBLISH", 405), ("REGISTER", 405), ("BANANA", 501)],
)
def test_inside_a_dialog(method: str, status: int) -> None:
    answer = answer_to(method, request(method), in_dialog=True)
    assert answer is not None and answer.status == status
    assert ("Allow" in dict(answer.headers)) == (status in (200, 405, 501))


@pytest.mark.parametrize("method", ["BYE", "CANCEL", "ACK", "PRACK", "REFER", "MESSAGE", "UPDATE", "INVITE"])
def test_what_stays_the_library_s(method: str) -> None:
    assert answer_to(method, request(method), in_dialog=True) is None


def test_a_notify_to_a_subscription_is_the_library_s() -> None:
    assert answer_to("NOTIFY", request("NOTIFY"), in_dialog=True, subscribed=True) is None


@pytest.mark.parametrize(
    "method, status",
    [
        ("NOTIFY", 481),
        ("SUBSCRIBE", 489),
        ("INFO", 481),
        ("UPDATE", 481),
        ("PRACK", 481),
        ("REFER", 405),
        ("REGISTER", 405),
        ("PUBLISH", 405),
        ("BANANA", 501),
    ],
)
def test_outside_a_dialog(method: str, status: int) -> None:
    answer = answer_to(method, request(method), in_dialog=False)
    assert answer is not None and answer.status == status


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "MESSAGE", "BYE", "CANCEL"])
def test_what_the_library_answers_outside(method: str) -> None:
    assert answer_to(method, request(method), in_dialog=False) is None


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_an_offer_of_codecs_that_we_lack(method: str) -> None:
    offer = request(method, "application/sdp", AUDIO.replace("AVP 0", "AVP 18"))
    answer = answer_to(method, offer, in_dialog=True)
    assert answer is not None and answer.status == 488
    assert answer_to(method, request(method, "application/sdp", AUDIO), in_dialog=True) is None


def test_what_was_cut_is_refused_in_and_out_of_a_dialog() -> None:
    short = request("INVITE", "application/sdp", AUDIO)[:-5]
    for in_dialog in (True, False):
        answer = answer_to("INVITE", short, in_dialog=in_dialog)
        assert answer is not None and answer.status == 400
    assert answer_to("INVITE", short, in_dialog=False, datagram=False) is None, "over TCP nothing is cut"


@pytest.mark.parametrize(
    "kind, body, more, status, digit",
    [
        ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", [], 200, "5"),
        ("application/dtmf-relay", "Signal=10", [], 200, "*"),
        ("application/dtmf-relay", "Signal=16", [], 200, None),
        ("application/dtmf-relay", "Duration=160", [], 400, None),
        ("Application/DTMF; x=y", "7\r\n", [], 200, "7"),
        ("", "", [], 200, None),
        ("text/plain", "5", [], 415, None),
        ("application/media_control+xml", "<x/>", [], 415, None),
        ("application/dtmf", "5", ["Content-Encoding: gzip"], 415, None),
        ("application/dtmf", "5", ["Info-Package: dtmf"], 469, None),
    ],
)
def test_info(kind: str, body: str, more: list[str], status: int, digit: str | None) -> None:
    answer = answer_to("INFO", request("INFO", kind, body, *more), in_dialog=True)
    assert answer is not None and (answer.status, answer.digit) == (status, digit)
    wanted = {415: "Accept", 469: "Recv-Info"}.get(status)
    assert wanted is None or wanted in dict(answer.headers)
