"""A call that goes on elsewhere because its other side asks for it (RFC 3515, RFC 3891). Real endpoints all round."""

from __future__ import annotations

import time
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(40)

HERE = ["127.0.0.1"]


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


@pytest.mark.parametrize(
    "refer_to",
    [
        "Refer-To: <sip:200@127.0.0.1:9?Replaces=" + "a" * 8000 + ">\r\n",
        "Refer-To: <sip:" + "2" * 8000 + "@127.0.0.1:9>\r\n",
        "Refer-To: <sip:200@127.0.0.1:9?Replaces=x%0D%0AX-Evil%3A%201>\r\n",
        "Refer-To: <sip:200@127.0.0.1:9;maddr=127.0.0.2>\r\n",
        "Refer-To: \r\n",
        "",
    ],
    ids=["8 KB of Replaces", "8 KB of user", "line break", "maddr", "empty", "none"],
)
def test_a_refer_that_is_no_good_changes_nothing(start_endpoint: Any, peer: Any, refer_to: str) -> None:
    """Whatever the list allows. One over UDP that the library's buffer can't hold gets no answer."""
    endpoint = start_endpoint()
    caller = peer(endpoint.next("Started")["port"])
    tag = caller.call("bad@test")
    call_id = endpoint.next("MediaActive")["call_id"]
    endpoint.do("permit", call_id=call_id, sources=HERE, targets=["sip:*@*"], replaces=True)
    caller.send("REFER", "bad@test", "f1", to_tag=tag, cseq=2, more=refer_to)
    if len(refer_to) < 4000:
        assert caller.until(r"SIP/2.0 [3-6]")
    else:
        time.sleep(0.5)
    endpoint.do("hang_up", call_id=call_id)
    assert caller.until("BYE")
    endpoint.drain()
    assert not [one for one in endpoint.seen if one["event"].startswith("HandOver")]
