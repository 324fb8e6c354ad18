import pytest

from worker.realtime.provider import Provider

KEY = "sk-test-0123456789abcdef"


def provider(url="wss://api.openai.com/v1", key=KEY, **headers):
    return Provider(name="openai", url=url, model="gpt-realtime-2.1", key=key, headers=headers)


def test_repr_shows_no_secret():
    shown = repr(provider(**{"api-key": "azure-secret-1"}))
    assert KEY not in shown and "azure-secret-1" not in shown
    assert "gpt-realtime-2.1" in shown


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("wss://api.openai.com/v1", "wss://api.openai.com/v1"),
        ("wss://me:pass@gw.example.com:8443/v1?api_key=s3cret", "wss://gw.example.com:8443/v1"),
        ("ws://127.0.0.1:9000", "ws://127.0.0.1:9000"),
    ],
)
def test_address_has_no_user_and_no_query(url, address):
    assert provider(url).address == address


@pytest.mark.parametrize(
    ("url", "secure", "loopback"),
    [
        ("wss://api.openai.com/v1", True, False),
        ("ws://127.0.0.1:9000/v1", False, True),
        ("ws://localhost:9000/v1", False, True),
        ("ws://[::1]:9000/v1", False, True),
        ("ws://10.0.0.7/v1", False, False),
    ],
)
def test_where_it_runs(url, secure, loopback):
    assert (provider(url).is_secure, provider(url).is_loopback) == (secure, loopback)


@pytest.mark.parametrize(
    ("words", "scrubbed"),
    [
        (f"Incorrect API key: {KEY}.", "Incorrect API key: ***."),
        ("header azure-secret-1 refused", "header *** refused"),
        ("sent Authorization: Bearer abc.def", "sent Authorization: Bearer ***"),
        ("another key sk-proj-1234_567 seen", "another key *** seen"),
        ("token eyJhbGciOi.eyJzdWIi.sig expired", "token *** expired"),
        ("plain words", "plain words"),
    ],
)
def test_scrub(words, scrubbed):
    assert provider(**{"api-key": "azure-secret-1"}).scrub(words) == scrubbed


def test_scrub_leaves_words_alone_when_the_key_is_a_placeholder():
    assert provider(key="none").scrub("none of these") == "none of these"


def test_scrub_works_when_the_key_is_fetched():
    async def token():
        return "fetched"

    assert provider(key=token).scrub("Bearer fetched") == "Bearer ***"
