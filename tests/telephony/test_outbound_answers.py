"""What comes back to an INVITE of ours: ringing, early media, refusals with a cause, forks, redirection, glare.

The other side is a socket that says what the test wants to have said.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(40)

SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"


class Callee:
    """A user agent server of a few lines."""

    def __init__(self) -> None:
        self.at = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.at.bind(("127.0.0.1", 0))
        self.at.settimeout(5)
        self.port = self.at.getsockname()[1]
        self.peer = ("", 0)

    def gets(self, method: str) -> str:
        """The next message that begins so; others, and RTP, are passed over."""
        while True:
            data, self.peer = self.at.recvfrom(8192)
            text = data.decode(errors="replace")
            if text.startswith(method):
                return text

    def says(self, request: str, status: str, *, tag: str = "t1", sdp: bool = False, more: str = "") -> None:
        """Answer a request."""
        kept = re.findall(r"^(?:Via|From|Call-ID|CSeq):.*\r\n", request, re.M)
        to = re.search(r"^To:.*", request, re.M)
        assert to is not None
        line = to[0].strip() + ("" if ";tag=" in to[0] else f";tag={tag}")
        body = SDP.format(port=self.port) if sdp else ""
        kind = "Content-Type: application/sdp\r\n" if sdp else ""
        self.at.sendto(
            (
                f"SIP/2.0 {status}\r\n{''.join(kept)}{line}\r\n{more}{kind}"
                f"Contact: <sip:{tag}@127.0.0.1:{self.port}>\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            ).encode(),
            self.peer,
        )


@pytest.fixture
def callee() -> Iterator[Callee]:
    made = Callee()
    yield made
    made.at.close()


elsewhere = callee


@pytest.fixture
def dial(start_endpoint: Any) -> Callable[[Callee], tuple[Any, str, str]]:
    """Call it: our endpoint, the call's id, the INVITE."""

    def start(callee: Callee) -> tuple[Any, str, str]:
        endpoint = start_endpoint()
        endpoint.next("Started")
        call_id = endpoint.do("invite", uri=f"sip:200@127.0.0.1:{callee.port}")
        return endpoint, call_id, callee.gets("INVITE")

    return start


def test_ringing_and_early_media_are_no_answer(dial: Any, callee: Callee) -> None:
    endpoint, call_id, invite = dial(callee)
    callee.says(invite, "180 Ringing")
    assert endpoint.next("CallProgress", status=180)["early_media"] is False
    callee.says(invite, "183 Session Progress", sdp=True)
    assert endpoint.next("CallProgress", status=183)["early_media"] is True
    time.sleep(0.3)
    endpoint.drain()
    assert not [one for one in endpoint.seen if one["event"] == "CallConfirmed"]
    callee.says(invite, "200 OK", sdp=True)
    callee.gets("ACK")
    endpoint.next("CallConfirmed", call_id=call_id)
    endpoint.do("hang_up", call_id=call_id)
    callee.says(callee.gets("BYE"), "200 OK")
    assert endpoint.next("CallEnded")["cause"] is None


@pytest.mark.parametrize(
    ("status", "reason", "cause"),
    [
        ("486 Busy Here", "", None),
        ("503 Service Unavailable", 'Reason: Q.850;cause=17;text="User busy"\r\n', 17),
        ("603 Decline", 'Reason: SIP;cause=603, Q.850 ;cause=21 ;text="no; cause=1"\r\n', 21),
        ("480 Temporarily Unavailable", "Reason: Q.850;cause=999\r\n", None),
    ],
)
def test_a_refusal_is_told_with_its_cause(dial: Any, callee: Callee, status: str, reason: str, cause: int) -> None:
    endpoint, call_id, invite = dial(callee)
    callee.says(invite, status, more=reason)
    ended = endpoint.next("CallEnded", call_id=call_id)
    assert (ended["status"], ended["cause"]) == (int(status[:3]), cause)
    callee.gets("ACK")


def test_of_two_forks_that_answer_one_is_the_call_and_the_other_is_hung_up(dial: Any, callee: Callee) -> None:
    """RFC 3261 section 13.2.2.4: each 2xx is acknowledged, and what is not wanted gets BYE."""
    endpoint, call_id, invite = dial(callee)
    callee.says(invite, "180 Ringing", tag="one")
    callee.says(invite, "183 Session Progress", tag="two", sdp=True)
    endpoint.next("CallProgress", status=180)
    callee.says(invite, "200 OK", tag="two", sdp=True)
    callee.says(invite, "200 OK", tag="one", sdp=True)
    endpoint.next("CallConfirmed", call_id=call_id)
    acked, hung_up = set(), ""
    while len(acked) < 2 or not hung_up:
        text = callee.gets("")
        if text.startswith("ACK"):
            acked.add(re.search(r"^To:.*;tag=(\w+)", text, re.M)[1])  # type: ignore[index]
        elif text.startswith("BYE"):
            hung_up = re.search(r"^To:.*;tag=(\w+)", text, re.M)[1]  # type: ignore[index]
            callee.says(text, "200 OK")
    assert (acked, hung_up) == ({"one", "two"}, "one")
    endpoint.drain()
    assert not [one for one in endpoint.seen if one["event"] == "CallEnded"]
    endpoint.do("hang_up", call_id=call_id)
    text = callee.gets("BYE")
    assert ";tag=two" in text
    callee.says(text, "200 OK")


def test_redirection_is_followed_to_whom_a_list_names(start_endpoint: Any, callee: Callee, elsewhere: Callee) -> None:
    endpoint = start_endpoint(redirect_to=[f"sip:9??@127.0.0.1:{elsewhere.port}"])
    endpoint.next("Started")
    call_id = endpoint.do("invite", uri=f"sip:200@127.0.0.1:{callee.port}")
    refused = f"Contact: <sip:800@127.0.0.1:{elsewhere.port}>\r\nContact: <sip:900@127.0.0.1:{elsewhere.port}>\r\n"
    callee.says(callee.gets("INVITE"), "302 Moved Temporarily", more=refused)
    invite = elsewhere.gets("INVITE")
    assert invite.startswith("INVITE sip:900@")
    elsewhere.says(invite, "486 Busy Here")
    assert endpoint.next("CallEnded", call_id=call_id)["status"] == 486


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Moved Temporarily", "305 Use Proxy"])
def test_redirection_is_followed_nowhere(dial: Any, callee: Callee, elsewhere: Callee, status: str) -> None:
    endpoint, call_id, invite = dial(callee)
    callee.says(invite, status, more=f"Contact: <sip:900@127.0.0.1:{elsewhere.port}>\r\n")
    assert endpoint.next("CallEnded", call_id=call_id)["status"] == int(status[:3])
    callee.gets("ACK")
    elsewhere.at.settimeout(0.5)
    with pytest.raises(TimeoutError):
        elsewhere.gets("INVITE")


def offer(callee: Callee, ack: str) -> None:
    """Make an offer in the dialog of that ACK."""
    fields = {name: re.search(rf"^{name}: (.*)\r\n", ack, re.M)[1] for name in ("From", "To", "Call-ID")}  # type: ignore[index]
    body = SDP.format(port=callee.port)
    callee.at.sendto(
        (
            f"INVITE sip:agent@127.0.0.1:{callee.peer[1]} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{callee.port};branch=z9hG4bKg1\r\n"
            f"From: {fields['To']}\r\nTo: {fields['From']}\r\nCall-ID: {fields['Call-ID']}\r\nCSeq: 1 INVITE\r\n"
            f"Contact: <sip:t1@127.0.0.1:{callee.port}>\r\nMax-Forwards: 70\r\nContent-Type: application/sdp\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode(),
        callee.peer,
    )


def acknowledge(callee: Callee, answer: str) -> None:
    """ACK for the answer to that offer."""
    kept = re.findall(r"^(?:From|To|Call-ID):.*\r\n", answer, re.M)
    callee.at.sendto(
        (
            f"ACK sip:agent@127.0.0.1:{callee.peer[1]} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{callee.port};branch=z9hG4bKg2\r\n{''.join(kept)}"
            "CSeq: 1 ACK\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        ).encode(),
        callee.peer,
    )


def up(dial: Any, callee: Callee) -> tuple[Any, str, str]:
    """A call: our endpoint, the call's id, our ACK."""
    endpoint, call_id, invite = dial(callee)
    callee.says(invite, "200 OK", sdp=True)
    ack = callee.gets("ACK")
    endpoint.next("CallConfirmed", call_id=call_id)
    return endpoint, call_id, ack


def ends(endpoint: Any, callee: Callee, call_id: str) -> None:
    """It goes on until we hang up, and no offer comes after that."""
    endpoint.drain()
    assert not [one for one in endpoint.seen if one["event"] == "CallEnded"]
    endpoint.do("hang_up", call_id=call_id)
    callee.says(callee.gets("BYE"), "200 OK")


def test_an_offer_that_was_refused_for_glare_is_made_again(dial: Any, callee: Callee) -> None:
    """RFC 3261 section 14.1: after 2.1 to 4 s, since the Call-ID is ours."""
    endpoint, call_id, _ = up(dial, callee)
    endpoint.do("reinvite", call_id=call_id)
    callee.says(callee.gets("INVITE"), "491 Request Pending")
    refused = time.monotonic()
    callee.gets("ACK")
    again = callee.gets("INVITE")
    assert time.monotonic() - refused > 2.0
    callee.says(again, "200 OK", sdp=True)
    callee.gets("ACK")
    ends(endpoint, callee, call_id)


def test_an_offer_of_the_other_side_makes_ours_needless(dial: Any, callee: Callee) -> None:
    endpoint, call_id, ack = up(dial, callee)
    endpoint.do("reinvite", call_id=call_id)
    callee.says(callee.gets("INVITE"), "491 Request Pending")
    callee.gets("ACK")
    offer(callee, ack)
    answer = callee.gets("SIP/2.0 200")
    acknowledge(callee, answer)
    give_up = time.monotonic() + 4.3
    while time.monotonic() < give_up:
        callee.at.settimeout(max(0.05, give_up - time.monotonic()))
        try:
            assert not callee.at.recv(8192).startswith(b"INVITE")
        except TimeoutError:
            break
    callee.at.settimeout(5)
    ends(endpoint, callee, call_id)


def test_an_offer_while_ours_is_open_gets_491(dial: Any, callee: Callee) -> None:
    """RFC 3261 section 14.2."""
    endpoint, call_id, ack = up(dial, callee)
    endpoint.do("reinvite", call_id=call_id)
    ours = callee.gets("INVITE")
    offer(callee, ack)
    assert callee.gets("SIP/2.0 491")
    callee.says(ours, "200 OK", sdp=True)
    callee.gets("ACK")
    ends(endpoint, callee, call_id)
