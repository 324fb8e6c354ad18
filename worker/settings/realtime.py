"""The settings of the realtime provider: OpenAI, Azure, xAI, Google, a gateway, or the local server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field, SecretStr

from worker.errors import SettingsError
from worker.settings.values import (
    Headers,
    HttpUrl,
    Lower,
    RealtimeUrl,
    azure_base,
    headers_of,
    reveal,
    vertex_base,
    without_realtime,
)

if TYPE_CHECKING:
    from worker.realtime.provider import Provider

DEFAULT_MODEL = "gpt-realtime-2.1"
DEFAULT_GEMINI = "gemini-3.8-live"
XAI_URL = "wss://api.x.ai/v1"
GEMINI_URL = "wss://generativelanguage.googleapis.com"
LOCAL_MODEL = "local"

RealtimeName = Literal["local", "openai", "azure", "gateway", "xai", "gemini", "vertex"]


class RealtimeValues(BaseModel):
    """The realtime provider: which one, where, by which key, and with which model."""

    realtime: Annotated[RealtimeName, Lower] = Field(
        default="local", description="one of: local, openai, azure, gateway, xai, gemini, vertex"
    )
    realtime_url: RealtimeUrl | None = Field(
        default=None,
        description="a wss://, ws://, https:// or http:// URL, such as wss://gateway.example.com/live/ACCOUNT",
    )
    realtime_headers: Headers | None = Field(
        default=None, description="a list with commas of HTTP headers for a gateway, such as X-Tenant: seven"
    )
    realtime_transcriber: str | None = Field(
        default=None, description="the name of the model that writes down the caller's words"
    )
    realtime_protocol: Annotated[Literal["openai", "gemini"], Lower] = Field(
        default="openai", description="one of: openai, gemini (what the local server, or a gateway, speaks)"
    )
    realtime_audio: Annotated[Literal["pcm", "g711"], Lower] = Field(
        default="pcm", description="one of: pcm (24 kHz), g711 (the call's own, where the provider confirms it)"
    )
    realtime_tool_calls: Annotated[Literal["open", "placeholder"], Lower] = Field(
        default="open",
        description="one of: open, placeholder (for a gateway whose model can't speak while a tool call has no output)",
    )
    realtime_model: str | None = Field(default=None, description="the name of a model (Azure: of the deployment)")
    openai_api_key: SecretStr | None = Field(
        default=None,
        validation_alias="OPENAI_API_KEY",
        description="a key of the OpenAI platform, or the gateway's",
    )
    openai_base_url: HttpUrl | None = Field(
        default=None,
        validation_alias="OPENAI_BASE_URL",
        description="an https:// URL, such as https://api.openai.com/v1",
    )
    azure_openai_endpoint: HttpUrl | None = Field(
        default=None,
        validation_alias="AZURE_OPENAI_ENDPOINT",
        description="an https:// URL, such as https://RESOURCE.openai.azure.com",
    )
    azure_openai_api_key: SecretStr | None = Field(
        default=None,
        validation_alias="AZURE_OPENAI_API_KEY",
        description="a key of the Azure OpenAI resource",
    )
    azure_auth: Annotated[Literal["key", "entra"], Lower] = Field(
        default="key", description="one of: key (AZURE_OPENAI_API_KEY), entra (the machine's identity, or `az login`)"
    )
    azure_openai_deployment: str | None = Field(
        default=None, validation_alias="AZURE_OPENAI_DEPLOYMENT", description="the name of the deployment"
    )
    xai_api_key: SecretStr | None = Field(
        default=None, validation_alias="XAI_API_KEY", description="a key of xAI's console"
    )
    gemini_api_key: SecretStr | None = Field(
        default=None, validation_alias="GEMINI_API_KEY", description="a key of Google AI Studio"
    )
    google_cloud_project: str | None = Field(
        default=None, validation_alias="GOOGLE_CLOUD_PROJECT", description="the id of a Google Cloud project"
    )
    google_cloud_location: str | None = Field(
        default=None,
        validation_alias="GOOGLE_CLOUD_LOCATION",
        description="a location of Vertex AI, such as europe-west4, eu, us or global",
    )

    def model_name(self) -> str:
        """Return the model to ask the provider for: the configured one, or the provider's default."""
        if self.realtime_model:
            return self.realtime_model
        if self.realtime == "azure" and self.azure_openai_deployment:
            return self.azure_openai_deployment
        if self.realtime == "local":
            return LOCAL_MODEL
        return DEFAULT_GEMINI if self.speaks_gemini() else DEFAULT_MODEL

    def speaks_gemini(self) -> bool:
        """Tell whether the provider's protocol is Google's Live API."""
        named = self.realtime in ("local", "gateway") and self.realtime_protocol == "gemini"
        return named or self.realtime in ("gemini", "vertex")

    def needs_local_realtime(self) -> bool:
        """Tell whether a local realtime server has to be started as a child process."""
        return self.realtime == "local" and self.realtime_url is None

    def realtime_endpoint(self, url: str | None = None) -> tuple[str, str | None, dict[str, str]]:
        """Return the WebSocket base URL, the Bearer key if any, and further headers; `url` is the local server's."""
        if self.realtime == "azure":
            base = self.realtime_url or azure_base(self.azure_openai_endpoint or "")
            if self.azure_auth == "entra":
                return without_realtime(base), None, {}
            # The resource's key has a header of its own; as a Bearer it would be taken for a token of Entra ID.
            return without_realtime(base), None, {"api-key": reveal(self.azure_openai_api_key) or ""}
        if self.realtime == "openai":
            base = self.realtime_url or self.openai_base_url or "https://api.openai.com/v1"
            return without_realtime(base), reveal(self.openai_api_key), {}
        if self.realtime == "xai":
            return without_realtime(self.realtime_url or XAI_URL), reveal(self.xai_api_key), {}
        if self.realtime == "gemini":
            return self.realtime_url or GEMINI_URL, reveal(self.gemini_api_key), {}
        if self.realtime == "vertex":
            return self.realtime_url or vertex_base(self.google_cloud_location or "global"), None, {}
        found = self.realtime_url or url
        if found is None:
            raise SettingsError("OFFHOOK_REALTIME_URL is not set: set it to the realtime server's ws:// URL")
        key = reveal(self.openai_api_key) if self.realtime == "gateway" else None
        return (found if self.speaks_gemini() else without_realtime(found)), key or "none", {}

    def provider(self, url: str | None = None) -> Provider:
        """Return the recipe of the realtime provider; `url` is the local realtime server's, once it runs."""
        from worker.realtime import dialect
        from worker.realtime.provider import Provider

        base, key, headers = self.realtime_endpoint(url)
        dialects = {"xai": dialect.XAI, "vertex": dialect.VERTEX}
        spoken = dialects.get(self.realtime) or (dialect.GEMINI if self.speaks_gemini() else dialect.OPENAI)
        if self.realtime_transcriber:
            spoken = replace(spoken, transcriber=self.realtime_transcriber)
        project, location = self.google_cloud_project, self.google_cloud_location
        parent = f"projects/{project}/locations/{location}/publishers/google/models"
        own_headers = {**headers, **headers_of(reveal(self.realtime_headers) or "")}
        return Provider(
            name=self.realtime,
            url=base,
            key=self._token(own_headers) or key or "",
            model=self.model_name(),
            headers=own_headers,
            dialect=spoken,
            model_parent=parent if self.realtime == "vertex" and project and location else "",
            audio=self.realtime_audio,
            tool_calls=self.realtime_tool_calls,
        )

    def _token(self, headers: Mapping[str, str]) -> Callable[[], Awaitable[str]] | None:
        """What fetches a token for each connection, where that is the proof and the headers have none."""
        if "authorization" in {name.lower() for name in headers}:
            return None
        if self.realtime == "vertex":
            from worker.realtime.gemini.credentials import vertex_token

            return vertex_token()
        if self.realtime == "azure" and self.azure_auth == "entra":
            from worker.realtime.openai.credentials import entra_token

            return entra_token()
        return None
