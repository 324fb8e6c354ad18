from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools import ToolDefinitionError
from tools.worker.notify import SIGNATURE, TIMESTAMP, Channels, Message, NotDelivered, NotifySettings, sign, verify

MESSAGE = Message(
    delivery_id="notice-1",
    call_id="c",
    tool_call_id="t",
    tool="report",
    summary="report",
    status="ok",
    result={},
    caller="+1",
    dialled="+2",
    hung_up_at=1.0,
    ended_at=2.0,
)


def test_a_signature_is_the_hmac_of_timestamp_dot_body() -> None:
    # printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac whsec
    expected = "v1=8ad37ba156048ae0e0a5533c75cdf26fee88b07f93cb57ee4c80adb053012032"
    assert sign("whsec", "1700000000", b'{"a":1}') == expected


@given(st.binary(max_size=50), st.binary(max_size=50), st.integers(-1000, 1000))
def test_only_what_was_signed_and_is_new_is_verified(body: bytes, other: bytes, late: int) -> None:
    headers = {TIMESTAMP: "1700000000", SIGNATURE: sign("secret", "1700000000", body)}
    lower = {name.lower(): value for name, value in headers.items()}
    now = 1_700_000_000.0 + late
    assert verify("secret", lower, body, now) == (abs(late) <= 300)
    assert verify("secret", headers, other, 1_700_000_000.0) == (other == body)
    assert not verify("another", headers, body, 1_700_000_000.0)


@pytest.mark.parametrize("headers", [{}, {TIMESTAMP: "soon", SIGNATURE: "é"}, {SIGNATURE: sign("s", "", b"")}])
def test_what_is_no_webhook_of_ours_is_not_verified(headers: dict[str, str]) -> None:
    assert not verify("s", headers, b"", 0.0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (NotifySettings(url="http://127.0.0.1/"), "needs a secret"),
        (NotifySettings(hooks={"sms": "nowhere:send"}), "can't be imported"),
        (NotifySettings(hooks={"sms": "tools.worker.notify:TOLERANCE_S"}), "is no function"),
        (NotifySettings(hooks={"sms": "tools.worker.notify"}), "can't be imported"),
    ],
)
def test_settings_that_can_not_work_are_found_at_the_start(settings: NotifySettings, words: str) -> None:
    with pytest.raises(ToolDefinitionError, match=words):
        Channels(settings)


@pytest.mark.parametrize("channel", ["default", "sms", "os.system", "file:///etc/passwd"])
def test_only_what_the_settings_name_is_a_channel(channel: str) -> None:
    with pytest.raises(NotDelivered, match="there is no channel"):
        Channels(NotifySettings(secret="s")).send(MESSAGE, channel)


def test_nothing_is_sent_unsigned_and_no_address_is_told() -> None:
    with pytest.raises(NotDelivered, match="secret"):
        Channels().send(MESSAGE, "http://127.0.0.1:1/token")
    with pytest.raises(NotDelivered) as caught:
        Channels(NotifySettings(secret="s")).send(MESSAGE, "http://127.0.0.1:1/token")
    assert "token" not in str(caught.value)
    assert "token" not in repr(NotifySettings(url="http://x/token", secret="token"))
