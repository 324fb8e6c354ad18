"""Whose RTP is a call's: on our own build what the settings say, on the wheel what the library does."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(40)

SDP = (
    "v=0\r\no=- 1 {version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n"
)


@pytest.fixture
def own_only(build: str) -> None:
    if build != "own":
        pytest.skip("the wheel follows whoever sends for long enough")


own = pytest.mark.usefixtures("own_only")


class Call:
    """A call over raw sockets, whose SDP names a port."""

    def __init__(self, endpoint: Any, peer: Any, port: int) -> None:
        self.endpoint, self.peer, self.number = endpoint, peer, 1
        self._ask(peer.invite(call_id="rtp", body=SDP.format(version=1, port=port)))
        self.call_id = endpoint.next("CallConfirmed")["call_id"]

    def moves_to(self, port: int) -> None:
        """A new offer."""
        self.number += 1
        invite = self.peer.invite(call_id="rtp", body=SDP.format(version=self.number, port=port))
        invite = invite.replace(b"To: <sip:427@127.0.0.1>", b"To: <sip:427@127.0.0.1>;tag=" + self.tag)
        invite = invite.replace(b"CSeq: 1 ", f"CSeq: {self.number} ".encode())
        self._ask(invite.replace(b"branch=z9hG4bKrtp", f"branch=z9hG4bKrtp{self.number}".encode()))

    def _ask(self, invite: bytes) -> None:
        self.peer.send(invite)
        answer = b""
        while not answer.startswith(b"SIP/2.0 200 "):
            answer = self.peer.socket.recv(65535)
        found = re.search(rb"\r\nTo: .*?;tag=(\S+)\r\n", answer)
        assert found
        self.tag = found[1]
        head = invite.partition(b"Content-Type")[0].replace(b"INVITE", b"ACK").replace(b"bKrtp", b"bKack")
        head = re.sub(rb"To: [^\r]*", b"To: <sip:427@127.0.0.1>;tag=" + self.tag, head)
        self.peer.send(head + b"Content-Length: 0\r\n\r\n")

    def hears(self, hz: int) -> None:
        self.endpoint.until(lambda: self.heard() == hz, f"{hz} Hz")

    def heard(self) -> int:
        return int(self.endpoint.do("heard", call_id=self.call_id)["hz"])

    def foreign(self) -> int:
        """Hang up; what was dropped."""
        self.endpoint.do("hang_up", call_id=self.call_id)
        return int(self.endpoint.next("CallEnded")["foreign_packets"])


def begin(start_endpoint: Any, raw: Any, port: int, **settings: Any) -> Call:
    endpoint = start_endpoint(**settings)
    return Call(endpoint, raw(endpoint.next("Started")["port"]), port)


def goes_on(rtp: Any, packets: int = 20) -> None:
    """Our audio still goes there, at its pace."""
    got, began = rtp.received, time.monotonic()
    while rtp.received < got + packets:
        assert time.monotonic() - began < 4, f"{rtp.received - got} packets in 4 s"
        time.sleep(0.02)


@own
def test_a_flood_of_a_stranger_turns_nothing(start_endpoint: Any, raw: Any, rtp: Any) -> None:
    caller, stranger = rtp(), rtp()
    call = begin(start_endpoint, raw, caller.port)
    caller.learn_peer()
    stranger.peer = caller.peer
    with caller.sending_tone(1100):
        call.hears(1100)
        before, began = caller.received, time.monotonic()
        for number in range(10_000):
            stranger.send(0, b"\x55" * 160)
            if number % 10 == 0:
                time.sleep(max(0.0, began + number * 0.0003 - time.monotonic()))
        lasted = time.monotonic() - began
        assert caller.received - before > lasted * 40, "the caller hears us on"
        assert call.heard() == 1100
        assert stranger.received == 0
    assert call.foreign() > 5000


@own
def test_a_stranger_beside_a_silent_caller(start_endpoint: Any, raw: Any, rtp: Any) -> None:
    """The caller was heard once, and is silent: who sends now gets nothing, for as long as he may."""
    caller, stranger = rtp(), rtp()
    call = begin(start_endpoint, raw, caller.port)
    caller.learn_peer()
    stranger.peer = caller.peer
    with caller.sending_tone(1100):
        call.hears(1100)
    with stranger.sending_tone(700):
        time.sleep(3.0)  # 150 packets: the library by itself would have turned
        goes_on(caller)
        assert stranger.received == 0 and call.heard() != 700
        for digit in "19":
            stranger.send_digit(digit)
    assert call.foreign() >= 150
    assert not [event for event in call.endpoint.seen if event["event"] == "DigitReceived"]


@own
def test_a_caller_who_never_sends(start_endpoint: Any, raw: Any, rtp: Any) -> None:
    """After the window nobody is learnt; what comes from the SDP's address is the caller at any time."""
    caller, stranger = rtp(), rtp()
    call = begin(start_endpoint, raw, caller.port, rtp_learn_s=0.2)
    caller.learn_peer()
    stranger.peer = caller.peer
    time.sleep(0.5)  # past the window
    with stranger.sending_tone(700):
        time.sleep(2.5)
        goes_on(caller)
        assert stranger.received == 0 and call.heard() != 700
        with caller.sending_tone(1100):
            call.hears(1100)
    assert call.foreign() >= 100


@own
def test_a_stranger_who_was_first_gives_way_to_the_sdp(start_endpoint: Any, raw: Any, rtp: Any) -> None:
    caller, stranger = rtp(), rtp()
    call = begin(start_endpoint, raw, caller.port)
    caller.learn_peer()
    stranger.peer = caller.peer
    with stranger.sending_tone(700):
        goes_on(stranger, 3)
        with caller.sending_tone(1100):
            goes_on(caller)
            call.hears(1100)
            got = stranger.received
            time.sleep(0.5)
            assert stranger.received <= got + 1
    assert call.foreign() > 0


@own
def test_the_sdp_alone(start_endpoint: Any, raw: Any, rtp: Any) -> None:
    named, real = rtp(), rtp()
    call = begin(start_endpoint, raw, named.port, rtp_source="sdp")
    named.learn_peer()
    real.peer = named.peer
    with real.sending_tone(900):
        time.sleep(1.0)
        goes_on(named)
        assert real.received == 0 and call.heard() != 900
    assert call.foreign() >= 40


def test_follow_goes_where_the_port_of_a_nat_goes(start_endpoint: Any, raw: Any, rtp: Any) -> None:
    """A NAT that gives a call another port under way: two seconds, and a stranger could do the same."""
    named, first, second = rtp(), rtp(), rtp()
    call = begin(start_endpoint, raw, named.port, rtp_source="follow")
    named.learn_peer()
    first.peer = second.peer = named.peer
    with first.sending_tone(900):
        call.hears(900)
    with second.sending_tone(1300):
        goes_on(second)
        call.hears(1300)
    assert call.foreign() == 0


@own
def test_a_nat_that_moves_needs_a_new_offer(start_endpoint: Any, raw: Any, rtp: Any) -> None:
    """The default: another port under way is a stranger's, until the caller makes an offer, be it the same."""
    named, first, second = rtp(), rtp(), rtp()
    call = begin(start_endpoint, raw, named.port)
    named.learn_peer()
    first.peer = second.peer = named.peer
    with first.sending_tone(900):
        call.hears(900)
    with second.sending_tone(1300):
        time.sleep(2.5)
        assert second.received == 0 and call.heard() != 1300
        call.moves_to(named.port)
        goes_on(second)
        call.hears(1300)


@own
def test_a_new_offer_moves_the_source(start_endpoint: Any, raw: Any, rtp: Any) -> None:
    """To where it says; what the old address still sends is foreign. The wheel goes back to who sends."""
    old, new = rtp(), rtp()
    call = begin(start_endpoint, raw, old.port)
    old.learn_peer()
    with old.sending_tone(900):
        call.hears(900)
        call.moves_to(new.port)
        new.peer = old.peer
        goes_on(new)
        time.sleep(0.5)
        assert call.heard() != 900
        with new.sending_tone(1300):
            call.hears(1300)
            goes_on(new)
    assert call.foreign() > 0


@own
def test_encrypted_media(start_endpoint: Any, rtp: Any) -> None:
    """The source is that of packets whose authentication holds; audio flows through filter and cipher."""
    agent = start_endpoint(srtp="required", srtp_keys="plain")
    port = agent.next("Started")["port"]
    caller = start_endpoint(srtp="required", srtp_keys="plain", answer=None)
    caller.next("Started")
    dialled = caller.do("invite", uri=f"sip:427@127.0.0.1:{port}")
    call_id = agent.next("CallConfirmed")["call_id"]
    agent.do("play", call_id=call_id, hz=900, ms=3000)
    caller.until(lambda: caller.do("heard", call_id=dialled)["hz"] == 900, "the agent is heard")
    caller.do("hang_up", call_id=dialled)
    assert agent.next("CallEnded")["foreign_packets"] == 0


TRIAL = """
import pjsua2 as pj
e = pj.Endpoint(); e.libCreate()
c = pj.EpConfig(); c.logConfig.level = c.logConfig.consoleLevel = 0
e.libInit(c)
SDP, NAT, PUBLIC, OTHER = "10.0.0.5:4000", "198.51.100.7:31000", "198.51.100.7:31002", "203.0.113.9:5"
%s
e.libDestroy()
print("good")
"""


@own
@pytest.mark.parametrize(
    "code",
    [
        # the address of the SDP, at any time; others after it never
        'one = pj.SourceTrial("learn", 4000, ""); one.expect(SDP, 0)\n'
        'assert one.judge(SDP, True, 10) == "taken" and one.judge(OTHER, True, 20) == "dropped"\n'
        'assert one.judge(SDP, True, 99999) == "taken" and one.foreign_packets() == 1',
        # behind a NAT: the first within the window, not what is no media, not later
        'one = pj.SourceTrial("learn", 4000, ""); one.expect(SDP, 0)\n'
        'assert one.judge(NAT, False, 10) == "dropped"\n'
        'assert one.judge(NAT, True, 20) == "turned" and one.judge(NAT, True, 30) == "taken"\n'
        'assert one.judge(OTHER, True, 40) == "dropped" and one.judge(PUBLIC, True, 50) == "dropped"\n'
        'two = pj.SourceTrial("learn", 4000, ""); two.expect(SDP, 0)\n'
        'assert two.judge(NAT, True, 4001) == "dropped"',
        # a stranger was faster than the caller, whose address the signalling shows
        'one = pj.SourceTrial("learn", 4000, "198.51.100.7"); one.expect(SDP, 0)\n'
        'assert one.judge(OTHER, True, 10) == "turned" and one.judge(NAT, True, 20) == "turned"\n'
        'assert one.judge(OTHER, True, 30) == "dropped" and one.judge(PUBLIC, True, 40) == "dropped"',
        # a new offer with the same address: where the source goes on nobody else is learnt
        'one = pj.SourceTrial("learn", 4000, ""); one.expect(SDP, 0); one.judge(NAT, True, 10)\n'
        'one.reopen(60000); assert one.judge(PUBLIC, True, 60001) == "dropped"\n'
        'assert one.judge(NAT, True, 60002) == "taken" and one.judge(PUBLIC, True, 61000) == "dropped"\n'
        'one.reopen(90000); assert one.judge(PUBLIC, True, 90600) == "turned"',
        # and never where the SDP's own address was heard
        'one = pj.SourceTrial("learn", 4000, ""); one.expect(SDP, 0); one.judge(SDP, True, 10)\n'
        'one.reopen(60000); one.expect(SDP, 60000); assert one.judge(NAT, True, 60900) == "dropped"',
        # a new address: what is under way from the old one is not the new one's first packet
        'one = pj.SourceTrial("learn", 4000, ""); one.expect(SDP, 0); one.judge(NAT, True, 10)\n'
        'one.expect("10.0.0.5:4002", 60000); assert one.judge(NAT, True, 60010) == "dropped"\n'
        'assert one.judge(PUBLIC, True, 60020) == "turned"',
        # held with 0.0.0.0: nobody moves; back again the source is sent to with its next packet
        'one = pj.SourceTrial("learn", 4000, ""); one.expect(SDP, 0); one.judge(NAT, True, 10)\n'
        'one.expect("0.0.0.0:0", 5000); assert one.judge(OTHER, True, 5010) == "dropped"\n'
        'one.expect(SDP, 9000); assert one.judge(NAT, True, 9010) == "turned"',
        # RTCP by the address alone
        'one = pj.SourceTrial("learn", 4000, ""); one.expect(SDP, 0)\n'
        'assert one.rtcp("10.0.0.5:9") and not one.rtcp("203.0.113.9:9") and one.foreign_packets() == 1',
        # the SDP's word alone
        'one = pj.SourceTrial("sdp", 4000, ""); one.expect(SDP, 0)\n'
        'assert one.judge(NAT, True, 10) == "dropped" and one.judge("10.0.0.5:4001", True, 10) == "dropped"\n'
        'assert one.judge(SDP, True, 20) == "taken"',
    ],
)
def test_the_decisions(run_python: Any, code: str) -> None:
    run_python(TRIAL % code)
