"""Several accounts, each at a carrier of its own: what one of them meets with is no other's matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.telephony.carrier import Carrier, header
from tests.telephony.kamailio import Kamailio

pytestmark = pytest.mark.timeout(40)

PASSWORDS = ("sesame", "pepper")


@pytest.fixture
def carriers() -> Iterator[tuple[Carrier, Carrier]]:
    """Two at loopback addresses of their own, with one username, and passwords and realms of their own."""
    made = Carrier(host="127.0.1.1", realm="A"), Carrier(host="127.0.1.2", realm="B", password="pepper")
    yield made
    for one in made:
        one.close()


@pytest.fixture
def start(start_endpoint: Any, carriers: tuple[Carrier, Carrier]) -> Callable[..., Any]:
    """An endpoint with an account at each, berlin and munich."""

    def begin(*, munich: dict[str, Any] | None = None, **settings: Any) -> Any:
        one, two = carriers
        own = {"registrar": one.address, "username": "line7", "password": "sesame", "number": "+4930123"}
        other = {"registrar": two.address, "username": "line7", "password": "pepper", **(munich or {})}
        accounts = [{"name": "berlin", **own}, {"name": "munich", **other}]
        endpoint = start_endpoint(accounts=accounts, **settings)
        endpoint.next("Started")
        return endpoint

    return begin


def both(endpoint: Any) -> None:
    for name in ("berlin", "munich"):
        if not any(e.get("account") == name and e.get("registered") for e in endpoint.seen):
            endpoint.next("RegistrationChanged", account=name, registered=True)


def silent_about_passwords(endpoint: Any) -> None:
    assert not [word for word in PASSWORDS if word in endpoint.text]


def test_each_registers_with_its_own_password_and_takes_it_back(start: Any, carriers: Any) -> None:
    endpoint = start()
    both(endpoint)
    endpoint.do("unregister")
    for one in carriers:
        assert "Expires: 0" in one.requests("REGISTER")[-1]
        assert one.realm in header(one.requests("REGISTER")[-1], "Authorization")
    silent_about_passwords(endpoint)


def test_a_call_by_each_way(start: Any, carriers: Any) -> None:
    """Calls come in by each account, and go out by each with its own digest and number."""
    endpoint = start()
    both(endpoint)
    for one, name, dialled in zip(carriers, ("berlin", "munich"), ("+4930123", "427"), strict=True):
        one.calls("", call=f"in-{name}", to="427" if name == "munich" else "line7")
        call = endpoint.next("IncomingCall")
        assert (call["facts"]["account"], call["dialled"]) == (name, dialled)
        endpoint.next("CallConfirmed", call_id=call["call_id"])
        endpoint.do("hang_up", call_id=call["call_id"])
        endpoint.next("CallEnded", call_id=call["call_id"])
    for one, name, number in zip(carriers, ("berlin", "munich"), ("+4930123", "line7"), strict=True):
        call_id = endpoint.do("invite", uri=f"sip:200@{one.address}")
        endpoint.next("CallConfirmed", call_id=call_id)
        assert endpoint.do("account_of", call_id=call_id) == name
        assert f"<sip:{number}@{one.host}>" in header(one.requests("INVITE")[-1], "From")
        endpoint.do("hang_up", call_id=call_id)
        endpoint.next("CallEnded", call_id=call_id)
    silent_about_passwords(endpoint)


def test_what_no_account_has_is_called_by_none(start: Any, carriers: Any) -> None:
    """A stranger who asks for a password gets none; nor does a carrier that asks in another realm than its own."""
    endpoint = start()
    both(endpoint)
    stranger = Carrier(host="127.0.1.3", realm="A")
    try:
        for more in ({}, {"account": "berlin"}):
            stranger.call_realm = "B"
            call_id = endpoint.do("invite", uri=f"sip:200@{stranger.address}", **more)
            assert endpoint.next("CallEnded", call_id=call_id)["status"] == 407
        stranger.call_realm = "C"
        call_id = endpoint.do("invite", uri=f"sip:200@{stranger.address}", made_for="munich")
        endpoint.next("CallEnded", call_id=call_id)
        assert "<sip:line7@127.0.1.2>" in header(stranger.requests("INVITE")[-1], "From"), "a transfer of munich's call"
        assert not [one for one in stranger.seen if "Authorization:" in one]
        assert "sip:line7@127.0.1.1" not in header(stranger.requests("INVITE")[0], "From")
    finally:
        stranger.close()
    carriers[0].call_realm = "B"
    call_id = endpoint.do("invite", uri=f"sip:200@{carriers[0].address}")
    assert endpoint.next("CallEnded", call_id=call_id)["status"] == 407
    assert not [one for one in carriers[0].requests("INVITE") if "Authorization:" in one]
    endpoint.until(lambda: "password_not_given" in endpoint.text, "it says which realm asked")


@pytest.mark.parametrize("says", ["silent", "403 Forbidden", "503 Service Unavailable\r\nRetry-After: 40"])
def test_what_one_registrar_does_is_its_accounts_alone(start: Any, carriers: Any, says: str) -> None:
    """It is tried again, nothing goes out by it, and the other's calls go on."""
    one, two = carriers
    two.says = says
    endpoint = start(register_retry_s=[0.2, 0.4])
    if says != "silent":
        lost = endpoint.next("RegistrationChanged", account="munich")
        assert (lost["registered"], lost["status"]) == (False, int(says[:3]))
        assert lost["retry_s"] >= 40 if "Retry-After" in says else lost["retry_s"] < 1
    if not any(e.get("account") == "berlin" for e in endpoint.seen):
        endpoint.next("RegistrationChanged", account="berlin", registered=True)
    with pytest.raises(AssertionError, match="NotRegistered: account munich is not registered"):
        endpoint.do("invite", uri=f"sip:200@{two.address}")
    call_id = endpoint.do("invite", uri=f"sip:200@{one.address}")
    endpoint.next("CallConfirmed", call_id=call_id)
    one.calls("", call="in-berlin", to="line7")
    endpoint.next("CallConfirmed", call_id=endpoint.next("IncomingCall")["call_id"])
    two.says = ""
    if "Retry-After" not in says:
        endpoint.next("RegistrationChanged", account="munich", registered=True)
        call_id = endpoint.do("invite", uri=f"sip:200@{two.address}")
        endpoint.next("CallConfirmed", call_id=call_id)


def test_an_interval_that_is_too_brief_is_made_longer(start: Any, carriers: Any) -> None:
    carriers[1].shortest = 600
    endpoint = start()
    both(endpoint)
    assert [e["expires_s"] for e in endpoint.seen if e.get("account") == "munich"] == [600]


def test_a_wrong_password_is_told_and_tried_again(start: Any, carriers: Any) -> None:
    endpoint = start(munich={"password": "wrong"}, register_retry_s=[0.2, 0.4])
    lost = endpoint.next("RegistrationChanged", account="munich", registered=False)
    assert lost["status"] == 401 and lost["retry_s"] < 1
    endpoint.next("RegistrationChanged", account="munich", registered=False)
    assert "wrong" not in endpoint.text


def test_a_registrar_that_falls_silent_holds_up_no_stop(start: Any, carriers: Any) -> None:
    endpoint = start()
    both(endpoint)
    carriers[1].says = "silent"
    endpoint.do("unregister")
    assert "Expires: 0" in carriers[0].requests("REGISTER")[-1]
    assert "Expires: 0" in carriers[1].requests("REGISTER")[-1]


def test_a_trunk_that_is_not_registered_with(start: Any, carriers: Any) -> None:
    endpoint = start(munich={"registers": False, "realms": ["B"]})
    endpoint.next("RegistrationChanged", account="berlin", registered=True)
    call_id = endpoint.do("invite", uri=f"sip:200@{carriers[1].address}")
    endpoint.next("CallConfirmed", call_id=call_id)
    carriers[1].peer = (carriers[0].peer[0], carriers[0].peer[1])
    carriers[1].calls("+4989777", call="trunk")
    call = endpoint.next("IncomingCall")
    assert (call["facts"]["account"], call["dialled"]) == ("munich", "+4989777")
    assert not carriers[1].requests("REGISTER")


def test_two_kamailios_one_of_which_goes(start_endpoint: Any, tmp_path: Path) -> None:
    """Registration, a call in and a call out by each, with Kamailio's own digest; then one of them is no more there."""
    callee = Carrier(asks_calls=False)
    ways = [("berlin", "127.0.1.11", "sesame"), ("munich", "127.0.1.12", "pepper")]
    proxies = []
    try:
        for name, host, password in ways:
            own = {"username": "line7", "password": password, "realm": f"{name}.example", "onward": callee.address}
            proxies.append(Kamailio(tmp_path / name, host, **own))
        accounts = [
            {"name": name, "registrar": proxy.address, "username": "line7", "password": password}
            for proxy, (name, _, password) in zip(proxies, ways, strict=True)
        ]
        endpoint = start_endpoint(accounts=accounts)
        endpoint.next("Started")
        both(endpoint)
        for proxy, (name, host, _) in zip(proxies, ways, strict=True):
            callee.peer = (proxy.host, proxy.port)
            callee.calls("line7", call=f"in-{name}")
            assert endpoint.next("IncomingCall")["facts"]["account"] == name
            endpoint.next("CallConfirmed")
            goes_out(endpoint, proxy.address, name)
            assert f"<sip:line7@{host}>" in header(callee.requests("INVITE")[-1], "From")
        proxies[1].stop()
        goes_out(endpoint, proxies[0].address, "berlin")
        endpoint.do("unregister")
        silent_about_passwords(endpoint)
    finally:
        for proxy in proxies:
            if proxy.process.poll() is None:
                proxy.stop()
        callee.close()


def goes_out(endpoint: Any, host: str, name: str) -> None:
    call_id = endpoint.do("invite", uri=f"sip:200@{host}")
    endpoint.next("CallConfirmed", call_id=call_id)
    assert endpoint.do("account_of", call_id=call_id) == name
    endpoint.do("hang_up", call_id=call_id)
    endpoint.next("CallEnded", call_id=call_id)
