from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telephony.sip import uri as uris
from telephony.sip.uri import LONGEST, parse, parse_address, split_addresses


@pytest.mark.parametrize(
    "text, scheme, user, host, port",
    [
        # RFC 3261 section 19.1.3
        ("sip:alice@atlanta.com", "sip", "alice", "atlanta.com", None),
        ("sip:alice:secretword@atlanta.com;transport=tcp", "sip", "alice", "atlanta.com", None),
        ("sips:alice@atlanta.com?subject=project%20x&priority=urgent", "sips", "alice", "atlanta.com", None),
        ("sip:+1-212-555-1212:1234@gateway.com;user=phone", "sip", "+12125551212", "gateway.com", None),
        ("sips:1212@gateway.com", "sips", "1212", "gateway.com", None),
        ("sip:alice@192.0.2.4", "sip", "alice", "192.0.2.4", None),
        ("sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com", "sip", "", "atlanta.com", None),
        ("sip:alice;day=tuesday@atlanta.com", "sip", "alice;day=tuesday", "atlanta.com", None),
        # section 19.1.4
        ("sip:%61lice@atlanta.com;transport=TCP", "sip", "alice", "atlanta.com", None),
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip", "ALICE", "AtLanTa.CoM", None),
        ("sip:carol@chicago.com;newparam=5", "sip", "carol", "chicago.com", None),
        ("sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com", "sip", "", "biloxi.com", None),
        ("sip:bob@biloxi.com:6000;transport=tcp", "sip", "bob", "biloxi.com", 6000),
        # section 19.1.6
        ("sip:+358-555-1234567;postd=pp22@foo.com;user=phone", "sip", "+3585551234567", "foo.com", None),
        # RFC 3966 sections 5.1.5 and 6
        ("tel:+1-201-555-0123", "tel", "+12015550123", "", None),
        ("tel:7042;phone-context=example.com", "tel", "7042", "", None),
        ("tel:863-1234;phone-context=+1-914-555", "tel", "8631234", "", None),
        ("tel:+358-555-1234567;postd=pp22", "tel", "+3585551234567", "", None),
        ("TEL:+1.(212).555.0100", "tel", "+12125550100", "", None),
        # RFC 4694 section 6
        ("tel:+1-202-533-1234;npdi;rn=+1-202-544-0000", "tel", "+12025331234", "", None),
        ("sip:+15550100;npdi;rn=+15550199@127.0.0.1", "sip", "+15550100", "127.0.0.1", None),
        ("sip:%2B15550100@pbx", "sip", "+15550100", "pbx", None),
        ("sip:*72@pbx", "sip", "*72", "pbx", None),
        ("sip:%2372@pbx", "sip", "#72", "pbx", None),
        ("sips:user:password@[fd00::2]:5061", "sips", "user", "[fd00::2]", 5061),
        ("sip:a.b@example.com:5080;transport=tcp", "sip", "a.b", "example.com", 5080),
        ("sip:j%C3%B6rg@example.com", "sip", "jörg", "example.com", None),
    ],
)
def test_examples_of_the_rfcs(text: str, scheme: str, user: str, host: str, port: int | None) -> None:
    found = parse(text)
    assert found is not None
    assert (found.scheme, found.user, found.host, found.port) == (scheme, user, host, port)


def test_parameters_of_a_number_and_of_a_uri() -> None:
    found = parse("sip:+15550100;npdi;rn=+15550199@h;user=phone;Transport=TCP")
    assert found is not None
    assert found.user_parameters == {"npdi": "", "rn": "+15550199"}
    assert found.parameters == {"user": "phone", "transport": "TCP"}
    told = parse("tel:+1-800-123-4567;cic=+1-6789")
    assert told is not None and told.user_parameters == {"cic": "+1-6789"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mailto:a@b",
        "sip:",
        "sip:a@",
        "sip:a@b@c",
        "sip:a b@c",
        "sip:a@b:99999999",
        "sip:a@b:65536",
        "tel:",
        "tel:+",
        "tel:abc@x",
        "sip:%zz@h",
        'sip:"a"@h',
        "sip:a@-b",
        "<sip:a@b>",
    ],
)
def test_what_is_no_uri(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    "value, name, user, tag",
    [
        # RFC 3261 section 20.10, 20.20
        ('"Mr. Watson" <sip:watson@worcester.bell-telephone.com>;q=0.7; expires=3600', "Mr. Watson", "watson", None),
        ('"A. G. Bell" <sip:agb@bell-telephone.com> ;tag=a48s', "A. G. Bell", "agb", "a48s"),
        ("sip:+12125551212@server.phone2net.com;tag=887s", "", "+12125551212", "887s"),
        ("Anonymous <sip:c8oqz84zk7z@privacy.org>;tag=hyh8", "Anonymous", "c8oqz84zk7z", "hyh8"),
        ("The Operator <sip:operator@cs.columbia.edu>;tag=287447", "The Operator", "operator", "287447"),
        # a name that looks like an address
        ('"sip:1001@pbx.example" <sip:+4930124@h>;tag=a', "sip:1001@pbx.example", "+4930124", "a"),
        ('"a <sip:1001@pbx>, \\" b" <sip:2@h>;tag=b', 'a <sip:1001@pbx>, " b', "2", "b"),
        ("sip:1001@pbx <sip:2@h>;tag=c", "sip:1001@pbx", "2", "c"),
        ("<sip:+15550100;npdi@h>;tag=d", "", "+15550100", "d"),
        ("sip:+15550100;npdi@h;tag=e", "", "+15550100", "e"),
        ("<tel:+1-555-0100>", "", "+15550100", None),
    ],
)
def test_addresses(value: str, name: str, user: str, tag: str | None) -> None:
    found = parse_address(value)
    assert found is not None
    assert (found.display_name, found.uri.user, found.parameters.get("tag")) == (name, user, tag)


@pytest.mark.parametrize("value", ["", '"x"', '"x" sip:a@b', "<sip:a@b", '"unended <sip:a@b>', "<>", "*"])
def test_what_is_no_address(value: str) -> None:
    assert parse_address(value) is None


def test_commas_between_addresses() -> None:
    value = '"Cullen, Jennings" <sip:fluffy@cisco.com>, <tel:+1-408-526-4000>,'
    assert split_addresses(value) == ['"Cullen, Jennings" <sip:fluffy@cisco.com>', "<tel:+1-408-526-4000>"]
    assert split_addresses('"a\\", <b" <sip:a,b@c>') == ['"a\\", <b" <sip:a,b@c>']
    assert split_addresses("") == []


def test_a_registrar() -> None:
    assert uris.registrar_uri("pbx:5080") == "sip:pbx:5080"
    assert uris.registrar_uri("SIP:pbx;transport=tcp") == "SIP:pbx;transport=tcp"
    assert uris.host_of("sip:pbx.example.com:5080;transport=tcp") == "pbx.example.com"
    assert uris.host_of("sip:[fd00::2]:5061") == "[fd00::2]" and uris.host_of("nothing here") == ""


NAME = st.text("abcdefghijklmnopqrstuvwxyzABC-_.!~*'()&=+$,?/;äß漢 %@<>\"", min_size=1, max_size=30).filter(
    lambda text: any(char.isalpha() for char in text)
)


@settings(deadline=None)
@given(NAME, st.sampled_from(["h", "a.b", "192.0.2.1", "[::1]"]), st.sampled_from(["", ";lr", ";x=y?a=b"]))
def test_an_escaped_user_comes_back_as_it_was(name: str, host: str, rest: str) -> None:
    found = parse(f"sip:{quote(name, safe='')}@{host}{rest}")
    assert found is not None and (found.user, found.host) == (name, host)


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters='\\"', exclude_categories=["Cs"]), max_size=40), NAME)
def test_a_display_name_says_nothing_of_the_user(name: str, user: str) -> None:
    quoted = '"' + name + '"'
    found = parse_address(f"{quoted} <sip:{quote(user, safe='')}@h>;tag=x")
    assert found is not None and found.uri.user == user


@settings(deadline=None)
@given(st.text())
def test_nothing_raises_and_names_are_bounded(text: str) -> None:
    for candidate in (text, f"sip:{text}@h", f"<sip:{text}>", f"tel:{text}", f'"{text}" <sip:a@b>'):
        found = parse_address(candidate)
        split_addresses(candidate)
        parts = [] if found is None else [found.display_name, found.uri.user, found.uri.host, *found.parameters]
        assert all(len(part) <= LONGEST and part.isprintable() for part in parts)
    found_uri = parse("sip:" + "4" * 10_000 + "@h")
    assert found_uri is not None and len(found_uri.user) == LONGEST
