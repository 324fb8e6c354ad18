from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from telephony.settings import SipSettings


def test_defaults_are_local_and_open() -> None:
    settings = SipSettings()
    assert (settings.host, settings.port, settings.transports) == ("127.0.0.1", 5060, ("udp", "tcp"))
    assert settings.registrar is None and settings.allow == () and settings.srtp == "off"


@pytest.mark.parametrize(
    "name, value",
    [
        ("port", 65536),
        ("port", -1),
        ("transports", ()),
        ("transports", ("ws",)),
        ("srtp", "maybe"),
        ("codecs", ()),
        ("codecs", ("PCMU", "PCMU")),
        ("codecs", ("opus",)),
        ("rtp_ports", (20000, 10000)),
        ("rtp_ports", (80, 200)),
        ("max_calls", 0),
        ("log_level", 5),
        ("register_expires_s", 1),
        ("register_retry_s", (0.0, 1.0)),
        ("host", "my.host"),
        ("host", "fe80::1%eth0"),
        ("second_host", "127.0.0.2"),
        ("public_address", "2001:db8::5"),
        ("second_public_address", "2001:db8::5"),
        ("public_address", "pbx.example.com"),
    ],
)
def test_what_cannot_work_is_named(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name}="):
        SipSettings(**{name: value})


def test_a_registrar_needs_a_name() -> None:
    with pytest.raises(ValueError, match="^username="):
        SipSettings(registrar="pbx.example.com")


def test_the_password_is_not_in_the_repr() -> None:
    assert "sesame" not in repr(SipSettings(registrar="pbx", username="line7", password="sesame"))


def test_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SipSettings().port = 1  # type: ignore[misc]
