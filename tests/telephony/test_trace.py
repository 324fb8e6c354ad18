"""A call's messages and its RTP, as they are told where `SipSettings.trace` is on. sipp is the other side."""

from __future__ import annotations

from typing import Any

import pytest

from telephony.sip.message import header
from tests.telephony.test_requests import sdp

pytestmark = pytest.mark.timeout(30)


def address(started: dict[str, Any]) -> str:
    return f"127.0.0.1:{started['port']}"


def ladder(endpoint: Any) -> list[tuple[str, str, str]]:
    endpoint.drain()
    told = [event for event in endpoint.seen if event["event"] == "SipMessage"]
    return [("->" if event["sent"] else "<-", event["method"], event["line"]) for event in told]


def test_the_messages_of_a_call_and_its_rtp(start_endpoint: Any, sipp: Any) -> None:
    endpoint = start_endpoint(ring=True, trace=True)
    run = sipp("call", address(started := endpoint.next("Started")), hold_ms=1200)
    call = endpoint.next("IncomingCall")
    endpoint.next("CallEnded", call_id=call["call_id"])
    run.finish()
    endpoint.until(lambda: len(ladder(endpoint)) >= 7, "all of its messages")
    assert ladder(endpoint) == [
        ("<-", "INVITE", f"INVITE sip:427@{address(started)}"),
        ("->", "INVITE", "100 Trying"),
        ("->", "INVITE", "180 Ringing"),
        ("->", "INVITE", "200 OK"),
        ("<-", "ACK", "ACK"),
        ("<-", "BYE", ladder(endpoint)[5][2]),
        ("->", "BYE", "200 OK"),
    ]
    messages = [event for event in endpoint.seen if event["event"] == "SipMessage"]
    assert {event["sip_call_id"] for event in messages} == {call["sip_call_id"]}
    assert [event["at_s"] for event in messages] == sorted(event["at_s"] for event in messages)
    [*_, report] = [event for event in endpoint.seen if event["event"] == "RtpReport"]
    assert report["sent"] >= 40 and (report["lost"], report["their_lost"]) == (0, None)


def test_of_a_call_that_we_end_the_caller_s_contact_is_not_told(start_endpoint: Any, sipp: Any) -> None:
    endpoint = start_endpoint(trace=True)
    run = sipp("their_bye", address(endpoint.next("Started")))
    call = endpoint.next("CallConfirmed")
    endpoint.do("hang_up", call_id=call["call_id"])
    endpoint.next("CallEnded")
    run.finish()
    assert ("->", "BYE") in [told[:2] for told in ladder(endpoint)]
    assert not any("@" in line for way, _, line in ladder(endpoint) if way == "->")
    assert any(event["event"] == "RtpReport" for event in endpoint.seen), "measured before the media went"


def test_without_a_trace_nothing_is_told(start_endpoint: Any, sipp: Any) -> None:
    endpoint = start_endpoint()
    sipp("call", address(endpoint.next("Started")), hold_ms=100).finish()
    endpoint.next("CallEnded")
    assert not {"SipMessage", "RtpReport"} & {event["event"] for event in endpoint.seen}


def test_a_call_that_we_make(start_endpoint: Any) -> None:
    callee, endpoint = start_endpoint(answer=486), start_endpoint(trace=True)
    uri = f"sip:bob@{address(callee.next('Started'))}"
    endpoint.next("Started")
    call_id = endpoint.do("invite", uri=uri)
    assert endpoint.next("CallEnded", call_id=call_id)["status"] == 486
    told = endpoint.until(lambda: (found := ladder(endpoint))[2:] and found, "all of its messages")
    assert told[0] == ("->", "INVITE", f"INVITE {uri}")
    assert told[-1] == ("<-", "INVITE", "486 Busy Here")


def test_a_call_that_the_caller_gives_up(start_endpoint: Any, sipp: Any) -> None:
    endpoint = start_endpoint(answer=None, ring=True, trace=True)
    run = sipp("cancel", address(endpoint.next("Started")))
    endpoint.next("CallEnded")
    run.finish()
    lines = [line.partition(" ")[0] for _, _, line in ladder(endpoint)]
    assert lines == ["INVITE", "100", "180", "CANCEL", "200", "487"]


def test_a_call_that_the_application_declines(start_endpoint: Any, sipp: Any) -> None:
    endpoint = start_endpoint(answer=603, trace=True)
    sipp("refused_603", address(endpoint.next("Started"))).finish()
    endpoint.next("CallEnded")
    assert ladder(endpoint)[-1] == ("->", "INVITE", "603")


def test_a_key_by_info_stands_in_the_ladder_without_its_digit(start_endpoint: Any, sipp: Any) -> None:
    endpoint = start_endpoint(trace=True)
    sipp("info_digits", address(endpoint.next("Started"))).finish()
    endpoint.next("CallEnded")
    infos = [line for _, method, line in ladder(endpoint) if method == "INFO"]
    assert infos and all("Signal" not in line for line in infos)


def test_with_heads_each_message_has_its_headers_and_the_other_side(start_endpoint: Any, sipp: Any) -> None:
    endpoint = start_endpoint(ring=True, trace=True, trace_heads=True)
    run = sipp("call", address(endpoint.next("Started")), hold_ms=300)
    call = endpoint.next("IncomingCall")
    endpoint.next("CallEnded", call_id=call["call_id"])
    run.finish()
    endpoint.until(lambda: len(ladder(endpoint)) >= 7, "all of its messages")
    messages = [event for event in endpoint.seen if event["event"] == "SipMessage"]
    assert {header(event["head"], "Call-ID") for event in messages} == {call["sip_call_id"]}
    assert [header(event["head"], "CSeq") for event in messages] == [*["1 INVITE"] * 4, "1 ACK", *["2 BYE"] * 2]
    assert [("X-Reconstructed" in event["head"]) for event in messages] == [False] * 4 + [True] + [False] * 2
    assert {event["peer"].rpartition(":")[0] for event in messages} == {"127.0.0.1"}
    assert not any("m=audio" in event["head"] for event in messages)


def test_a_bye_of_ours_goes_to_the_caller_in_its_head_too(start_endpoint: Any, sipp: Any) -> None:
    endpoint = start_endpoint(trace=True, trace_heads=True)
    run = sipp("their_bye", address(endpoint.next("Started")))
    endpoint.next("CallConfirmed")
    endpoint.do("hang_up", call_id=endpoint.seen[-1]["call_id"])
    endpoint.next("CallEnded")
    run.finish()
    messages = [event for event in endpoint.seen if event["event"] == "SipMessage"]
    [bye] = [event["head"] for event in messages if event["method"] == "BYE" and event["line"].startswith("BYE")]
    tags = [header(head, name).partition(";tag=")[2] for head, name in ((bye, "To"), (messages[0]["head"], "From"))]
    assert tags[0] == tags[1] != "" and "tag=" in header(bye, "From")


def test_a_caller_in_confidence_is_in_no_head(start_endpoint: Any, raw: Any) -> None:
    endpoint = start_endpoint(trace=True, trace_heads=True)
    peer = raw(endpoint.next("Started")["port"])
    invite = peer.invite(body=sdp(), headers="Privacy: id\r\n")
    peer.send(invite.replace(b"<sip:raw@127.0.0.1>;", b'"Ada" <sip:+4930124@127.0.0.1>;', 1))
    assert endpoint.next("IncomingCall")["private"]
    endpoint.until(lambda: any(line.startswith("200") for _, _, line in ladder(endpoint)), "our answer")
    heads = [event["head"] for event in endpoint.seen if event["event"] == "SipMessage"]
    assert len(heads) >= 2 and not any("+4930124" in head or "Ada" in head for head in heads)
    assert {header(head, "From").partition(">")[0] for head in heads} == {"<sip:anonymous@127.0.0.1"}
