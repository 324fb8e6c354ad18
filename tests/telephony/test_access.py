from __future__ import annotations

import ipaddress

import pytest

from telephony.access import Access, address_of, resolve


@pytest.mark.parametrize(
    "source, address",
    [
        ("10.1.2.3:5060", "10.1.2.3"),
        ("10.1.2.3", "10.1.2.3"),
        ("[fd00::2]:5060", "fd00::2"),
        ("fd00::2", "fd00::2"),
        ("pbx.example.com:5060", None),
        ("", None),
        (":", None),
        ("[", None),
    ],
)
def test_address_of(source: str, address: str | None) -> None:
    assert address_of(source) == (ipaddress.ip_address(address) if address else None)


def test_open_to_everybody_unless_restricted() -> None:
    assert Access(restricted=False).allows("203.0.113.9:1")
    assert not Access(restricted=True).allows("203.0.113.9:1")


def test_networks_and_what_is_learnt() -> None:
    access = Access(resolve("10.0.0.0/8") + resolve("192.0.2.7"), restricted=True)
    assert access.allows("10.255.0.1:5060") and access.allows("192.0.2.7:5061")
    assert not access.allows("192.0.2.8:5060") and not access.allows("nonsense")
    access.add("192.0.2.8:5060")
    access.add("nonsense")
    assert access.allows("192.0.2.8:9999")


def test_names_resolve() -> None:
    assert ipaddress.ip_network("127.0.0.1") in resolve("localhost")
    with pytest.raises(ValueError, match=r"no-such-host\.invalid"):
        resolve("no-such-host.invalid")


def test_a_host_part_may_have_bits_set() -> None:
    assert resolve("10.1.2.3/8") == [ipaddress.ip_network("10.0.0.0/8")]


@pytest.mark.parametrize(
    "networks, restricted, trusted",
    [
        (["192.0.2.0/24"], True, True),
        (["192.0.2.7/32"], True, True),
        (["198.51.100.0/24"], True, False),
        (["0.0.0.0/0"], True, False),
        (["192.0.2.0/24"], False, False),
    ],
)
def test_whose_word_for_a_caller_counts(networks: list[str], restricted: bool, trusted: bool) -> None:
    """Who is on the list, and no list that holds everybody."""
    access = Access([ipaddress.ip_network(network) for network in networks], restricted=restricted)
    assert access.trusts("192.0.2.7:5060") == trusted
    assert not access.trusts("nobody")
