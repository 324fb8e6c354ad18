"""By which account a call came, and by which one goes."""

from __future__ import annotations

from typing import Any

import pytest

from telephony.accounts import AccountSettings, came_by, fault_of_accounts, goes_by
from telephony.errors import SipRequestError


def made(name: str, registrar: str, username: str, **more: Any) -> AccountSettings:
    return AccountSettings(name=name, registrar=registrar, username=username, **more)


BERLIN = made("berlin", "sip.a.example", "line7", number="+4930123")
MUNICH = made("munich", "sip:sip.b.example:5080;transport=tcp", "line7", number="+4989123")
SECOND = made("second", "sip.a.example", "line9", number="+4930999")
ALL = (BERLIN, MUNICH, SECOND)


def invite(uri: str, to: str) -> str:
    return f"INVITE {uri} SIP/2.0\r\nTo: <{to}>\r\n\r\n"


@pytest.mark.parametrize(
    "uri, to, theirs, found",
    [
        ("sip:line7@192.0.2.1", "sip:x@y", {"berlin", "second"}, "berlin"),
        ("sip:line9@192.0.2.1", "sip:x@y", {"berlin", "second"}, "second"),
        ("sip:line7@192.0.2.1", "sip:x@y", {"munich"}, "munich"),
        ("sip:+49-89-123@192.0.2.1", "sip:x@y", {"munich"}, "munich"),
        ("sip:+49111@192.0.2.1", "sip:+49111@sip.b.example", {"munich"}, "munich"),  # a trunk's other number
        ("sip:+49111@192.0.2.1", "sip:+49111@sip.a.example", {"berlin", "second"}, None),
        ("sip:gw@192.0.2.1", "sip:+4930999@sip.a.example", {"berlin", "second"}, "second"),
        ("sip:line7@192.0.2.1", "sip:x@sip.b.example", set(), "munich"),
        ("sip:line7@192.0.2.1", "sip:x@y", set(), None),  # nobody's server, and two have that name
        ("sip:line9@192.0.2.1", "sip:x@y", set(), "second"),
        ("sip:+4930123@192.0.2.1", "sip:x@y", set(), "berlin"),
        ("sip:427@192.0.2.1", "sip:427@192.0.2.1", set(), None),
    ],
)
def test_came_by(uri: str, to: str, theirs: set[str], found: str | None) -> None:
    one = came_by(invite(uri, to), [(account, account.name in theirs) for account in ALL])
    assert (one.name if one else None) == found


@pytest.mark.parametrize(
    "uri, more, found",
    [
        ("sip:1@sip.b.example", {}, "munich"),
        ("sip:1@sip.a.example", {}, "berlin"),
        ("sip:1@SIP.A.example.;transport=tcp", {"call": "second"}, "second"),
        ("sip:1@sip.a.example", {"caller_id": "+49 30 999"}, "second"),
        ("sip:1@sip.a.example", {"down": {"berlin"}}, "second"),
        ("sip:1@sip.b.example", {"call": "berlin"}, "munich"),  # whose server it is goes before whose call
        ("sip:1@elsewhere.example", {"call": "berlin"}, "berlin"),
        ("sip:1@elsewhere.example", {"caller_id": "+4989123"}, "munich"),
        ("sip:1@elsewhere.example", {}, None),
        ("sip:1@elsewhere.example", {"wanted": "second"}, "second"),
        ("sip:1@sip.a.example", {"wanted": "munich"}, "munich"),
        ("sip:1@sip.a.example", {"call": "gone"}, "berlin"),
    ],
)
def test_goes_by(uri: str, more: dict[str, Any], found: str | None) -> None:
    down = more.pop("down", set())
    one = goes_by(uri, ALL, up=lambda name: name not in down, **more)
    assert (one.name if one else None) == found


def test_a_name_that_is_none_says_which_there_are() -> None:
    with pytest.raises(SipRequestError, match="no account 'x', but berlin, munich, second"):
        goes_by("sip:1@h", ALL, wanted="x")
    with pytest.raises(SipRequestError, match="no account 'x': none is set up"):
        goes_by("sip:1@h", (), wanted="x")


def test_uris() -> None:
    assert MUNICH.uri_of("+491") == "sip:+491@sip.b.example:5080;transport=tcp"
    assert made("a", "h", "u", transport="tls").uri_of("1") == "sip:1@h;transport=tls"
    proxied = made("a", "reg.h:5070", "u", domain="h", outbound_proxy="edge.h", transport="tcp")
    assert (proxied.aor, proxied.uri_of("1")) == ("u@h", "sip:1@h;transport=tcp")
    assert (proxied.registrar_uri, proxied.proxy_uri) == ("sip:reg.h:5070;transport=tcp", "sip:edge.h;transport=tcp")
    assert proxied.servers == ("reg.h", "edge.h", "h")
    assert proxied.reached("sip:2@h") == "sip:2@h;transport=tcp"
    assert proxied.reached("sip:2@other") == "sip:2@other"
    assert proxied.reached("sip:2@h;transport=udp") == "sip:2@h;transport=udp"


def test_what_can_not_work() -> None:
    with pytest.raises(ValueError, match="realms: needs a realm"):
        made("a", "h", "u", registers=False, password="p")
    assert fault_of_accounts([made(f"n{n}", f"h{n}", "u") for n in range(7)]) is None
    assert "at most 7" in (fault_of_accounts([made(f"n{n}", f"h{n}", "u") for n in range(8)]) or "")
    assert "same address" in (fault_of_accounts([BERLIN, made("b", "sip.a.example:5070", "line7")]) or "")
    assert "sesame" not in repr(made("a", "h", "u", password="sesame"))
