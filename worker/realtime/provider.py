"""A provider's recipe: where a realtime session is had and what proves that we may. Pure."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from worker.realtime.dialect import OPENAI, Dialect

SECRET_CHARS = 8  # shorter "keys" are placeholders such as "none", and would blank out plain words
_TOKENS = re.compile(r"(?i)(?<=bearer )\S+|\bsk-[\w-]{6,}|\beyJ[\w-]+\.[\w.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One realtime provider. Its repr shows no secret.

    OpenAI: wss://api.openai.com/v1. Azure: wss://RESOURCE.openai.azure.com/openai/v1, `model` is the
    deployment, and with a resource key the header `api-key`; with Entra ID `key` is the token's source.
    A gateway or the local server: its own URL; `/realtime` and the model are appended to it. Gemini and Vertex AI:
    https or wss; the service's path is appended, unless it stands there.
    """

    name: str
    """How messages call it: openai, azure, gateway, local."""
    url: str
    """The WebSocket base URL, without /realtime; its query parameters survive."""
    model: str
    """The model, or Azure's deployment."""
    key: str | Callable[[], Awaitable[str]] = field(repr=False)
    """What goes with `Authorization: Bearer`, or what fetches it for each connection; "": there is no such header. A
    plain key of Gemini's goes in a header of its own."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Further headers, such as Azure's `api-key`; these may be secrets, too."""

    audio: Literal["pcm", "g711"] = "pcm"
    """What sessions are asked for: 24 kHz PCM, or the call's own G.711."""

    dialect: Dialect = OPENAI
    """How it speaks its protocol, and how long it takes for what."""

    model_parent: str = ""
    """What a plain model name stands under, where that is more than the service's own: a Google Cloud project."""

    tool_calls: Literal["open", "placeholder"] = "open"
    """Whether its models respond while a tool call is open, or only once each has an output."""

    @property
    def address(self) -> str:
        """The URL as messages may show it: no user, no query."""
        parts = urlsplit(self.url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"

    @property
    def is_secure(self) -> bool:
        """Whether the connection uses TLS."""
        return urlsplit(self.url).scheme in ("wss", "https")

    @property
    def is_loopback(self) -> bool:
        """Whether it runs on this machine, where no proxy is wanted."""
        host = urlsplit(self.url).hostname or ""
        return host in ("localhost", "::1") or host.startswith("127.")

    def scrub(self, text: str) -> str:
        """Return the provider's words without our secrets: services and gateways quote refused keys."""
        secrets = [self.key] if isinstance(self.key, str) else []
        for secret in (*secrets, *self.headers.values()):
            if len(secret) >= SECRET_CHARS:
                text = text.replace(secret, "***")
        return _TOKENS.sub("***", text)
