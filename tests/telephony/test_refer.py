"""REFER that we send in a call, and what the other side makes of it (RFC 3515). sipp is the other side."""

from __future__ import annotations

import time
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(30)

TARGET = "sip:200@127.0.0.1:9;transport=udp"


def refer(start_endpoint: Any, sipp: Any, scene: str, **keys: Any) -> tuple[Any, Any, str]:
    """A call of sipp's that we refer to somebody else: our endpoint, sipp, the call's id."""
    endpoint = start_endpoint()
    run = sipp(scene, f"127.0.0.1:{endpoint.next('Started')['port']}", "-trace_msg", **keys)
    call_id = endpoint.next("CallConfirmed")["call_id"]
    endpoint.do("refer", call_id=call_id, uri=TARGET)
    return endpoint, run, call_id


def statuses(endpoint: Any, call_id: str) -> list[tuple[int, bool]]:
    """What was notified so far."""
    found = [one for one in endpoint.seen if one["event"] == "ReferNotified" and one["call_id"] == call_id]
    return [(one["status"], one["final"]) for one in found]


@pytest.mark.parametrize("frag, status", [("200 OK", 200), ("486 Busy Here", 486), ("503 Service Unavailable", 503)])
def test_how_the_other_side_s_call_goes_is_told(
    start_endpoint: Any, sipp: Any, tmp_path: Any, frag: str, status: int
) -> None:
    endpoint, run, call_id = refer(start_endpoint, sipp, "referred", frag=frag)
    assert endpoint.next("ReferAnswered", call_id=call_id)["status"] == 202
    endpoint.next("ReferNotified", call_id=call_id, status=status, final=True)
    told = statuses(endpoint, call_id)
    assert (180, False) in told and told[-1] == (status, True) and [final for _, final in told].count(True) == 1
    endpoint.do("hang_up", call_id=call_id)
    run.finish()
    messages = next(tmp_path.glob("*messages.log")).read_text()
    assert f"Refer-To: <{TARGET}>" in messages.replace("\r", "")


@pytest.mark.parametrize("status", [603, 405])
def test_a_refusal_is_told_and_the_call_goes_on(start_endpoint: Any, sipp: Any, status: int) -> None:
    endpoint, run, call_id = refer(start_endpoint, sipp, f"refer_{status}")
    assert endpoint.next("ReferAnswered", call_id=call_id)["status"] == status
    time.sleep(0.3)
    endpoint.drain()
    assert not [one for one in endpoint.seen if one["event"] == "CallEnded"]
    assert all(found >= 300 for found, _ in statuses(endpoint, call_id))
    endpoint.do("hang_up", call_id=call_id)
    run.finish()


def test_who_takes_it_and_tells_nothing(start_endpoint: Any, sipp: Any) -> None:
    endpoint, run, call_id = refer(start_endpoint, sipp, "refer_no_notify")
    assert endpoint.next("ReferAnswered", call_id=call_id)["status"] == 202
    time.sleep(0.3)
    endpoint.drain()
    assert all(final is False and status < 200 for status, final in statuses(endpoint, call_id))
    endpoint.do("hang_up", call_id=call_id)
    run.finish()


def test_who_hangs_up_for_the_other_call(start_endpoint: Any, sipp: Any) -> None:
    endpoint, run, call_id = refer(start_endpoint, sipp, "refer_bye")
    assert endpoint.next("ReferAnswered", call_id=call_id)["status"] == 202
    assert endpoint.next("CallEnded", call_id=call_id)["by"] == "caller"
    run.finish()


def test_who_does_not_answer_it(start_endpoint: Any, sipp: Any) -> None:
    endpoint, run, call_id = refer(start_endpoint, sipp, "refer_unanswered")
    time.sleep(1.0)
    endpoint.drain()
    assert not [one for one in endpoint.seen if one["event"] in ("ReferAnswered", "ReferNotified", "CallEnded")]
    endpoint.do("hang_up", call_id=call_id)
    assert endpoint.next("CallEnded", call_id=call_id)["by"] == "agent"
    run.finish()


def test_a_call_may_be_referred_again(start_endpoint: Any, sipp: Any) -> None:
    endpoint, run, call_id = refer(start_endpoint, sipp, "refer_twice", frag="486 Busy Here")
    endpoint.next("ReferNotified", call_id=call_id, status=486, final=True)
    endpoint.do("refer", call_id=call_id, uri="sip:201@127.0.0.1:9")
    assert endpoint.next("ReferAnswered", call_id=call_id, status=603)
    endpoint.do("hang_up", call_id=call_id)
    run.finish()


@pytest.mark.parametrize("allow, takes", [("INVITE, ACK, BYE", False), ("INVITE, ACK, BYE, refer", True), (None, True)])
def test_whether_the_caller_takes_it_stands_in_allow(
    start_endpoint: Any, raw: Any, allow: str | None, takes: bool
) -> None:
    endpoint = start_endpoint(answer=None)
    socket = raw(endpoint.next("Started")["port"])
    sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"
    socket.send(socket.invite(body=sdp, headers=f"Allow: {allow}\r\n" if allow else ""))
    assert endpoint.next("IncomingCall")["takes_refer"] is takes


def test_a_second_line_that_comes_back_is_a_loop(start_endpoint: Any) -> None:
    one, two = start_endpoint(), start_endpoint()
    one.next("Started")
    uri = f"sip:427@127.0.0.1:{two.next('Started')['port']}"
    call_id = one.do("invite", uri=uri, headers={"X-Offhook-Second-Line": "c0ffee"})
    assert one.next("CallEnded", call_id=call_id)["status"] == 482
    assert two.next("CallRefused")["why"] == "loop"
