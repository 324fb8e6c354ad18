"""Why a provider did not give us a session, in words that say what to do about it. Pure."""

from __future__ import annotations

import socket
import ssl

import orjson
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus, InvalidURI

from worker.realtime.base import RealtimeRefused
from worker.realtime.dialect import Dialect
from worker.realtime.provider import Provider

CUT = 1006  # RFC 6455, 7.1.5: no close frame was received
BODY_CHARS = 300

_ADVICE = {
    401: "refused the key: check that it is right and belongs to this provider",
    403: "refused access: check that the key may use realtime sessions of this model",
    404: "has no such endpoint or model: check the URL and the model's name",
    429: "has too many sessions or no quota left: try later, or raise the limit",
}


def close_of(exc: ConnectionClosed) -> tuple[int, str]:
    """Return the code and reason with which a connection ended, the peer's word first."""
    close = exc.rcvd or exc.sent
    return (close.code, close.reason) if close else (CUT, "the connection was cut")


def close_is_fatal(dialect: Dialect, code: int, reason: str) -> bool:
    """Tell whether a close leaves no hope for the next attempt."""
    return code in dialect.fatal_closes or any(word in reason for word in dialect.fatal_codes)


def refused_close(provider: Provider, code: int, reason: str) -> RealtimeRefused:
    """Return the error for a connection that ended before its session began."""
    why = f": {provider.scrub(reason)}" if reason else ""
    dialect = provider.dialect
    fatal = close_is_fatal(dialect, code, reason) or code in dialect.refusing_closes
    fatal = fatal or reason.startswith(dialect.refusing_reasons)
    advice = "; check the key, the URL and the model" if fatal else ""
    text = f"{_who(provider)} closed the connection before a session began (code {code}{why}){advice}"
    return RealtimeRefused(text, code=code, fatal=fatal)


def refused_connect(provider: Provider, exc: Exception, *, fatal: bool = False) -> RealtimeRefused:
    """Return the error for an exception of a connect(); `fatal` decides for those not known here."""
    who = _who(provider)
    if isinstance(exc, InvalidStatus):
        return _refused_status(provider, exc)
    if isinstance(exc, ssl.SSLCertVerificationError):
        text = f"{who} has a certificate that this machine doesn't trust ({exc.verify_message}): set SSL_CERT_FILE"
        return RealtimeRefused(text, fatal=True)
    if isinstance(exc, socket.gaierror):
        return RealtimeRefused(f"{who} can't be found: check the URL's host name and this machine's DNS")
    if isinstance(exc, ConnectionRefusedError):
        return RealtimeRefused(f"nothing listens at {provider.address} ({provider.name}): is the server running?")
    if isinstance(exc, InvalidMessage | OSError):
        return RealtimeRefused(f"{who} broke off while connecting ({type(exc).__name__}): is it a realtime server?")
    if isinstance(exc, InvalidURI | InvalidHandshake):
        text = f"{who} is no WebSocket server ({provider.scrub(str(exc))}): check the URL"
        return RealtimeRefused(text, fatal=True)
    text = f"{who} can't be reached ({type(exc).__name__}: {provider.scrub(str(exc))})"
    return RealtimeRefused(text, fatal=fatal)


def _refused_status(provider: Provider, exc: InvalidStatus) -> RealtimeRefused:
    status = exc.response.status_code
    body = _body_words(exc.response.body or b"")
    fatal = status < 500 and status not in (408, 425, 429)
    fatal = fatal or any(word in body for word in provider.dialect.fatal_codes)
    advice = _ADVICE.get(status) or _advice_by_class(status)
    said = f". It said: {provider.scrub(body)}" if body else ""
    return RealtimeRefused(f"{_who(provider)} {advice} (HTTP {status}){said}", code=status, fatal=fatal)


def _advice_by_class(status: int) -> str:
    if status >= 500:
        return "failed: try later"
    return "refused the connection" if status >= 400 else "is a web site, no realtime server: check the URL"


def _body_words(body: bytes) -> str:
    try:
        error = orjson.loads(body)["error"]
        words = f"{error.get('message', '')} ({error.get('code') or error.get('type') or 'no code'})"
    except (AttributeError, LookupError, TypeError, ValueError):
        words = body.decode(errors="replace")
    return " ".join(words.split())[:BODY_CHARS]


def _who(provider: Provider) -> str:
    return f"{provider.name} at {provider.address}"
