"""How a connection to a service of OpenAI's protocol is had: the `openai` SDK connects, authenticates and closes."""

from __future__ import annotations

import contextlib
import logging
import ssl
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from openai import AsyncOpenAI, OpenAIError, omit

from worker.realtime.base import Attach, HangUp, RealtimeRefused
from worker.realtime.provider import Provider
from worker.realtime.refusal import refused_connect

if TYPE_CHECKING:
    from openai.resources.realtime.realtime import AsyncRealtimeConnection
    from openai.types.websocket_connection_options import WebSocketConnectionOptions

__all__ = ["dial", "prepare"]

# Below INFO the WebSocket library writes down the handshake, and with it the key.
_wire_log = logging.getLogger("worker.realtime.websocket")
_wire_log.setLevel(logging.INFO)

FRAME_BYTES = 8 * 1024 * 1024  # a response.done with its items is some 100 kB; more than this is no dialogue
CLOSE_S = 1.0


def prepare(provider: Provider) -> None:
    """Make what all connections to a provider share. Takes some 100 ms: do it at start, not in a call."""
    _client(provider)
    if provider.is_secure:
        _tls()


async def dial(provider: Provider, attach: Attach) -> HangUp:
    """Connect; `attach` makes the socket. Returns what ends the connection; raises `RealtimeRefused`."""
    try:
        connecting = _client(provider).realtime.connect(
            model=provider.model, websocket_connection_options=_options(provider, attach)
        )
        sdk = await connecting.enter()
    except (TimeoutError, RealtimeRefused):
        raise
    except Exception as exc:
        raise refused_connect(provider, exc, fatal=isinstance(exc, OpenAIError)) from exc
    return lambda code: _closed(sdk, code)


async def _closed(sdk: AsyncRealtimeConnection, code: int) -> None:
    """Close a connection that may be closed already, or half so."""
    with contextlib.suppress(Exception):
        await sdk.close(code=code)


def _options(provider: Provider, attach: Callable[..., Any]) -> WebSocketConnectionOptions:
    options: dict[str, Any] = {
        "create_connection": attach,
        "compression": None,  # base64 of noise does not shrink: deflate costs 60 % more CPU for nothing
        "max_size": FRAME_BYTES,
        "ping_interval": provider.dialect.ping_s,
        "ping_timeout": provider.dialect.pong_s,
        "close_timeout": CLOSE_S,
        "logger": _wire_log,
        "open_timeout": None,  # open() bounds it together with the session's beginning
    }
    if provider.is_loopback:
        options["proxy"] = None
    if provider.is_secure:
        options["ssl"] = _tls()
    # The SDK's type names some of the options; it passes all of them on to websockets.connect().
    return cast("WebSocketConnectionOptions", options)


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """One context for all calls: loading the certificates takes 20 ms, in which no audio would move."""
    return ssl.create_default_context()


_clients: dict[Any, AsyncOpenAI] = {}


def _client(provider: Provider) -> AsyncOpenAI:
    """One SDK client per provider: making one takes 20 ms. It holds no connection of its own."""
    recipe = (provider.url, provider.key, tuple(provider.headers.items()))
    if recipe not in _clients:
        # The SDK makes no client without a key, and sends each as a Bearer unless that header is left out.
        headers = provider.headers if provider.key else {**provider.headers, "Authorization": omit}
        _clients[recipe] = AsyncOpenAI(
            api_key=provider.key or "none",
            websocket_base_url=provider.url,
            default_headers=cast("Mapping[str, str]", headers),
            max_retries=0,
        )
    return _clients[recipe]
