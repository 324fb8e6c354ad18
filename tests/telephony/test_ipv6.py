"""Calls over IPv6, alone and beside IPv4: SIP and RTP on ::1. The PyPI wheel carries none, and says so."""

from __future__ import annotations

import re
import socket
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(40)

NONE = "this machine has no IPv6"


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.fixture(autouse=True)
def ipv6(build: str) -> None:
    if not has_ipv6():
        pytest.skip(NONE)
    if build != "own":
        pytest.skip("the wheel's media is IPv4 alone")


def words_both_ways(one: Any, call_id: str, two: Any, at_two: str) -> None:
    """Let each side hear the other's tone."""
    for each in (one, two):
        each.next("MediaActive")
    one.do("play", call_id=call_id, hz=700, ms=20_000)
    two.do("play", call_id=at_two, hz=1100, ms=20_000)
    two.until(lambda: two.do("heard", call_id=at_two)["hz"] == 700, "the agent is heard")
    one.until(lambda: one.do("heard", call_id=call_id)["hz"] == 1100, "the caller is heard")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_call_over_ipv6_alone(start_endpoint: Any, transport: str) -> None:
    """The list of who may call compares IPv6, too."""
    one = start_endpoint(host="::1", allow=["::1"])
    two = start_endpoint(host="::1")
    started = one.next("Started")
    port = started["port"]
    assert started["addresses"] == [f"sip:[::1]:{port};transport=udp", f"sip:[::1]:{port};transport=tcp"]
    two.next("Started")
    at_two = two.do("invite", uri=f"sip:427@[::1]:{port};transport={transport}")
    incoming = one.next("IncomingCall")
    assert incoming["source"].startswith("[::1]:") and incoming["dialled"] == "427"
    words_both_ways(one, incoming["call_id"], two, at_two)
    one.do("hang_up", call_id=incoming["call_id"])
    assert two.next("CallEnded", call_id=at_two)["status"] == 200


def test_both_families_at_once(start_endpoint: Any) -> None:
    """One endpoint, called by IPv4 and by IPv6, and calling both: each call has its media where it came from."""
    both = start_endpoint(host="127.0.0.1", second_host="::1", trace=True, trace_heads=True)
    four, six = start_endpoint(host="127.0.0.1"), start_endpoint(host="::1")
    started = both.next("Started")
    port = started["port"]
    assert started["addresses"][2:] == [f"sip:[::1]:{port};transport=udp", f"sip:[::1]:{port};transport=tcp"]
    ports = [each.next("Started")["port"] for each in (four, six)]
    for caller, host in ((six, "[::1]"), (four, "127.0.0.1")):
        there = caller.do("invite", uri=f"sip:427@{host}:{port}")
        here = both.next("IncomingCall")
        assert here["source"].startswith(f"{host}:")
        words_both_ways(both, here["call_id"], caller, there)
    for called, host, number in ((four, "127.0.0.1", ports[0]), (six, "[::1]", ports[1])):
        here = both.do("invite", uri=f"sip:8@{host}:{number}")
        there = called.next("IncomingCall")
        assert there["source"].startswith(f"{host}:") and there["caller"] == "agent"
        words_both_ways(both, here, called, there["call_id"])
    both.do("invite", uri=f"sip:8@localhost:{ports[0]}")
    assert four.next("IncomingCall")["source"].startswith("127.0.0.1:")  # a name is looked up: it has IPv4


def sdp(family: int, host: str) -> str:
    return (
        f"v=0\r\no=- 1 1 IN IP{family} {host}\r\ns=-\r\nc=IN IP{family} {host}\r\nt=0 0\r\n"
        "m=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
    )


@pytest.mark.parametrize(("host", "family", "other"), [("127.0.0.1", 6, "::1"), ("::1", 4, "127.0.0.1")])
def test_an_offer_of_the_other_family(start_endpoint: Any, raw: Any, host: str, family: int, other: str) -> None:
    """SIP by the family that we have, and media by the one that we have not: 488, with why."""
    agent = start_endpoint(host=host)
    caller = raw(agent.next("Started")["port"], host=host)
    caller.send(caller.invite(body=sdp(family, other)))
    answer = caller.answer()
    assert answer.startswith("SIP/2.0 488 ") and 'Warning: 301 offhook "Incompatible network address formats"' in answer
    assert agent.next("CallRefused")["why"] == "family"
    caller.send(caller.invite(call_id="next", body=sdp(4 if host == "127.0.0.1" else 6, host)))
    assert agent.next("IncomingCall")["source"].startswith("[::1]:" if host == "::1" else "127.0.0.1:")


def test_the_answer_is_of_the_offers_family(start_endpoint: Any, raw: Any) -> None:
    """Also where SIP comes by the other one, and where the call is made without an offer."""
    agent = start_endpoint(host="127.0.0.1", second_host="::1")
    port = agent.next("Started")["port"]
    for host, body, family in (
        ("127.0.0.1", sdp(6, "::1"), 6),
        ("::1", sdp(4, "127.0.0.1"), 4),
        ("::1", "", 6),
        ("127.0.0.1", "", 4),
    ):
        caller = raw(port, host=host)
        caller.send(caller.invite(call_id=f"{host}-{family}-{len(body)}", body=body))
        answer = caller.answer()
        there = "::1" if family == 6 else "127.0.0.1"
        assert re.search(rf"^c=IN IP{family} {re.escape(there)}\r?$", answer, re.M), answer
        uri = "[::1]" if host == "::1" else "127.0.0.1"
        assert re.search(rf"^Contact: .*@{re.escape(uri)}:{port}", answer, re.M), answer


def test_a_target_of_a_family_that_we_lack(start_endpoint: Any) -> None:
    four = start_endpoint(host="127.0.0.1")
    four.next("Started")
    with pytest.raises(AssertionError, match="no SIP over IPv6, only over IPv4"):
        four.do("invite", uri="sip:8@[::1]:5099")
