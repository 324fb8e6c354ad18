"""Which addresses of the two families of IP go together."""

from __future__ import annotations

import pytest

from worker.errors import SettingsError
from worker.settings.load import load_settings


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"SIP_HOST": "127.0.0.1,127.0.0.2"}, "it takes an IP address of this machine"),
        ({"SIP_HOST": "::,::1"}, "one of each with a comma"),
        ({"SIP_HOST": "fe80::1%eth0"}, "it takes an IP address of this machine"),
        ({"SIP_HOST": "0.0.0.0,::", "SIP_PROXY": "sip:192.0.2.1"}, "a worker behind a proxy is of one family"),
        ({"SIP_PUBLIC_ADDRESS": "2001:db8::1"}, "OFFHOOK_SIP_HOST=127.0.0.1 is of no such family"),
        ({"SIP_REGISTRAR": "[2001:db8::5]", "SIP_USERNAME": "a", "SIP_PASSWORD": "b"}, "is reached by IPv6 alone"),
        ({"SIP_KEEPALIVE_SECONDS": "601"}, "it takes seconds, at most 600"),
    ],
)
def test_what_does_not_go_together_is_said(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], words: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(f"OFFHOOK_{name}", value)
    with pytest.raises(SettingsError, match="OFFHOOK_") as raised:
        load_settings()
    assert words in str(raised.value)


def test_both_families_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SIP_HOST": "0.0.0.0, [::]", "SIP_REGISTRAR": "[2001:db8::5]"}.items():
        monkeypatch.setenv(f"OFFHOOK_{name}", value)
    monkeypatch.setenv("OFFHOOK_SIP_USERNAME", "a")
    monkeypatch.setenv("OFFHOOK_SIP_PASSWORD", "b")
    monkeypatch.setenv("OFFHOOK_SIP_PUBLIC_ADDRESS", "2001:db8::1")
    places = load_settings().sip_settings().places
    assert [(place.host, place.version, place.reached_at) for place in places] == [
        ("0.0.0.0", 4, "127.0.0.1"),
        ("::", 6, "[2001:db8::1]"),
    ]
