"""Vertex AI's credentials, by `google-auth`: those of the machine (a service account, a workload identity, gcloud)."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable
from typing import Any

from worker.errors import HostError
from worker.realtime.base import RealtimeRefused

__all__ = ["SCOPE", "vertex_token"]

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def vertex_token() -> Callable[[], Awaitable[str]]:
    """Return what fetches a token for each connection: the one at hand, as long as it is valid.

    Raises HostError where `google-auth` is not installed. Where there are no credentials, or they are refused,
    fetching a token raises `RealtimeRefused`.
    """
    if importlib.util.find_spec("google") is None or importlib.util.find_spec("google.auth") is None:
        raise HostError("OFFHOOK_REALTIME=vertex needs google-auth: uv sync --extra vertex (pip: offhook[vertex])")
    found: Any = None
    one_at_a_time = asyncio.Lock()

    async def token() -> str:
        nonlocal found
        async with one_at_a_time:
            found = await asyncio.to_thread(_valid, found)
            return str(found.token)

    return token


def _valid(credentials: Any) -> Any:
    """Return credentials with a token that holds for some minutes. Blocks."""
    import google.auth
    from google.auth.exceptions import GoogleAuthError, TransportError
    from google.auth.transport.requests import Request

    try:
        if credentials is None:
            credentials = google.auth.default(scopes=[SCOPE])[0]
        if not credentials.valid:
            credentials.refresh(Request())
    except TransportError as error:
        raise RealtimeRefused(f"Google's token service can't be reached ({error}): try later") from error
    except GoogleAuthError as error:
        mend = "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS"
        raise RealtimeRefused(f"there are no credentials for Vertex AI ({error}): {mend}", fatal=True) from error
    return credentials
