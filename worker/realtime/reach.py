"""Whether a provider's server is there: a connection, with TLS where that is wanted, and no session."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import urllib.request
from urllib.parse import urlsplit

from worker.realtime.base import RealtimeRefused
from worker.realtime.provider import Provider
from worker.realtime.refusal import refused_connect


async def reach(provider: Provider, timeout_s: float) -> None:
    """Connect and hang up. Raises RealtimeRefused in the words of a connection that could not be made.

    Behind a proxy nothing is tried: whether that lets us through is told by a session alone.
    """
    if not provider.is_loopback and urllib.request.getproxies():
        return
    parts = urlsplit(provider.url)
    port = parts.port or (443 if provider.is_secure else 80)
    try:
        tls = await asyncio.to_thread(ssl.create_default_context) if provider.is_secure else None
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(parts.hostname, port, ssl=tls)
    except TimeoutError:
        raise RealtimeRefused(f"{provider.name} at {provider.address} does not answer within {timeout_s:g} s") from None
    except OSError as error:
        raise refused_connect(provider, error) from None
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
