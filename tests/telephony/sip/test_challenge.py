from __future__ import annotations

import pytest

from telephony.sip.challenge import realms_of, retry_after_of


@pytest.mark.parametrize(
    "lines, realms",
    [
        ('WWW-Authenticate: Digest realm="a.example", nonce="n"', ("a.example",)),
        ('Proxy-Authenticate: digest nonce="n,realm=x", qop="auth",\r\n realm = "a b"', ("a b",)),
        ('WWW-Authenticate: Digest realm="a", algorithm=SHA-256\r\nWWW-Authenticate: Digest realm="a"', ("a",)),
        ('WWW-Authenticate: Digest realm="a"\r\nProxy-Authenticate: Digest realm="b"', ("a", "b")),
        (r'WWW-Authenticate: Digest realm="say \"a\"", nonce="n"', ('say "a"',)),
        ('WWW-Authenticate: Basic realm="a"', ()),
        ('WWW-Authenticate: Digest nonce="realm="', ()),
        ("Server: x", ()),
    ],
)
def test_realms(lines: str, realms: tuple[str, ...]) -> None:
    assert realms_of(f"SIP/2.0 401 Unauthorized\r\n{lines}\r\n\r\n") == realms


@pytest.mark.parametrize(
    "value, seconds",
    [("120", 120), (" 18000;duration=3600", 18000), ("5 (in a meeting)", 5), ("soon", None), ("", None)],
)
def test_retry_after(value: str, seconds: int | None) -> None:
    line = f"Retry-After: {value}\r\n" if value else ""
    assert retry_after_of(f"SIP/2.0 503 Service Unavailable\r\n{line}\r\n") == seconds
