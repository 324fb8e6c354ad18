"""SIP over TLS between two processes, with certificates of an authority of our own; what is refused, and the words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from telephony import binding
from telephony.errors import SipStartError
from telephony.sip.message import keys_in_clear
from telephony.tls import TlsSettings, check_files, days_left
from tests.telephony.authority import Authority

OWN = "OpenSSL 1.0" not in binding.tls_library()
"""What is installed is an own build."""


@pytest.fixture(scope="module")
def make_authority(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Authority]:
    return lambda name: Authority.made(tmp_path_factory.mktemp(name), name)


@pytest.fixture(scope="module")
def authority(make_authority: Callable[[str], Authority]) -> Authority:
    return make_authority("ours")


@pytest.fixture
def start(start_endpoint: Any, build: str) -> Any:
    """Start endpoints of a build that has TLS."""
    if build == "installed" and not OWN:
        pytest.skip("the wheel's TLS can't be used")
    return start_endpoint


def pair(start_endpoint: Any, desk: dict[str, Any], caller: dict[str, Any], **more: Any) -> tuple[Any, Any, str]:
    """An endpoint that listens on TLS, one that calls it so, and the URI."""
    transports = ["udp", "tls"]
    agent = start_endpoint(transports=transports, tls=desk, **more)
    other = start_endpoint(answer=None, transports=transports, tls={"port": 0, **caller}, **more)
    address = next(one for one in agent.next("Started")["addresses"] if one.endswith("transport=tls"))
    other.next("Started")
    return agent, other, address.replace("sip:", "sip:427@", 1)


@pytest.mark.parametrize("srtp", ["off", "required"])
def test_a_call_over_tls_is_heard(start: Any, authority: Authority, srtp: str) -> None:
    ours = authority.sign("desk")
    agent, caller, uri = pair(start, ours, {"authorities": authority.path}, srtp=srtp)
    out = caller.do("invite", uri=uri)
    call_id = agent.next("MediaActive")["call_id"]
    caller.next("CallConfirmed")
    caller.do("play", call_id=out, hz=1100, ms=5000)
    agent.do("play", call_id=call_id, hz=700, ms=5000)
    agent.until(lambda: agent.do("heard", call_id=call_id)["hz"] == 1100, "the agent hears the caller")
    caller.until(lambda: caller.do("heard", call_id=out)["hz"] == 700, "the caller hears the agent")


@pytest.mark.parametrize("wrong", ["another authority", "another name", "expired"])
def test_who_shows_a_wrong_certificate_is_not_called(
    start: Any, authority: Authority, make_authority: Callable[[str], Authority], wrong: str
) -> None:
    signer = make_authority("theirs") if wrong == "another authority" else authority
    shown = signer.sign("desk", address="192.0.2.1" if wrong == "another name" else "127.0.0.1")
    if wrong == "expired":
        shown = signer.sign("old", days=-1)
    _, caller, uri = pair(start, shown, {"authorities": authority.path})
    caller.do("invite", uri=uri)
    ended = caller.next("CallEnded")
    assert ended["status"] >= 500, ended
    assert "tls_not_verified" in caller.text


def test_without_verification_anybody_is_called(start: Any, make_authority: Any) -> None:
    shown = make_authority("theirs").sign("desk", address="192.0.2.1")
    _, caller, uri = pair(start, shown, {"verify": False})
    caller.do("invite", uri=uri)
    caller.next("CallConfirmed")


@pytest.mark.parametrize("shows", [True, False])
def test_callers_may_have_to_show_a_certificate(start: Any, authority: Authority, shows: bool) -> None:
    desk = {**authority.sign("desk"), "authorities": authority.path, "clients": True}
    caller_files = authority.sign("phone") if shows else {}
    agent, caller, uri = pair(start, desk, {**caller_files, "authorities": authority.path})
    caller.do("invite", uri=uri)
    if shows:
        agent.next("IncomingCall")
        caller.next("CallConfirmed")
    else:
        assert caller.next("CallEnded")["status"] >= 500


@pytest.mark.parametrize("srtp", ["optional", "required"])
def test_keys_for_all_to_read_are_refused(start: Any, authority: Authority, srtp: str) -> None:
    """An offer of SRTP over UDP: whoever reads the SDP would hear the call."""
    agent = start(srtp=srtp, transports=["udp", "tls"], tls=authority.sign("desk"))
    caller = start(answer=None, srtp="required", srtp_keys="plain")
    port = agent.next("Started")["port"]
    caller.next("Started")
    caller.do("invite", uri=f"sip:427@127.0.0.1:{port}")
    assert caller.next("CallEnded")["status"] == 488
    assert agent.next("CallRefused")["why"] == "insecure"


def test_who_connects_and_says_nothing_harms_nobody(start: Any, authority: Authority) -> None:
    import socket

    agent, caller, uri = pair(start, authority.sign("desk"), {"authorities": authority.path})
    port = int(uri.rpartition(":")[2].partition(";")[0])
    with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)) as junk:
        junk.sendall(b"\x16\x03\x01" + bytes(range(256)))
        caller.do("invite", uri=uri)
        agent.next("IncomingCall")
        caller.next("CallConfirmed")


def test_keys_go_to_nobody_in_clear(start: Any, authority: Authority) -> None:
    files = {"port": 0, "authorities": authority.path}
    caller = start(answer=None, srtp="optional", transports=["udp", "tls"], tls=files)
    caller.next("Started")
    with pytest.raises(AssertionError, match="for all to read"):
        caller.do("invite", uri="sip:427@127.0.0.1:9")


def test_the_wheel_says_that_its_tls_can_not_be_used(start_endpoint: Any, build: str) -> None:
    if build != "installed" or OWN:
        pytest.skip("this build has TLS")
    endpoint = start_endpoint(transports=["udp", "tls"], tls={"port": 0})
    assert "build pjsua2 with docker/build-pjsua2" in endpoint.next("StartFailed")["error"]


# --- the files


def test_files_that_can_not_be_used_are_one_line_each(authority: Authority, tmp_path: Path) -> None:
    ours, other = authority.sign("desk"), authority.sign("other")
    (tmp_path / "junk.pem").write_text("junk")
    cases = [
        ({"certificate": str(tmp_path / "none.pem")}, "none.pem: can't be read: No such file"),
        ({"certificate": str(tmp_path / "junk.pem")}, "junk.pem: is no certificate for the key in"),
        ({"certificate": ours["certificate"], "key": other["key"]}, "desk.pem: is no certificate for the key in"),
        ({"certificate": ours["certificate"]}, "desk.pem: is no certificate for the key in"),
        ({"authorities": str(tmp_path / "junk.pem")}, "junk.pem: no certificates can be read"),
    ]
    for given, words in cases:
        with pytest.raises(SipStartError) as found:
            check_files(TlsSettings(**given))
        assert words in str(found.value) and "\n" not in str(found.value)
    check_files(TlsSettings(certificate=ours["certificate"], key=ours["key"], authorities=authority.path))
    check_files(TlsSettings())


def test_when_it_expires(authority: Authority) -> None:
    assert days_left(TlsSettings()) is None
    soon = authority.sign("soon", days=10)["certificate"]
    assert days_left(TlsSettings(certificate=soon)) == pytest.approx(10, abs=0.1)
    gone = authority.sign("gone", days=-2)["certificate"]
    assert days_left(TlsSettings(certificate=gone)) == pytest.approx(-2, abs=0.1)


@pytest.mark.parametrize(
    ("via", "line", "clear"),
    [
        ("SIP/2.0/UDP a", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x", True),
        ("SIP/2.0/TCP a", "a=crypto:1 x", True),
        ("SIP / 2.0 / TLS a", "a=crypto:1 x", False),
        ("SIP/2.0/UDP a", "a=sendrecv", False),
    ],
)
def test_keys_in_clear(via: str, line: str, clear: bool) -> None:
    head = f"INVITE sip:a@b SIP/2.0\r\nv: {via};branch=z9\r\nVia: SIP/2.0/UDP b\r\n\r\n"
    assert keys_in_clear(f"{head}v=0\r\nm=audio 1 RTP/SAVP 0\r\n{line}\r\n") is clear
