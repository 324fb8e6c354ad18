"""How a connection to the Live API is had: our own URL over `websockets`, with a key or a token.

Google's SDK is not used for it: its `receive()` costs 46 us for 100 ms of audio and raises at messages that it does not
know, and importing it takes 1.6 s and 54 MB. It talks to the local server in the tests, though, over the same URLs.
"""

from __future__ import annotations

import contextlib
import logging
import ssl
from functools import lru_cache
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect

from worker.realtime.base import Attach, HangUp, RealtimeRefused
from worker.realtime.provider import Provider
from worker.realtime.refusal import refused_connect

__all__ = ["dial", "endpoint", "model_path", "prepare"]

# Below INFO the WebSocket library writes down the handshake, and with it the key.
_wire_log = logging.getLogger("worker.realtime.websocket")
_wire_log.setLevel(logging.INFO)

SERVICE = {
    "gemini": "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
    "vertex": "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent",
}
"""Path of the service below a base URL, by the dialect's way of proving who we are."""
FRAME_BYTES = 8 * 1024 * 1024
CLOSE_S = 1.0


def endpoint(provider: Provider) -> str:
    """Return the whole URL. A base URL may have a path of its own (gateways); one with the service's stays as it is."""
    parts = urlsplit(provider.url)
    scheme = {"https": "wss", "http": "ws"}.get(parts.scheme, parts.scheme)
    path = parts.path.rstrip("/")
    if "/ws/google." not in path:
        path += SERVICE[provider.dialect.service]
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))


def model_path(provider: Provider) -> str:
    """Return a model's path: a plain name gets what the service puts before it."""
    if "/" in provider.model:
        return provider.model
    return f"{provider.model_parent}/{provider.model}" if provider.model_parent else f"models/{provider.model}"


def prepare(provider: Provider) -> None:
    """Make what all connections to a provider share. Takes some 20 ms: do it at start, not in a call."""
    if provider.is_secure:
        _tls()


async def dial(provider: Provider, attach: Attach) -> HangUp:
    """Connect; `attach` makes the socket. Returns what ends the connection; raises `RealtimeRefused`."""
    options: dict[str, Any] = {}
    if provider.is_loopback:
        options["proxy"] = None
    if provider.is_secure:
        options["ssl"] = _tls()
    try:
        socket = await connect(
            endpoint(provider),
            create_connection=cast("type[ClientConnection]", attach),
            additional_headers=await _headers(provider),
            compression=None,  # base64 of noise does not shrink
            max_size=FRAME_BYTES,
            ping_interval=provider.dialect.ping_s,
            ping_timeout=provider.dialect.pong_s,
            close_timeout=CLOSE_S,
            open_timeout=None,  # open() bounds it together with the session's beginning
            logger=_wire_log,
            **options,
        )
    except (TimeoutError, RealtimeRefused):
        raise
    except Exception as exc:
        raise refused_connect(provider, exc) from exc
    return lambda code: _closed(socket, code)


async def _headers(provider: Provider) -> dict[str, str]:
    """A key of the service's own goes in a header of its own; everything else is a Bearer token."""
    own = dict(provider.headers)
    if any(name.lower() == "authorization" for name in own):
        return own  # a gateway's, which knows the service's key itself
    if isinstance(provider.key, str):
        return {"x-goog-api-key": provider.key, **own} if provider.key else own
    return {"Authorization": f"Bearer {await provider.key()}", **own}


async def _closed(socket: ClientConnection, code: int) -> None:
    """Close a connection that may be closed already, or half so."""
    with contextlib.suppress(Exception):
        await socket.close(code=code)


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """One context for all calls: loading the certificates takes 20 ms, in which no audio would move."""
    return ssl.create_default_context()
