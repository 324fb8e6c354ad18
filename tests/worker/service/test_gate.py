"""Who may see calls."""

import socket

import pytest

from worker.service.gate import COOKIE, Answer, Gate, local_path, proof

TOKEN = "0123456789abcdef"
LOCAL = {"Host": "127.0.0.1:8080"}


def test_on_loopback_calls_are_open_and_elsewhere_they_want_a_token() -> None:
    assert Gate("127.0.0.1").asked(LOCAL, {}) is Answer.OPEN
    assert Gate("::1").asked({"Host": "[::1]:8080"}, {}) is Answer.OPEN
    for host in ("0.0.0.0", "192.0.2.1", "::", "ops.example"):
        assert Gate(host).asked(LOCAL, {}) is Answer.NO_TOKEN_SET
        assert Gate(host, TOKEN).asked(LOCAL, {}) is Answer.TOKEN_WANTED


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_token_that_is_set_is_wanted_everywhere(host: str) -> None:
    gate = Gate(host, TOKEN)
    assert gate.asked({**LOCAL, "Authorization": f"Bearer {TOKEN}"}, {}) is Answer.OPEN
    assert gate.asked({**LOCAL, "Authorization": f"bearer  {TOKEN} "}, {}) is Answer.OPEN
    assert gate.asked(LOCAL, {COOKIE: proof(TOKEN)}) is Answer.OPEN
    for wrong in (f"Bearer {TOKEN}x", TOKEN, f"Basic {TOKEN}", "Bearer", "Bearer ä"):
        assert gate.asked({**LOCAL, "Authorization": wrong}, {}) is Answer.TOKEN_WANTED
    for cookie in (TOKEN, "", "ä", proof(TOKEN + "x")):
        assert gate.asked(LOCAL, {COOKIE: cookie}) is Answer.TOKEN_WANTED
    assert TOKEN not in proof(TOKEN)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "", "[", "localhost.evil"]
)
def test_a_name_that_was_made_to_point_here_sees_nothing(host: str) -> None:
    assert Gate("127.0.0.1").asked({"Host": host}, {}) is Answer.WRONG_HOST
    assert Gate("127.0.0.1", TOKEN).asked({"Host": host, "Authorization": f"Bearer {TOKEN}"}, {}) is Answer.WRONG_HOST


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8080",
        "localhost.",
        "10.1.2.3:80",
        "[2001:db8::1]:80",
        "ops.example",
        socket.gethostname(),
    ],
)
def test_names_that_are_ours(host: str) -> None:
    assert Gate("127.0.0.1", hosts=("Ops.Example",)).knows(host)


@pytest.mark.parametrize(
    ("path", "to"),
    [
        ("/calls", "/calls"),
        ("/calls/c1?edges=2", "/calls/c1?edges=2"),
        ("//evil.example/calls", "/calls"),
        ("https://evil.example", "/calls"),
        ("/calls/\\evil", "/calls"),
        ("/calls/a\r\nSet-Cookie: x", "/calls"),
        ("/callsign", "/calls"),
    ],
)
def test_where_the_form_leads(path: str, to: str) -> None:
    assert local_path(path) == to


def test_the_operators_token_opens_calls_and_closes_none() -> None:
    far = Gate("0.0.0.0", operators=TOKEN)
    assert far.asked(LOCAL, {}) is Answer.TOKEN_WANTED
    assert far.asked({**LOCAL, "Authorization": f"Bearer {TOKEN}"}, {}) is Answer.OPEN
    assert far.asked(LOCAL, {COOKIE: proof(TOKEN)}) is Answer.OPEN
    assert Gate("127.0.0.1", operators=TOKEN).asked(LOCAL, {}) is Answer.OPEN
    both = Gate("0.0.0.0", "another-long-token", operators=TOKEN)
    for token in (TOKEN, "another-long-token"):
        assert both.asked({**LOCAL, "Authorization": f"Bearer {token}"}, {}) is Answer.OPEN
