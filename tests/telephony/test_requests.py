"""What is answered to requests that open no call, as a caller's own socket sees it."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(40)

AUDIO = (
    "v=0\r\no=- 1 {version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio {port} RTP/AVP {types}\r\n"
)


def sdp(port: int = 40000, types: str = "0 101", version: int = 1, more: str = "") -> str:
    known = "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n" if "101" in types else ""
    return AUDIO.format(port=port, types=types, version=version) + known + more


class Dialog:
    """A call over a raw socket."""

    def __init__(self, peer: Any, offer: str, *, call_id: str = "dialog", headers: str = "") -> None:
        self.peer, self.call_id, self.number = peer, call_id, 1
        peer.send(peer.invite(call_id=call_id, body=offer, headers=headers))
        self.answer = self.final("INVITE", 1)
        assert self.answer.startswith("SIP/2.0 200 "), self.answer
        tag = re.search(r"^To: .*?;tag=(\S+)", self.answer, re.M)
        assert tag
        self.tag = tag[1]
        self.acknowledge(1)

    def acknowledge(self, number: int) -> None:
        self.peer.send(self.text("ACK", number))

    def text(self, method: str, number: int, kind: str = "", body: str = "", headers: str = "") -> bytes:
        branch = f"{self.call_id}{method}{number}"
        lines = [
            f"{method} sip:427@127.0.0.1 SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{self.peer.port};rport;branch=z9hG4bK{branch}",
            f"From: <sip:raw@127.0.0.1>;tag={self.call_id}",
            f"To: <sip:427@127.0.0.1>;tag={self.tag}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {number} {method}",
            f"Contact: <sip:raw@127.0.0.1:{self.peer.port}>",
            "Max-Forwards: 70",
            *headers.splitlines(),
            *([f"Content-Type: {kind}"] if kind else []),
            f"Content-Length: {len(body)}",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()

    def ask(self, method: str, kind: str = "", body: str = "", headers: str = "", *, again: int = 0) -> str:
        """Send a request, and `again` as often as that; its final answer, after which no other comes."""
        self.number += 1
        request = self.text(method, self.number, kind, body, headers)
        for _ in range(again + 1):
            self.peer.send(request)
        answer = self.final(method, self.number)
        if method == "INVITE":
            self.acknowledge(self.number)
        return answer

    def final(self, method: str, number: int) -> str:
        """The next answer over 199 to that request."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                text = str(self.peer.socket.recv(65535), "utf-8")
                found = re.match(r"SIP/2.0 ([2-6]\d\d) ", text)
                if found and re.search(rf"^CSeq: {number} {method}\r$", text, re.M):
                    return text
        return "no answer"

    def bye(self) -> None:
        assert self.ask("BYE").startswith("SIP/2.0 200 ")


def status(answer: str) -> int:
    return int(answer.split(" ")[1]) if answer.startswith("SIP/2.0 ") else 0


@pytest.fixture
def own_only(build: str, own_site: Any) -> None:
    if build != "own":
        pytest.skip("the wheel's own answers are the library's")


@pytest.mark.usefixtures("own_only")
def test_requests_inside_a_dialog(start_endpoint: Any, raw: Any) -> None:
    endpoint = start_endpoint()
    dialog = Dialog(raw(endpoint.next("Started")["port"]), sdp())
    answer = dialog.ask("OPTIONS")
    assert status(answer) == 200 and re.search(r"^Allow: .*INFO", answer, re.M)
    said = {
        "empty INFO": dialog.ask("INFO"),
        "foreign INFO": dialog.ask("INFO", "text/plain", "hello"),
        "INFO package": dialog.ask("INFO", "text/plain", "hello", "Info-Package: foo"),
        "NOTIFY": dialog.ask("NOTIFY", headers="Event: refer\r\nSubscription-State: active"),
        "SUBSCRIBE": dialog.ask("SUBSCRIBE", headers="Event: dialog"),
        "PUBLISH": dialog.ask("PUBLISH"),
        "BANANA": dialog.ask("BANANA"),
    }
    assert {what: status(answer) for what, answer in said.items()} == {
        "empty INFO": 200,
        "foreign INFO": 415,
        "INFO package": 469,
        "NOTIFY": 481,
        "SUBSCRIBE": 489,
        "PUBLISH": 405,
        "BANANA": 501,
    }
    assert f";tag={dialog.tag}" in said["BANANA"], "the dialog's own tag"
    dialog.bye()
    assert endpoint.next("CallEnded")["by"] == "caller"


@pytest.mark.usefixtures("own_only")
@pytest.mark.parametrize(
    "method, expected",
    [
        ("NOTIFY", 481),
        ("REGISTER", 405),
        ("INFO", 481),
        ("PUBLISH", 405),
        ("REFER", 405),
        ("UPDATE", 481),
        ("SUBSCRIBE", 489),
        ("BANANA", 501),
        ("OPTIONS", 200),
    ],
)
def test_requests_outside_a_dialog(start_endpoint: Any, raw: Any, method: str, expected: int) -> None:
    peer = raw(start_endpoint().next("Started")["port"])
    for number in range(2):
        request = peer.invite(call_id=f"out{number}").replace(b"Content-Type: application/sdp\r\n", b"")
        peer.send(request.replace(b"INVITE", method.encode()))
        assert peer.status() == expected


def test_a_dialog_that_is_not_there(start_endpoint: Any, raw: Any) -> None:
    peer = raw(start_endpoint().next("Started")["port"])
    peer.send(peer.invite().replace(b"INVITE", b"INFO").replace(b"To: <sip:427@127.0.0.1>", b"To: <sip:a@b>;tag=x"))
    assert peer.status() == 481


@pytest.mark.usefixtures("own_only")
def test_keys_by_info_are_answered_and_told_once(start_endpoint: Any, raw: Any) -> None:
    endpoint = start_endpoint()
    dialog = Dialog(raw(endpoint.next("Started")["port"]), sdp())
    relay, plain = "application/dtmf-relay", "application/dtmf"
    keys = [(relay, "Signal=5\r\nDuration=160\r\n"), (plain, "7"), (relay, "Signal=10\r\n"), (relay, "Signal=11\r\n")]
    keys += [(relay, "Signal=16\r\n"), (plain, "10"), (plain, "5")]
    assert [status(dialog.ask("INFO", kind, body, again=2)) for kind, body in keys] == [200] * 7
    assert status(dialog.ask("INFO", relay, "Duration=160\r\n")) == 400
    dialog.bye()
    endpoint.next("CallEnded")
    assert "".join(digits(endpoint)) == "57*#*5"


def test_event_codes_in_dtmf_relay(start_endpoint: Any, raw: Any, build: str) -> None:
    """On the wheel too, where the library's own reading is the first digit of each."""
    endpoint = start_endpoint()
    dialog = Dialog(raw(endpoint.next("Started")["port"]), sdp())
    for code in ("10", "11", "16", "1"):
        assert (
            status(dialog.ask("INFO", "application/dtmf-relay", f"Signal={code}\r\nDuration=160\r\n", again=1)) == 200
        )
    answer = dialog.ask("INFO", "application/dtmf", "7", again=2)
    assert status(answer) == (200 if build == "own" else 500), "which a sender may take for a reason to try again"
    dialog.bye()
    endpoint.next("CallEnded")
    assert "".join(digits(endpoint)) == "*#17"


def test_the_same_keys_by_rtp_and_info(start_endpoint: Any, raw: Any, rtp: Any) -> None:
    endpoint, caller = start_endpoint(), rtp()
    dialog = Dialog(raw(endpoint.next("Started")["port"]), sdp(caller.port))
    caller.learn_peer()
    for digit in "1123":
        caller.send_digit(digit)
        assert status(dialog.ask("INFO", "application/dtmf-relay", f"Signal={digit}\r\nDuration=160\r\n")) == 200
    dialog.bye()
    endpoint.next("CallEnded")
    assert "".join(digits(endpoint)) == "1123"


def digits(endpoint: Any) -> list[str]:
    return [event["digit"] for event in endpoint.seen if event["event"] == "DigitReceived"]


def test_a_new_offer_of_a_codec_that_we_lack(start_endpoint: Any, raw: Any, rtp: Any, build: str) -> None:
    endpoint, caller = start_endpoint(), rtp()
    dialog = Dialog(raw(endpoint.next("Started")["port"]), sdp(caller.port))
    call_id = endpoint.next("CallConfirmed")["call_id"]
    answer = dialog.ask("INVITE", "application/sdp", sdp(caller.port, types="18", version=2))
    assert status(answer) == (488 if build == "own" else 500)
    got = caller.received
    endpoint.until(lambda: caller.received > got + 10, "the call goes on as it was")
    again = dialog.ask("INVITE", "application/sdp", sdp(caller.port, types="8 101", version=3))
    assert status(again) == 200, "and takes another offer"
    assert endpoint.do("counters", call_id=call_id)["pulled"]
    dialog.bye()


@pytest.mark.parametrize("length", [None, 3000], ids=["cut", "short"])
def test_an_invite_that_did_not_come_whole(start_endpoint: Any, raw: Any, length: int | None) -> None:
    """Not a call with an offer of ours: that is up, and mute both ways."""
    endpoint = start_endpoint()
    peer = raw(endpoint.next("Started")["port"])
    whole = peer.invite(body=sdp(), length=length)
    peer.send(whole if length else whole[: whole.index(b"\r\n\r\n") + 4])
    assert peer.status() == 400
    refused = endpoint.next("CallRefused")
    assert (refused["status"], refused["why"]) == (400, "malformed")
    Dialog(raw(peer.socket.getpeername()[1]), sdp(), call_id="after").bye()
    assert len([event for event in endpoint.seen if event["event"] == "IncomingCall"]) == 0


@pytest.mark.parametrize("size", [4200, 9000, 60000])
def test_a_long_invite(start_endpoint: Any, raw: Any, build: str, size: int) -> None:
    """Our own build takes all that a datagram holds, the wheel says that it is too much."""
    endpoint = start_endpoint()
    peer = raw(endpoint.next("Started")["port"])
    filling = "".join(f"X-Filling-{n}: {'x' * 80}\r\n" for n in range(10))
    offer = sdp(more="a=filling:" + "y" * 80 + "\r\n")
    offer += "a=x\r\n" * ((size - len(filling) - len(offer)) // 5)
    if build == "own":
        Dialog(peer, offer, headers=filling).bye()
        assert endpoint.next("CallEnded")["by"] == "caller"
    else:
        peer.send(peer.invite(body=offer, headers=filling))
        assert peer.status() in (400, 513), "by where it is cut"


def test_more_than_the_buffer_over_tcp(start_endpoint: Any, raw: Any, sipp: Any, build: str) -> None:
    """Where such a message ends is not known: the sender is told, and the connection ends."""
    endpoint = start_endpoint()
    started = endpoint.next("Started")
    peer = raw(started["port"], socket.SOCK_STREAM)
    peer.send(peer.invite(body=sdp() + "a=x\r\n" * 20000))
    if build == "own":
        assert peer.status() == 513
        with contextlib.suppress(ConnectionError):
            assert peer.socket.recv(10) == b"", "closed"
    sipp("call", f"127.0.0.1:{started['port']}", "-t", "t1").finish()


def test_audio_alone(start_endpoint: Any, raw: Any, sipp: Any) -> None:
    """No real-time text in our answers and offers, whatever is offered; no display name in our Contact."""
    endpoint = start_endpoint()
    port = endpoint.next("Started")["port"]
    text = "m=text 41000 RTP/AVP 98\r\na=rtpmap:98 t140/1000\r\n"
    dialog = Dialog(raw(port), sdp(more=text), call_id="text")
    assert re.search(r"^m=text 0 ", dialog.answer, re.M) and not re.search(r"^m=text [1-9]", dialog.answer, re.M)
    assert re.search(r"^m=audio [1-9]", dialog.answer, re.M)
    assert re.search(r"^Contact: <sip:agent@127\.0\.0\.1:\d+", dialog.answer, re.M)
    again = dialog.ask("INVITE", "application/sdp", sdp(version=2, more=text))
    assert not re.search(r"^m=text [1-9]", again, re.M)
    dialog.bye()
    late = raw(port)
    late.send(late.invite(call_id="late").replace(b"Content-Type: application/sdp\r\n", b""))
    offer = str(late.socket.recv(65535), "utf-8")
    while "SIP/2.0 200" not in offer:
        offer = str(late.socket.recv(65535), "utf-8")
    assert "m=audio" in offer and "m=text" not in offer


def test_our_own_invite(start_endpoint: Any, raw: Any) -> None:
    endpoint = start_endpoint()
    port = endpoint.next("Started")["port"]
    peer = raw(port)
    endpoint.do("invite", uri=f"sip:bob@127.0.0.1:{peer.port}")
    invite = str(peer.socket.recv(65535), "utf-8")
    assert invite.startswith("INVITE ") and "m=audio" in invite and "m=text" not in invite
    assert re.search(r'^From: "offhook" <sip:agent@127', invite, re.M)
    assert re.search(r"^Contact: <sip:agent@127", invite, re.M)


@pytest.mark.parametrize(
    "uri, dialled",
    [
        ("sip:+15550100;npdi;rn=+15550199@127.0.0.1", "+15550100"),
        ("sip:%2B15550100@127.0.0.1", "+15550100"),
        ("sip:+1-555-0100@127.0.0.1;user=phone", "+15550100"),
        ("tel:+1-555-0100", "+15550100"),
    ],
)
def test_forms_of_a_number(start_endpoint: Any, raw: Any, uri: str, dialled: str) -> None:
    endpoint = start_endpoint()
    peer = raw(endpoint.next("Started")["port"])
    peer.send(peer.invite(body=sdp()).replace(b"sip:427@127.0.0.1 SIP", uri.encode() + b" SIP"))
    assert endpoint.next("IncomingCall")["dialled"] == dialled


@pytest.mark.parametrize(
    "sender, caller",
    [
        ('"sip:1001@pbx.example" <sip:+4930124@127.0.0.1>', "+4930124"),
        ('"A. Caller"\r\n  <sip:+4930123@127.0.0.1>', "+4930123"),
    ],
)
def test_forms_of_a_caller(start_endpoint: Any, raw: Any, sender: str, caller: str) -> None:
    endpoint = start_endpoint()
    peer = raw(endpoint.next("Started")["port"])
    peer.send(peer.invite(body=sdp()).replace(b"<sip:raw@127.0.0.1>;", sender.encode() + b";", 1))
    assert endpoint.next("IncomingCall")["caller"] == caller


@pytest.mark.parametrize("allow, caller, private", [(["127.0.0.1"], "+4930125", True), ([], "anonymous", False)])
def test_an_asserted_identity(start_endpoint: Any, raw: Any, allow: list[str], caller: str, private: bool) -> None:
    """Only who is on the list vouches for a caller."""
    endpoint = start_endpoint(allow=allow)
    peer = raw(endpoint.next("Started")["port"])
    asserted = "P-Asserted-Identity: <sip:+49-30-125@127.0.0.1>\r\nPrivacy: id\r\n"
    invite = peer.invite(body=sdp(), headers=asserted)
    peer.send(invite.replace(b"<sip:raw@127.0.0.1>;", b"<sip:anonymous@anonymous.invalid>;", 1))
    call = endpoint.next("IncomingCall")
    assert (call["caller"], call["private"]) == (caller, private)


@pytest.mark.parametrize("allow, diverted", [(["127.0.0.1"], ["+4930555"]), ([], [])])
def test_what_else_an_invite_says(start_endpoint: Any, raw: Any, allow: list[str], diverted: list[str]) -> None:
    endpoint = start_endpoint(allow=allow, headers=["X-Account"])
    peer = raw(endpoint.next("Started")["port"])
    more = 'Diversion: <sip:+49-30-555@h>;reason="user-busy"\r\nX-Account: 7\r\nX-Other: 8\r\n'
    peer.send(peer.invite(body=sdp(), headers=more))
    facts = endpoint.next("IncomingCall")["facts"]
    assert facts["diverted_from"] == diverted and facts["headers"] == {"x-account": "7"}
