"""A call that goes on elsewhere because its other side asks for it (RFC 3515, RFC 3891). Real endpoints all round."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(40)

HERE = ["127.0.0.1"]
SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"


class Referral:
    """A caller, the endpoint that it calls and refers, and a colleague. Only the middle one is under test."""

    def __init__(self, start_endpoint: Any, *, colleague: int | None = 200) -> None:
        self.caller, self.middle = start_endpoint(), start_endpoint()
        self.colleague = start_endpoint(answer=colleague, ring=True)
        self.ports = [one.next("Started")["port"] for one in (self.caller, self.middle, self.colleague)]
        self.at_caller = self.caller.do("invite", uri=f"sip:427@127.0.0.1:{self.ports[1]}")
        self.call = self.middle.next("MediaActive")["call_id"]
        self.caller.next("MediaActive")
        self.target = f"sip:200@127.0.0.1:{self.ports[2]}"

    def permit(self, **rules: Any) -> None:
        self.middle.do(
            "permit", call_id=self.call, **{"sources": HERE, "targets": [self.target], "replaces": False, **rules}
        )

    def refer(self, uri: str | None = None) -> None:
        self.caller.do("refer", call_id=self.at_caller, uri=uri or self.target)


@pytest.fixture
def referral(start_endpoint: Any) -> Referral:
    return Referral(start_endpoint)


def test_a_refer_that_is_allowed_has_the_call_go_on_with_the_target(referral: Referral) -> None:
    referral.permit()
    referral.refer()
    assert referral.caller.next("ReferAnswered")["status"] == 202
    assert referral.middle.next("HandOverBegan", call_id=referral.call)["target"] == referral.target
    assert referral.middle.next("HandOverEnded", call_id=referral.call)["status"] == 200
    assert referral.caller.next("ReferNotified", final=True)["status"] == 200
    there = referral.colleague.next("MediaActive")["call_id"]
    referral.middle.do("play", call_id=referral.call, hz=700, ms=20_000)
    referral.colleague.do("play", call_id=there, hz=1100, ms=20_000)
    heard = lambda one, call_id, hz: one.until(lambda: one.do("heard", call_id=call_id)["hz"] == hz, f"{hz} Hz")  # noqa: E731
    heard(referral.colleague, there, 700)
    heard(referral.middle, referral.call, 1100)
    referral.caller.next("CallEnded", call_id=referral.at_caller)
    referral.colleague.do("hang_up", call_id=there)
    assert referral.middle.next("CallEnded", call_id=referral.call)["by"] == "caller"
    assert [one["event"] for one in referral.middle.seen].count("CallEnded") == 1


@pytest.mark.parametrize(
    "rules, uri",
    [
        ({"targets": []}, None),
        ({"sources": ["192.0.2.1"]}, None),
        ({"targets": ["sip:2??@127.0.0.1"]}, None),
        ({"targets": ["sip:*@*"]}, "OURS"),
    ],
)
def test_one_that_no_list_allows_is_declined_and_dials_nobody(referral: Referral, rules: Any, uri: str | None) -> None:
    referral.permit(**rules)
    referral.refer(f"sip:427@127.0.0.1:{referral.ports[1]}" if uri else None)
    assert referral.caller.next("ReferAnswered")["status"] == 603
    time.sleep(0.3)
    for one in (referral.middle, referral.colleague):
        one.drain()
    assert not [one for one in referral.colleague.seen if one["event"] == "IncomingCall"]
    assert [one["event"] for one in referral.middle.seen].count("IncomingCall") == 1
    assert not [one for one in referral.middle.seen if one["event"] in ("CallEnded", "HandOverBegan")]


def test_a_target_that_refuses_leaves_the_call_where_it_is(start_endpoint: Any) -> None:
    referral = Referral(start_endpoint, colleague=486)
    referral.permit()
    referral.refer()
    assert referral.middle.next("HandOverEnded", call_id=referral.call)["status"] == 486
    assert referral.caller.next("ReferNotified", final=True)["status"] == 486
    referral.middle.do("play", call_id=referral.call, hz=700, ms=20_000)
    referral.caller.until(
        lambda: referral.caller.do("heard", call_id=referral.at_caller)["hz"] == 700, "the agent goes on"
    )


@pytest.mark.parametrize("answers", [True, False])
def test_who_refers_and_hangs_up_at_once(start_endpoint: Any, answers: bool) -> None:
    referral = Referral(start_endpoint, colleague=None)
    referral.permit()
    referral.refer()
    there = referral.colleague.next("IncomingCall")["call_id"]
    referral.middle.next("HandOverBegan")
    referral.caller.do("hang_up", call_id=referral.at_caller)
    referral.caller.next("CallEnded")
    time.sleep(0.2)
    referral.colleague.do("answer", call_id=there, status=200 if answers else 603)
    if answers:
        assert referral.middle.next("HandOverEnded")["status"] == 200
        referral.middle.do("hang_up", call_id=referral.call)
    ended = referral.middle.next("CallEnded", call_id=referral.call)
    assert (ended["by"], ended["status"]) == (("agent", 200) if answers else ("caller", 603))
    assert [one["event"] for one in referral.middle.seen].count("CallEnded") == 1


def test_the_call_s_end_is_the_end_of_what_rings(start_endpoint: Any) -> None:
    referral = Referral(start_endpoint, colleague=None)
    referral.permit()
    referral.refer()
    referral.colleague.next("IncomingCall")
    referral.middle.do("hang_up", call_id=referral.call)
    assert referral.middle.next("CallEnded", call_id=referral.call)["by"] == "agent"
    assert referral.colleague.next("CallEnded")["status"] == 487


class Peer:
    """A user agent of a few lines: it calls, answers nothing, and may send an INVITE with Replaces."""

    def __init__(self, port: int) -> None:
        self.at = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.at.bind(("127.0.0.1", 0))
        self.at.settimeout(3)
        self.port, self.here = port, self.at.getsockname()[1]

    def send(self, method: str, call: str, tag: str, *, to_tag: str = "", cseq: int = 1, more: str = "") -> None:
        body = SDP.format(port=self.here) if method == "INVITE" else ""
        to = f"<sip:427@127.0.0.1:{self.port}>" + (f";tag={to_tag}" if to_tag else "")
        self.at.sendto(
            (
                f"{method} sip:427@127.0.0.1:{self.port} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP 127.0.0.1:{self.here};branch=z9hG4bK{call[:3]}{cseq}{method}\r\n"
                f"From: <sip:a@127.0.0.1>;tag={tag}\r\nTo: {to}\r\nCall-ID: {call}\r\nCSeq: {cseq} {method}\r\n"
                f"Contact: <sip:a@127.0.0.1:{self.here}>\r\nMax-Forwards: 70\r\n{more}"
                + ("Content-Type: application/sdp\r\n" if body else "")
                + f"Content-Length: {len(body)}\r\n\r\n{body}"
            ).encode(),
            ("127.0.0.1", self.port),
        )

    def until(self, what: str) -> str:
        """The next message that begins so; others, and RTP, are passed over."""
        while True:
            text = self.at.recv(4096).decode(errors="replace")
            if re.match(what, text):
                return text

    def call(self, call: str, more: str = "") -> str:
        """Set a call up; returns our tag at the other side."""
        self.send("INVITE", call, "f1", more=more)
        answer = self.until(r"SIP/2.0 200")
        found = re.search(r"^To:.*;tag=(\S+)", answer, re.M)
        assert found is not None
        self.send("ACK", call, "f1", to_tag=found[1])
        return found[1]


@pytest.fixture
def peer() -> Iterator[Callable[[int], Peer]]:
    """Make user agents that call this port."""
    made: list[Peer] = []

    def make(port: int) -> Peer:
        made.append(Peer(port))
        return made[-1]

    yield make
    for one in made:
        one.at.close()


@pytest.mark.parametrize("allowed", [True, False])
def test_replaces_takes_the_call_s_place_where_it_is_allowed(start_endpoint: Any, peer: Any, allowed: bool) -> None:
    endpoint = start_endpoint()
    port = endpoint.next("Started")["port"]
    first, second = peer(port), peer(port)
    tag = first.call("one@test")
    call_id = endpoint.next("MediaActive")["call_id"]
    endpoint.do("permit", call_id=call_id, sources=HERE, targets=[], replaces=allowed)
    replaces = f"Replaces: one@test;to-tag={tag};from-tag=f1\r\n"
    if allowed:
        second.call("two@test", replaces)
        first.until("BYE")
        assert endpoint.next("HandOverEnded", call_id=call_id)["means"] == "replaces"
        endpoint.do("hang_up", call_id=call_id)
        second.until("BYE")
    else:
        second.send("INVITE", "two@test", "f1", more=replaces)
        second.until(r"SIP/2.0 603")
        endpoint.do("hang_up", call_id=call_id)
        first.until("BYE")
    endpoint.drain()
    assert [one["event"] for one in endpoint.seen].count("IncomingCall") == 1
