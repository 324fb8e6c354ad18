"""The door and the registration: who gets in, how many, what broken INVITEs do, how we stand with a registrar."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.ports import free_port

pytestmark = pytest.mark.timeout(40)


def address(started: dict[str, Any]) -> str:
    return f"127.0.0.1:{started['port']}"


@pytest.fixture(params=[socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["udp", "tcp"])
def kind(request: pytest.FixtureRequest) -> Iterator[socket.SocketKind]:
    yield request.param


SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"


def test_the_fifth_call_of_the_wheel(start_endpoint: Any, sipp: Any, build: str) -> None:
    """Four calls are up: a fifth is told so at once, and gets in when one has ended.

    The wheel has no line left for an answer of ours: the library's own is 486.
    """
    endpoint = start_endpoint(**({"max_calls": 4} if build == "own" else {}))
    target = address(endpoint.next("Started"))
    runs = [sipp("their_bye", target) for _ in range(4)]
    ids = [endpoint.next("CallConfirmed")["call_id"] for _ in runs]
    status, why = (486, "library") if build == "installed" else (503, "full")
    sipp(f"refused_{status}", target).finish()
    refused = endpoint.next("CallRefused")
    assert (refused["status"], refused["why"]) == (status, why)
    endpoint.do("hang_up", call_id=ids[0])
    endpoint.next("CallEnded")
    sipp("call", target).finish()
    for call_id in ids[1:]:
        endpoint.do("hang_up", call_id=call_id)
    for run in runs:
        run.finish()


def test_a_limit_below_the_capacity(start_endpoint: Any, sipp: Any) -> None:
    endpoint = start_endpoint(max_calls=1)
    target = address(endpoint.next("Started"))
    run = sipp("their_bye", target)
    call_id = endpoint.next("CallConfirmed")["call_id"]
    refused = sipp("refused_503", target)
    refused.finish()
    assert endpoint.next("CallRefused", status=503)["why"] == "full"
    with pytest.raises(AssertionError, match="SipRequestError: all 1 calls are in use"):
        endpoint.do("invite", uri=f"sip:{target}")
    endpoint.do("hang_up", call_id=call_id)
    run.finish()


def test_an_endpoint_that_is_overloaded_says_when_to_try_again(start_endpoint: Any, sipp: Any, raw: Any) -> None:
    endpoint = start_endpoint()
    started = endpoint.next("Started")
    endpoint.do("overload", retry_after_s=7)
    sipp("refused_503", address(started)).finish()
    assert endpoint.next("CallRefused")["why"] == "overload"
    one = raw(started["port"])
    one.send(one.invite(call_id="again", body=SDP))
    until_text = b"\r\nRetry-After: 7\r\n"
    answers = [one.socket.recv(65535) for _ in range(2)]
    assert any(until_text in answer and answer.startswith(b"SIP/2.0 503 ") for answer in answers), answers
    endpoint.do("overload", retry_after_s=None)
    sipp("call", address(started)).finish()


def test_a_stranger(start_endpoint: Any, sipp: Any) -> None:
    endpoint = start_endpoint(allow=["10.1.2.0/24"])
    sipp("refused_403", address(endpoint.next("Started"))).finish()
    refused = endpoint.next("CallRefused")
    assert refused["status"] == 403 and refused["source"].startswith("127.0.0.1:")


def test_a_flood_of_strangers(start_endpoint: Any, sipp: Any, raw: Any) -> None:
    """A scanner's INVITEs, faster than the wheel gives its sockets free."""
    endpoint = start_endpoint(allow=["127.0.0.1"])
    started = endpoint.next("Started")
    scanner = raw(started["port"], host="127.0.0.9")
    scanner.socket.settimeout(0.005)
    for number in range(300):
        scanner.send(scanner.invite(call_id=f"flood{number}", body=SDP))
        scanner.status()
    endpoint.next("CallRefused", status=403)
    endpoint.until(lambda: not endpoint.do("turned_away"), "the last refusal")
    sipp("call", address(started)).finish()


def test_one_on_the_list(start_endpoint: Any, sipp: Any) -> None:
    endpoint = start_endpoint(allow=["10.1.2.0/24", "localhost"])
    sipp("call", address(endpoint.next("Started"))).finish()


def test_draining(start_endpoint: Any, sipp: Any) -> None:
    """No new calls, with a hint when to come back; the call in progress goes on."""
    endpoint = start_endpoint()
    target = address(endpoint.next("Started"))
    run = sipp("their_bye", target)
    call_id = endpoint.next("CallConfirmed")["call_id"]
    endpoint.do("accept", accepting=False)
    sipp("refused_503", target).finish()
    assert endpoint.next("CallRefused")["status"] == 503
    pulled = endpoint.do("counters", call_id=call_id)["pulled"]
    endpoint.until(lambda: endpoint.do("counters", call_id=call_id)["pulled"] > pulled, "the call goes on")
    endpoint.do("hang_up", call_id=call_id)
    run.finish()


@pytest.mark.parametrize("scenario, status", [("no_codec", 488), ("no_audio", 488), ("no_media", 400)])
def test_offers_that_cannot_be_answered(start_endpoint: Any, sipp: Any, scenario: str, status: int) -> None:
    endpoint = start_endpoint()
    target = address(endpoint.next("Started"))
    sipp(scenario, target).finish()
    assert endpoint.next("CallRefused")["status"] == status
    sipp("call", target).finish()


BROKEN = {
    "audio port 0": SDP.replace("40000", "0"),
    "no connection line": SDP.replace("c=IN IP4 127.0.0.1\r\n", ""),
    "binary": "\x00\x01\x02" * 50,
    "text": "hello\r\n" * 20,
    "hundred media": SDP + "m=audio 40002 RTP/AVP 0\r\n" * 100,
    "payload types without end": SDP.replace("AVP 0", "AVP " + " ".join(["0"] * 300)),
    "port out of range": SDP.replace("40000", "99999999999"),
    "payload type with letters": SDP.replace("AVP 0", "AVP 0P/AVP 0 8 101"),  # killed a build that orders codecs
    "nowhere": SDP.replace("127.0.0.1", "0.0.0.0"),
    "a name for an address": SDP.replace("127.0.0.1", "no-such-host.invalid"),
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
def test_broken_sdp(start_endpoint: Any, sipp: Any, raw: Any, body: str) -> None:
    """Whatever is answered, the endpoint lives and takes the next call."""
    endpoint = start_endpoint(answer=200)
    started = endpoint.next("Started")
    peer = raw(started["port"])
    peer.send(peer.invite(body=body))
    assert peer.status() >= 180, "there is an answer"
    sipp("call", address(started)).finish()


def test_malformed_and_huge_invites(start_endpoint: Any, sipp: Any, raw: Any, kind: socket.SocketKind) -> None:
    endpoint = start_endpoint(log_level=3)
    started = endpoint.next("Started")
    peer = raw(started["port"], kind)
    good = peer.invite(body=SDP)
    floods = [
        b"INVITE\r\n\r\n",
        b"\x00" * 500,
        good.replace(b"SIP/2.0\r\n", b"SIP/9.9\r\n", 1),
        good.replace(b"CSeq: 1 INVITE\r\n", b"CSeq: banana\r\n"),
        good.replace(b"Via:", b"Vai:"),
        good.replace(b"Call-ID: raw\r\n", b""),
        good.replace(b"sip:427@", b"sip:" + b"4" * 3000 + b"@", 1),
        peer.invite(body=SDP, length=-5),
        peer.invite(body=SDP, length=4_000_000_000),
        peer.invite(body=SDP, headers="X-Secret: sesame\r\n" * 3000),
        peer.invite(body=SDP + "a=x\r\n" * 11000),
        good.replace(b"<sip:raw@", b'"\xff\xfe\x00" <sip:raw@', 1),
    ]
    for flood in floods:
        sender = raw(started["port"], kind)
        try:
            sender.send(flood)
            sender.socket.settimeout(0.05)
            sender.status()
        except OSError:
            pass  # too long for a datagram, or the connection was closed on us: both are fine
    sipp("call", address(started), *(["-t", "t1"] if kind == socket.SOCK_STREAM else [])).finish()
    assert "sesame" not in endpoint.text, "what strangers send is not printed"


def test_mutated_invites(start_endpoint: Any, sipp: Any, raw: Any) -> None:
    """INVITEs with random faults, mostly in the SDP, each answered call taken down again: none kills, none is lost."""
    endpoint = start_endpoint(media_timeout_s=1.0)
    started = endpoint.next("Started")
    peer = raw(started["port"])
    peer.socket.settimeout(0.004)
    chance = random.Random(4475)
    for number in range(250):
        peer.send(mutated(peer.invite(call_id=f"m{number}", body=SDP_FULL), chance))
        try:
            while True:
                answer = peer.socket.recv(65535)
                if answer.startswith(b"SIP/2.0 200") and b" INVITE" in answer:
                    peer.send(in_dialog("ACK", 1, answer))
                    peer.send(in_dialog("BYE", 2, answer))
                    time.sleep(0.05)  # the wheel can't have 64 sockets open or just closed
        except OSError:
            pass
    sipp("call", address(started)).finish()
    assert endpoint.stop() == 0
    endpoint.drain()
    assert ids(endpoint, "IncomingCall") == ids(endpoint, "CallEnded")
    assert len(ids(endpoint, "IncomingCall")) > 20, "the faults let some calls through"


SDP_FULL = SDP.replace("AVP 0", "AVP 0 8 101") + (
    "a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\na=rtcp:40001\r\n"
)


def mutated(message: bytes, chance: random.Random) -> bytes:
    """The message with one to five random faults."""
    text = bytearray(message)
    for _ in range(chance.choice([1, 1, 2, 5])):
        at = chance.randrange(text.find(b"Content-Type") if chance.random() < 0.7 else 0, len(text))
        match chance.randrange(5):
            case 0:
                text[at] = chance.randrange(256)
            case 1:
                del text[at : at + chance.randrange(1, 20)]
            case 2:
                text[at:at] = bytes([chance.choice(b":;=/ \r\n0987<>@\0,")]) * chance.choice([1, 3, 200])
            case 3:
                text[at:at] = text[at : at + chance.randrange(1, 60)]
            case _:
                text[at : at + 5] = str(chance.choice([0, -1, 65536, 2**31, 2**32, 10**20])).encode()
    return bytes(text)


def in_dialog(method: str, number: int, answer: bytes) -> bytes:
    """A request in the dialog that a 200 made."""
    head = [line for line in answer.split(b"\r\n") if line.partition(b":")[0] in (b"From", b"To", b"Call-ID", b"Via")]
    lines = [f"{method} sip:427@127.0.0.1 SIP/2.0".encode(), *head, f"CSeq: {number} {method}".encode()]
    text = b"\r\n".join([*lines, b"Max-Forwards: 70", b"Content-Length: 0", b"", b""])
    return text.replace(b"branch=z9hG4bK", f"branch=z9hG4bK{method}".encode(), 1)


def ids(endpoint: Any, name: str) -> set[str]:
    return {event["call_id"] for event in endpoint.seen if event["event"] == name}


def test_registers_and_takes_it_back(sipp: Any, start_endpoint: Any, port: int) -> None:
    sipp("registrar", "", "-p", str(port), expires=60)
    endpoint = start_endpoint(registrar=f"sip:127.0.0.1:{port}", username="line7", password="sesame")
    endpoint.next("Started")
    change = endpoint.next("RegistrationChanged")
    assert (change["registered"], change["status"]) == (True, 200)
    assert 0 < change["expires_s"] <= 60
    endpoint.do("unregister")
    assert not endpoint.next("RegistrationChanged")["registered"]
    assert "sesame" not in endpoint.text


def test_refreshes(sipp: Any, start_endpoint: Any, port: int) -> None:
    sipp("registrar", "", "-p", str(port), expires=3)
    endpoint = start_endpoint(registrar=f"127.0.0.1:{port}", username="line7", password="sesame", register_expires_s=10)
    endpoint.next("Started")
    assert endpoint.next("RegistrationChanged")["registered"]
    assert endpoint.next("RegistrationChanged", within=11)["registered"]
    assert endpoint.stop() == 0


def test_refreshes_before_the_end_of_a_short_lifetime(sipp: Any, start_endpoint: Any, port: int) -> None:
    """Asked for 300 s, granted 6: the library by itself would come back after them."""
    sipp("registrar", "", "-p", str(port), expires=6)
    endpoint = start_endpoint(registrar=f"127.0.0.1:{port}", username="line7", password="sesame")
    endpoint.next("Started")
    for _ in range(3):
        change = endpoint.next("RegistrationChanged", within=6)
        assert (change["registered"], change["expires_s"]) == (True, 6)


def test_a_wrong_password(sipp: Any, start_endpoint: Any, port: int) -> None:
    sipp("registrar", "", "-p", str(port), expires=60)
    endpoint = start_endpoint(registrar=f"127.0.0.1:{port}", username="line7", password="wrong")
    endpoint.next("Started")
    change = endpoint.next("RegistrationChanged")
    assert not change["registered"] and change["status"] == 401 and change["retry_s"]
    assert "wrong" not in endpoint.text


def test_backs_off_from_a_refusal(sipp: Any, start_endpoint: Any, port: int) -> None:
    sipp("registrar_refuses", "", "-p", str(port), calls=9)
    endpoint = start_endpoint(
        registrar=f"127.0.0.1:{port}", username="line7", password="x", register_retry_s=[0.2, 0.8]
    )
    endpoint.next("Started")
    waits = []
    for _ in range(4):
        change = endpoint.next("RegistrationChanged")
        assert (change["registered"], change["status"]) == (False, 403)
        waits.append(change["retry_s"])
    assert waits == [pytest.approx(wait, rel=0.3) for wait in (0.2, 0.4, 0.8, 0.8)]


def test_with_a_registrar_only_it_may_call(sipp: Any, raw: Any, start_endpoint: Any, port: int) -> None:
    """The registrar is at 127.0.0.1, and so is the caller; one from another loopback address is a stranger."""
    sipp("registrar", "", "-p", str(port), expires=60)
    endpoint = start_endpoint(registrar=f"127.0.0.1:{port}", username="line7", password="sesame", host="127.0.0.1")
    started = endpoint.next("Started")
    endpoint.next("RegistrationChanged", registered=True)
    stranger = raw(started["port"], host="127.0.0.9")
    stranger.send(stranger.invite(body=SDP))
    assert stranger.status() == 403
    sipp("call", address(started)).finish()


def test_a_number_behind_a_registration(sipp: Any, raw: Any, start_endpoint: Any, port: int) -> None:
    """A registrar puts our contact into the Request-URI; the dialled number is in To."""
    sipp("registrar", "", "-p", str(port), expires=60)
    endpoint = start_endpoint(registrar=f"127.0.0.1:{port}", username="line7", password="sesame")
    started = endpoint.next("Started")
    peer = raw(started["port"])
    peer.send(peer.invite(body=SDP).replace(b"sip:427@127.0.0.1 SIP", b"sip:line7@127.0.0.1 SIP"))
    assert endpoint.next("IncomingCall")["dialled"] == "427"


def test_a_registrar_that_restarts(sipp: Any, start_endpoint: Any) -> None:
    """It reaches us over the connection we opened: when that is lost we register again, until it answers."""
    port = free_port()
    registrar = sipp("registrar", "", "-t", "t1", "-p", str(port), expires=300)
    wait_for_listener(port)
    endpoint = start_endpoint(
        registrar=f"sip:127.0.0.1:{port};transport=tcp",
        username="line7",
        password="sesame",
        register_retry_s=[0.3, 0.6],
    )
    endpoint.next("Started")
    endpoint.next("RegistrationChanged", registered=True)
    registrar.stop()
    assert endpoint.next("RegistrationChanged", registered=False)["retry_s"]
    sipp("registrar", "", "-t", "t1", "-p", str(port), expires=300)
    endpoint.next("RegistrationChanged", registered=True)


def wait_for_listener(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"nobody listens on {port}")


def test_no_registrar_there(start_endpoint: Any, port: int) -> None:
    """Nobody answers, over TCP at once: a failure with a retry, and the endpoint is up all the same."""
    endpoint = start_endpoint(
        registrar=f"sip:127.0.0.1:{port};transport=tcp", username="line7", password="x", register_retry_s=[0.2, 0.4]
    )
    endpoint.next("Started")
    for _ in range(2):
        assert endpoint.next("RegistrationChanged")["retry_s"]
    endpoint.do("unregister")
