"""Wording of refusals that need no server to happen; the rest is in test_connection."""

import socket
import ssl

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, InvalidStatus, InvalidURI
from websockets.frames import Close
from websockets.http11 import Response

from worker.realtime.dialect import OPENAI
from worker.realtime.provider import Provider
from worker.realtime.refusal import close_is_fatal, close_of, refused_close, refused_connect

PROVIDER = Provider(name="gateway", url="wss://gw.example.com/v1?k=s3cret", model="m", key="sk-secret-123456")


def certificate_error():
    error = ssl.SSLCertVerificationError("certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


@pytest.mark.parametrize(
    ("cause", "fatal", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), False, "check the URL's host name"),
        (ConnectionRefusedError(111, "refused"), False, "is the server running?"),
        (ConnectionResetError(104, "reset"), False, "broke off while connecting"),
        (certificate_error(), True, "self-signed certificate): set SSL_CERT_FILE"),
        (InvalidURI("http://x", "scheme isn't ws or wss"), True, "check the URL"),
        (RuntimeError("with sk-secret-123456"), False, "RuntimeError: with ***"),
    ],
)
def test_says_what_to_do(cause, fatal, words):
    refused = refused_connect(PROVIDER, cause)
    assert words in str(refused)
    assert (refused.fatal, refused.code) == (fatal, 0)
    assert "gateway" in str(refused) and "wss://gw.example.com/v1" in str(refused)
    assert "s3cret" not in str(refused) and "sk-secret" not in str(refused)


def test_unknown_causes_are_as_fatal_as_the_caller_says():
    assert refused_connect(PROVIDER, RuntimeError("x"), fatal=True).fatal


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "No such model", "code": "model_not_found"}}', "No such model (model_not_found)"),
        (b'{"error": {"message": "No", "type": "invalid_request_error"}}', "No (invalid_request_error)"),
        (b'{"error": "plain"}', '{"error": "plain"}'),
        (b"<html>\n  nope\n</html>", "<html> nope </html>"),
        (b"\xff\xfe" + b"x" * 5000, "x" * 200),
    ],
)
def test_body_of_a_refusal_is_quoted_in_short(body, said):
    refused = refused_connect(PROVIDER, InvalidStatus(Response(418, "no", Headers(), body)))
    assert said in str(refused)
    assert len(str(refused)) < 500


def test_refusal_without_a_body_quotes_nothing():
    assert "It said" not in str(refused_connect(PROVIDER, InvalidStatus(Response(403, "no", Headers()))))


def test_close_takes_the_peer_s_word_first():
    ours, theirs = Close(1011, "keepalive ping timeout"), Close(1001, "60 minutes")
    assert close_of(ConnectionClosedError(theirs, ours, True)) == (1001, "60 minutes")
    assert close_of(ConnectionClosedError(None, ours)) == (1011, "keepalive ping timeout")
    assert close_of(ConnectionClosedError(None, None)) == (1006, "the connection was cut")


@pytest.mark.parametrize(
    ("code", "reason", "fatal"),
    [
        (1000, "", False),
        (1001, "session expired", False),
        (1008, "invalid_request_error.invalid_api_key", True),
        (3000, "", True),
        (3003, "", True),
        (4000, "", True),
        (4001, "busy", False),
    ],
)
def test_closes_sorted_into_fatal_and_not(code, reason, fatal):
    assert close_is_fatal(OPENAI, code, reason) is fatal
    refused = refused_close(PROVIDER, code, reason)
    assert (refused.fatal, refused.code) == (fatal, code)
    assert ("check the key" in str(refused)) is fatal


@pytest.mark.parametrize(
    ("reason", "fatal"),
    [
        ("400: {'error': 'Invalid model name passed in model=desk'}", True),
        ("500: no upstream", False),
        ("429: slow down", False),
        ("it ended after 400: no more", False),
    ],
)
def test_a_close_before_the_session_that_names_an_http_status(reason, fatal):
    """So does LiteLLM's proxy, with 1011. Once a session stood, the same words end no hope."""
    assert refused_close(PROVIDER, 1011, reason).fatal is fatal
    assert not close_is_fatal(OPENAI, 1011, reason)
