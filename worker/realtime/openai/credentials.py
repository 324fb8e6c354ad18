"""Azure's tokens of Entra ID, by `azure-identity`: a managed identity, a workload identity, `az login`."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable
from typing import Any

from worker.errors import HostError
from worker.realtime.base import RealtimeRefused

__all__ = ["SCOPE", "entra_token"]

SCOPE = "https://cognitiveservices.azure.com/.default"


def entra_token() -> Callable[[], Awaitable[str]]:
    """Return what fetches a token for each connection; the library keeps one as long as it is valid.

    Raises HostError where `azure-identity` is not installed. Where there is no identity, or it is refused, fetching a
    token raises `RealtimeRefused`.
    """
    if importlib.util.find_spec("azure") is None or importlib.util.find_spec("azure.identity") is None:
        raise HostError("OFFHOOK_AZURE_AUTH=entra needs azure-identity: uv sync --extra azure (pip: offhook[azure])")
    credential: Any = None
    one_at_a_time = asyncio.Lock()

    async def token() -> str:
        nonlocal credential
        async with one_at_a_time:
            credential, found = await asyncio.to_thread(_fetched, credential)
            return found

    return token


def _fetched(credential: Any) -> tuple[Any, str]:
    """Return the credential and a token of it. Blocks."""
    from azure.core.exceptions import AzureError, ClientAuthenticationError
    from azure.identity import DefaultAzureCredential

    try:
        credential = credential or DefaultAzureCredential()
        return credential, str(credential.get_token(SCOPE).token)
    except ClientAuthenticationError as error:
        words = str(error).partition("\n")[0]
        mend = "give this machine an identity with the role `Cognitive Services OpenAI User`, or run `az login`"
        raise RealtimeRefused(f"there is no identity for Azure ({words}): {mend}", fatal=True) from error
    except AzureError as error:
        raise RealtimeRefused(f"Azure's token service can't be reached ({error}): try later") from error
