"""In a call: media, hold, keys, the ways it ends. sipp is the other side."""

from __future__ import annotations

import time
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(30)


def address(started: dict[str, Any]) -> str:
    return f"127.0.0.1:{started['port']}"


def test_a_call_that_the_caller_ends(start_endpoint: Any, sipp: Any) -> None:
    endpoint = start_endpoint(ring=True)
    run = sipp("call", address(endpoint.next("Started")))
    call = endpoint.next("IncomingCall")
    assert (call["caller"], call["dialled"]) == ("caller", "427")
    assert call["source"].startswith("127.0.0.1:") and len(call["call_id"]) == 32 and call["sip_call_id"]
    assert endpoint.next("MediaActive", call_id=call["call_id"])["codec"] == "PCMU"
    endpoint.next("CallConfirmed", call_id=call["call_id"])
    ended = endpoint.next("CallEnded", call_id=call["call_id"])
    assert (ended["status"], ended["by"]) == (200, "caller")
    run.finish()


@pytest.mark.parametrize(
    "payload, rtpmap, codec, rate",
    [("0", "PCMU/8000", "PCMU", 8000), ("8", "PCMA/8000", "PCMA", 8000), ("9", "G722/8000", "G722", 16000)],
)
def test_each_codec(start_endpoint: Any, sipp: Any, payload: str, rtpmap: str, codec: str, rate: int) -> None:
    endpoint = start_endpoint()
    run = sipp("call", address(endpoint.next("Started")), payload=payload, rtpmap=rtpmap)
    media = endpoint.next("MediaActive")
    assert (media["codec"], media["rate_hz"]) == (codec, rate)
    run.finish()


def test_the_caller_gives_up_while_it_rings(start_endpoint: Any, sipp: Any) -> None:
    endpoint = start_endpoint(answer=None, ring=True)
    run = sipp("cancel", address(endpoint.next("Started")))
    ended = endpoint.next("CallEnded")
    assert (ended["status"], ended["by"]) == (487, "caller")
    run.finish()


def test_a_call_that_we_end(start_endpoint: Any, sipp: Any) -> None:
    endpoint = start_endpoint()
    run = sipp("their_bye", address(endpoint.next("Started")))
    call = endpoint.next("CallConfirmed")
    endpoint.do("hang_up", call_id=call["call_id"])
    assert endpoint.next("CallEnded")["by"] == "agent"
    run.finish()
    with pytest.raises(AssertionError, match="NoSuchCall"):
        endpoint.do("hang_up", call_id=call["call_id"])


def test_a_call_that_the_application_declines(start_endpoint: Any, sipp: Any) -> None:
    endpoint = start_endpoint(answer=603)
    run = sipp("refused_603", address(endpoint.next("Started")))
    ended = endpoint.next("CallEnded")
    assert (ended["status"], ended["by"]) == (603, "agent")
    run.finish()


def test_a_request_that_comes_too_late(start_endpoint: Any, sipp: Any) -> None:
    """The library's refusal is an error of ours, and keeps no call alive behind its back."""
    endpoint = start_endpoint()
    run = sipp("their_bye", address(endpoint.next("Started")))
    call_id = endpoint.next("CallConfirmed")["call_id"]
    for _ in range(3):
        with pytest.raises(AssertionError, match="SipRequestError: "):
            endpoint.do("answer", call_id=call_id)
    assert endpoint.stop() == 0
    run.finish()


def test_hold_and_its_end(start_endpoint: Any, sipp: Any) -> None:
    endpoint = start_endpoint()
    run = sipp("hold", address(endpoint.next("Started")))
    call_id = endpoint.next("MediaActive")["call_id"]
    endpoint.is_held_and_taken_up(call_id)
    run.finish()


def test_an_invite_without_sdp(start_endpoint: Any, sipp: Any) -> None:
    endpoint = start_endpoint()
    run = sipp("late_offer", address(endpoint.next("Started")))
    assert endpoint.next("MediaActive")["codec"] == "PCMU"
    endpoint.next("CallEnded", by="caller")
    run.finish()


def test_keys_by_info(start_endpoint: Any, sipp: Any) -> None:
    endpoint = start_endpoint()
    run = sipp("info_digits", address(endpoint.next("Started")))
    assert [(d["digit"], d["via"]) for d in (endpoint.next("DigitReceived") for _ in "5#")] == [
        ("5", "info"),
        ("#", "info"),
    ]
    endpoint.next("CallEnded", by="caller")
    run.finish()
    assert not [event for event in endpoint.seen if event["event"] == "DigitReceived"][2:]


def test_refer_is_declined(start_endpoint: Any, sipp: Any) -> None:
    endpoint = start_endpoint()
    run = sipp("refer", address(endpoint.next("Started")))
    endpoint.next("CallEnded", by="caller")
    run.finish()


@pytest.mark.parametrize("marker", [True, False], ids=["with marker bit", "without"])
def test_keys_by_rtp_events(start_endpoint: Any, sipp: Any, rtp: Any, marker: bool) -> None:
    endpoint = start_endpoint()
    caller = rtp()
    run = sipp("call", address(endpoint.next("Started")), rtp=caller.port, hold_ms=2500)
    endpoint.next("CallConfirmed")
    caller.learn_peer()
    for digit in "19*":
        caller.send_digit(digit, marker=marker)
    assert "".join(endpoint.next("DigitReceived", via="rtp")["digit"] for _ in "19*") == "19*"
    endpoint.next("CallEnded")
    run.finish()
    assert sum(event["event"] == "DigitReceived" for event in endpoint.seen) == 3, "each key once"
    assert "19*" not in endpoint.text and "digit" not in endpoint.text


def test_audio_of_a_stranger_is_not_heard(start_endpoint: Any, sipp: Any, rtp: Any) -> None:
    endpoint = start_endpoint()
    caller, stranger = rtp(), rtp()
    run = sipp("call", address(endpoint.next("Started")), rtp=caller.port, hold_ms=4000)
    call_id = endpoint.next("CallConfirmed")["call_id"]
    caller.learn_peer()
    stranger.peer = caller.peer
    with caller.sending_tone(1100):
        # Who sends first is taken for the caller, who may be behind a NAT: from then on nobody else is.
        endpoint.until(lambda: endpoint.do("heard", call_id=call_id)["hz"] == 1100, "the caller is heard")
        with stranger.sending_tone(700):
            time.sleep(1.0)  # two tones side by side for a second: the time under test
            assert endpoint.do("heard", call_id=call_id)["hz"] == 1100
            assert stranger.received == 0
            got = caller.received
            endpoint.until(lambda: caller.received > got + 10, "our audio still goes to the caller")
    endpoint.do("hang_up", call_id=call_id)
    run.stop()


def test_a_caller_behind_nat_is_found(start_endpoint: Any, sipp: Any, rtp: Any) -> None:
    """The SDP names one port, the RTP comes from another and never from that one."""
    endpoint = start_endpoint()
    named, real = rtp(), rtp()
    run = sipp("call", address(endpoint.next("Started")), rtp=named.port, hold_ms=4000)
    call_id = endpoint.next("CallConfirmed")["call_id"]
    named.learn_peer()
    real.peer = named.peer
    with real.sending_tone(900):
        endpoint.until(lambda: real.received > 10, "our audio follows to where the caller's comes from")
        endpoint.until(lambda: endpoint.do("heard", call_id=call_id)["hz"] == 900, "the caller is heard")
    endpoint.do("hang_up", call_id=call_id)
    run.stop()


def test_a_caller_who_vanishes(start_endpoint: Any, sipp: Any) -> None:
    """No BYE and no RTP: the call ends by itself."""
    endpoint = start_endpoint(media_timeout_s=1.0)
    run = sipp("their_bye", address(endpoint.next("Started")))
    endpoint.next("CallConfirmed")
    assert endpoint.next("CallEnded")["by"] == "network"
    run.finish()


def test_a_muted_caller_whose_rtcp_goes_on_is_there(start_endpoint: Any, peer: Any) -> None:
    """RFC 3550 section 6.4.2: who sends no audio sends receiver reports. Without these, too, the call ends."""
    endpoint = start_endpoint(media_timeout_s=1.0)
    muted = peer(endpoint.next("Started")["port"])
    muted.call("muted@test")
    endpoint.next("MediaActive")
    for _ in range(15):
        muted.reports()
        time.sleep(0.2)
    endpoint.drain()
    assert not [one for one in endpoint.seen if one["event"] == "CallEnded"]
    assert endpoint.next("CallEnded")["by"] == "network"
