"""HEP3 as a capture server reads it, and what of the telephone's events is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from telephony.events import CallEnded, DigitReceived, RtpReport, SipMessage
from tests.worker.records.hep_decoder import decoded
from worker.records.captures import MOST, Captures
from worker.records.hep import NOWHERE, SIP, Capture, address_of, packet

LOCAL = ("192.0.2.1", 5060)
HEAD = "INVITE sip:427@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7\r\nCall-ID: abc\r\nCSeq: 1 INVITE\r\n\r\n"


def message(**more: Any) -> SipMessage:
    fields = {"call_id": "c1", "at_s": 1.0, "sent": False, "line": "INVITE", "method": "INVITE", "sip_call_id": "abc"}
    return SipMessage(**{**fields, "head": HEAD, "peer": "192.0.2.7:5062", **more})


def rtp(received: int, lost: int = 0, **more: Any) -> RtpReport:
    fields: dict[str, Any] = {"call_id": "c1", "at_s": 1.0, "received": received, "lost": lost, "discarded": 0}
    fields |= {"jitter_ms": 2.5, "buffer_ms": 40.0, "sent": received, "their_lost": None, "their_jitter_ms": None}
    return RtpReport(**{**fields, "round_trip_ms": None, **more})


def told(captures: Captures, event: Any, at: float = 1_700_000_000.25) -> list[dict[str, Any]]:
    return [decoded(packet(one, 7, "pw")) for one in captures.of(event, at, LOCAL)]


def test_a_message_that_came_in() -> None:
    assert told(Captures(), message()) == [
        {
            **{"family": 2, "over": 17, "source": "192.0.2.7", "target": "192.0.2.1", "source_port": 5062},
            **{"target_port": 5060, "s": 1_700_000_000, "us": 250_000, "kind": 1, "agent": 7, "password": "pw"},
            **{"correlation": "abc", "payload": HEAD},
        }
    ]


def test_a_message_that_went_out_over_tcp() -> None:
    head = HEAD.replace("UDP", "TLS").replace("INVITE sip:427@192.0.2.1 SIP/2.0", "SIP/2.0 200 OK")
    [found] = told(Captures(), message(sent=True, head=head))
    assert (found["source"], found["target"], found["target_port"], found["over"]) == (
        "192.0.2.1",
        "192.0.2.7",
        5062,
        6,
    )


def test_a_report_of_each_direction_that_is_known() -> None:
    captures = Captures()
    told(captures, message())
    [first] = told(captures, rtp(250))
    body = json.loads(first["payload"])
    assert (first["kind"], first["correlation"], body["RTP_SIP_CALL_ID"]) == (34, "abc", "abc")
    assert (body["TOTAL_PK"], body["PACKET_LOSS"], body["JITTER"], body["DIR"]) == (250, 0, 2.5, 0)
    caller, agent = told(captures, rtp(450, 50, their_lost=20, round_trip_ms=80.0))
    body, ours = json.loads(caller["payload"]), json.loads(agent["payload"])
    assert (body["TOTAL_PK"], body["PACKET_LOSS"], ours["PACKET_LOSS"], ours["RTT"]) == (200, 50, 20, 80.0)
    assert 1 <= body["MOS"] < ours["MOS"] < 4.5, "more was lost of the caller's voice"
    assert (agent["source"], agent["target"]) == ("192.0.2.1", "192.0.2.7") and ours["DIR"] == 1


def test_a_report_after_a_new_offer_counts_from_nought() -> None:
    captures = Captures()
    told(captures, message())
    told(captures, rtp(1000, 10))
    [found] = told(captures, rtp(100, 1))
    assert json.loads(found["payload"])["TOTAL_PK"] == 100


def test_a_caller_from_whom_nothing_comes_is_told_without_a_mos() -> None:
    captures = Captures()
    told(captures, message())
    [found] = told(captures, rtp(0, sent=250))
    body = json.loads(found["payload"])
    assert body["TOTAL_PK"] == 0 and "MOS" not in body
    assert told(captures, rtp(0, sent=250)) == [], "on hold nothing goes either way"


def test_nothing_else_is_told() -> None:
    captures = Captures()
    told(captures, message())
    assert told(captures, DigitReceived("c1", "7", "rtp")) == []
    assert told(captures, message(head="")) == [], "the trace is on for the journal alone"
    assert told(captures, CallEnded("c1", 200, "OK", "caller", 0)) == []
    assert told(captures, rtp(250)) == [], "the call is over, or was never told of"


def test_calls_whose_end_nobody_tells_of_fill_no_memory() -> None:
    captures = Captures()
    for number in range(MOST + 5):
        told(captures, message(call_id=f"c{number}"))
    assert told(captures, rtp(250, call_id="c0")) == [] and told(captures, rtp(250, call_id=f"c{MOST}"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("192.0.2.7:5062", ("192.0.2.7", 5062)),
        ("[2001:db8::1]:5060", ("2001:db8::1", 5060)),
        ("host:5060", NOWHERE),
        ("192.0.2.7", NOWHERE),
        ("192.0.2.7:99999", NOWHERE),
        ("", NOWHERE),
    ],
)
def test_addresses(text: str, found: object) -> None:
    assert address_of(text) == found


def test_a_datagram_has_one_family_and_fits() -> None:
    capture = Capture(SIP, b"x" * 100_000, 0.0, ("2001:db8::1", 5060), ("192.0.2.1", 5060), "i\udcff" * 999)
    datagram = packet(capture, 0xFFFFFFFF, "p" * 128)
    found = decoded(datagram)
    assert (found["family"], found["source"], found["target"]) == (10, "2001:db8::1", "::")
    assert len(datagram) <= 0xFFFF - 28 and "password" in found
