"""Two calls that hear each other: three endpoints over real SIP and RTP, the one in the middle joins the others."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.timeout(60)


class Three:
    """A caller, the endpoint that it calls, and somebody whom that endpoint calls."""

    def __init__(self, start_endpoint: Any) -> None:
        self.caller, self.middle, self.callee = (start_endpoint() for _ in range(3))
        ports = [one.next("Started")["port"] for one in (self.caller, self.middle, self.callee)]
        self.at_caller = self.caller.do("invite", uri=f"sip:427@127.0.0.1:{ports[1]}")
        self.first = self.middle.next("MediaActive")["call_id"]
        self.second = self.middle.do("invite", uri=f"sip:200@127.0.0.1:{ports[2]}")
        self.middle.next("MediaActive", call_id=self.second)
        self.at_callee = self.callee.next("MediaActive")["call_id"]

    def join(self) -> None:
        self.middle.do("join", call_id=self.first, other_id=self.second)

    def hears(self, endpoint: Any, call_id: str, hz: int) -> None:
        endpoint.until(lambda: endpoint.do("heard", call_id=call_id)["hz"] == hz, f"{hz} Hz")


@pytest.fixture
def three(start_endpoint: Any) -> Three:
    return Three(start_endpoint)


def test_each_hears_the_other_and_no_more_the_agent_s_silence(three: Three) -> None:
    three.caller.do("play", call_id=three.at_caller, hz=500, ms=20_000)
    three.callee.do("play", call_id=three.at_callee, hz=900, ms=20_000)
    three.hears(three.middle, three.first, 500)
    assert three.callee.do("heard", call_id=three.at_callee)["hz"] == 0
    three.join()
    three.hears(three.caller, three.at_caller, 900)
    three.hears(three.callee, three.at_callee, 500)
    three.hears(three.middle, three.first, 500)  # recordings go on: each leg has its own side
    three.hears(three.middle, three.second, 900)


@pytest.mark.parametrize("side", ["caller", "callee"])
def test_the_end_of_one_is_the_end_of_the_other(three: Three, side: str) -> None:
    three.join()
    one, two = (three.caller, three.callee) if side == "caller" else (three.callee, three.caller)
    one.do("hang_up", call_id=three.at_caller if side == "caller" else three.at_callee)
    assert two.next("CallEnded")["by"] == "caller" if side == "caller" else two.next("CallEnded")["status"] == 200
    ends = {three.middle.next("CallEnded")["by"] for _ in range(2)}
    assert ends == {"caller", "agent"}


def test_keys_are_passed_on(three: Three) -> None:
    three.join()
    three.caller.do("send_digits", call_id=three.at_caller, digits="7")
    assert three.callee.next("DigitReceived")["digit"] == "7"
    three.callee.do("send_digits", call_id=three.at_callee, digits="#")
    assert three.caller.next("DigitReceived")["digit"] == "#"


def test_what_is_played_to_one_is_heard_by_that_one_alone(three: Three) -> None:
    three.join()
    three.middle.do("play", call_id=three.first, hz=1500, ms=5000)
    three.hears(three.caller, three.at_caller, 1500)
    assert three.callee.do("heard", call_id=three.at_callee)["hz"] == 0


def test_what_can_t_be_joined_is_an_error(three: Three) -> None:
    with pytest.raises(AssertionError, match="SipRequestError: a call can be connected with one other"):
        three.middle.do("join", call_id=three.first, other_id=three.first)
    three.join()
    with pytest.raises(AssertionError, match="SipRequestError: a call can be connected with one other"):
        three.join()
    with pytest.raises(AssertionError, match="NoSuchCall"):
        three.middle.do("join", call_id=three.first, other_id="none")


def test_a_call_that_is_held_and_taken_up_is_connected_again(start_endpoint: Any, sipp: Any) -> None:
    middle, callee = start_endpoint(), start_endpoint()
    port = middle.next("Started")["port"]
    run = sipp("hold", f"127.0.0.1:{port}", hold_ms=1500)
    first = middle.next("MediaActive")["call_id"]
    second = middle.do("invite", uri=f"sip:200@127.0.0.1:{callee.next('Started')['port']}")
    middle.next("MediaActive", call_id=second)
    middle.do("join", call_id=first, other_id=second)
    middle.next("MediaHeld", call_id=first, held=True)
    middle.next("MediaHeld", call_id=first, held=False)
    run.finish()
    assert middle.next("CallEnded", call_id=second)["by"] == "agent"
