"""Settings: environment variables in, frozen values for the lower packages out.

This is the only module that reads the environment. A wrong value raises `SettingsError` with one line per
variable: its name, its value (never a secret's) and the field's `description`, which says what is allowed.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from worker.call_tools.later import CALLER, LaterWays
from worker.errors import SettingsError
from worker.records.told import Told
from worker.settings.values import (
    CallBackUri,
    CodecNames,
    DigitsText,
    Directory,
    File,
    HeaderNames,
    Headers,
    Hooks,
    HttpAddress,
    HttpUrl,
    Ip,
    Journal,
    Listen,
    Lower,
    Networks,
    PortRange,
    PublicKey,
    RealtimeUrl,
    RedisUrl,
    SecretUrl,
    Server,
    SipServer,
    Targets,
    Words,
    azure_base,
    headers_of,
    vertex_base,
    without_realtime,
)

if TYPE_CHECKING:
    from telephony.settings import SipSettings
    from telephony.tls import TlsSettings
    from tools.queue.backlog import Backlog
    from tools.queue.queued import QueueSettings
    from tools.worker.notify import NotifySettings
    from worker.realtime.provider import Provider
    from worker.records.prices import Prices

PREFIX = "OFFHOOK_"
DEFAULT_MODEL = "gpt-realtime-2.1"
DEFAULT_GEMINI = "gemini-3.8-live"
XAI_URL = "wss://api.x.ai/v1"
GEMINI_URL = "wss://generativelanguage.googleapis.com"
LOCAL_MODEL = "local"

RealtimeName = Literal["local", "openai", "azure", "gateway", "xai", "gemini", "vertex"]


OUR_OWN = ("SIP_PASSWORD", "SIP_PROXY_PASSWORD", "HTTP_TOKEN", "APPROVAL_TOKEN", "DIAL_TOKEN", "HEP_PASSWORD")
"""Secrets of no use to a tool: with the approvals' token it could let its own calls run."""


class Settings(BaseSettings):
    """Everything that the environment configures. Build it with `load_settings()`, which words the errors.

    The `description` of each field says what is allowed; it is what the operator reads when a value is wrong.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True)

    sip_host: Ip = Field(default="127.0.0.1", description="an IP address of this machine, or 0.0.0.0 for all")
    sip_port: int = Field(default=5060, ge=0, le=65535, description="a port from 0 to 65535 (0: any free one)")
    sip_transports: Annotated[tuple[Literal["udp", "tcp", "tls"], ...], NoDecode, Words] = Field(
        default=("udp", "tcp"), min_length=1, description="a list with commas of: udp, tcp, tls"
    )
    sip_tls_port: int = Field(default=5061, ge=0, le=65535, description="a port from 0 to 65535 (0: any free one)")
    sip_tls_cert: File | None = Field(default=None, description="a file (PEM): our certificate, and the chain below it")
    sip_tls_key: File | None = Field(
        default=None, description="a file (PEM): its private key (left out: it is in the certificate's file)"
    )
    sip_tls_ca: File | None = Field(
        default=None, description="a file (PEM) of those whose certificates are believed (left out: the machine's)"
    )
    sip_tls_verify: Annotated[Literal["off", "servers", "all"], Lower] = Field(
        default="servers", description="one of: servers (whom we connect to), all (callers too), off"
    )
    sip_public_address: Ip | None = Field(
        default=None, description="the IP address that callers reach this machine by, where it is not SIP_HOST"
    )
    sip_registrar: SipServer | None = Field(
        default=None, description="the registrar, such as pbx.example.com or sip:pbx.example.com:5080;transport=tcp"
    )
    sip_username: str | None = Field(default=None, description="the user name that the registrar knows")
    sip_password: SecretStr | None = Field(default=None, description="the password that the registrar knows")
    sip_proxy: SipServer | None = Field(
        default=None,
        description="one proxy in front of several workers, such as sip:proxy.internal:5060;transport=tcp",
    )
    sip_proxy_password: SecretStr | None = Field(
        default=None, description="the password that the proxy asks of workers that announce themselves"
    )
    sip_allow: Networks = Field(
        default=(), description="a list with commas of addresses, networks or host names, such as 192.0.2.0/24"
    )
    sip_headers: HeaderNames = Field(
        default=(), description="a list with commas of headers of an INVITE that are read, such as X-Account, X-Shop-*"
    )
    sip_codecs: Annotated[tuple[Literal["PCMU", "PCMA", "G722"], ...], NoDecode, CodecNames] = Field(
        default=("PCMU", "PCMA", "G722"),
        min_length=1,
        description="a list with commas of: PCMU, PCMA, G722, each once, in the order that our own offers have",
    )
    srtp: Annotated[Literal["off", "optional", "required"], Lower] = Field(
        default="off", description="one of: off, optional, required"
    )
    srtp_keys: Annotated[Literal["tls", "plain"], Lower] = Field(
        default="tls", description="one of: tls (its keys travel over TLS alone), plain (in any way, as in a VPN)"
    )
    rtp_source: Annotated[Literal["learn", "sdp", "follow"], Lower] = Field(
        default="learn",
        description="one of: learn (the SDP's address, or who sends first in the 4 s after an answer or a new offer), "
        "sdp (the SDP's address alone), follow (whoever sends while the caller is silent, a stranger too)",
    )
    rtp_ports: PortRange = Field(
        default=(10000, 10999), description="a range of ports from 1024 to 65535, such as 10000-10999; 0-0: any free"
    )
    max_calls: int | None = Field(
        default=None, ge=1, description="a number from 1 (left out: as many as this pjsua2 build can carry)"
    )
    overload: Annotated[Literal["refuse", "accept"], Lower] = Field(
        default="refuse", description="one of: refuse (no new calls while the core is busy), accept"
    )
    answer_seconds: float = Field(
        default=2.0,
        gt=0,
        le=30,
        description="seconds, at most 30, to wait for the realtime session before answering",
    )
    drain_seconds: float = Field(
        default=60.0,
        ge=0,
        le=86400,
        description="seconds, at most 86400, that calls may go on for after SIGTERM",
    )

    backlog_tell_seconds: float | None = Field(
        default=None,
        gt=0,
        description="seconds that a tool call would wait from which on new callers are told (left out: never)",
    )
    backlog_refuse_seconds: float | None = Field(
        default=None,
        gt=0,
        description="seconds that a tool call would wait from which on new calls are refused (left out: never)",
    )

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

    agent: File | None = Field(default=None, description="the path of an agent file (TOML) that exists")
    http: Listen = Field(
        default=HttpAddress("127.0.0.1", 8080), description="host:port, such as 127.0.0.1:8080, or off"
    )
    http_token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="a secret of at least 16 characters that calls and their pages are shown for",
    )
    http_hosts: Annotated[tuple[str, ...], NoDecode, Words] = Field(
        default=(), description="a list with commas of names that the pages may be asked for by, such as ops.example"
    )
    approval_token: SecretStr | None = Field(
        default=None, description="a long random text, by which operators approve tool calls over HTTP"
    )
    dial_token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="a secret of at least 16 characters, by which other programs have us call somebody (POST /calls)",
    )
    dial_to: Targets = Field(
        default=(), description="a list with commas of whom they may have called, such as +49*, sip:*@pbx.example.com"
    )
    dial_from: Annotated[tuple[str, ...], NoDecode, Words] = Field(
        default=(), description="a list with commas of numbers that such calls may come from"
    )
    dial_calls: int = Field(default=2, ge=1, description="how many such calls go on at once, on each worker")
    dial_per_minute: int = Field(default=10, ge=1, description="how many of them are begun a minute, on each worker")
    recordings: Directory | None = Field(
        default=None, description="the directory for recordings and call records (left out: nothing is recorded)"
    )
    recordings_key: PublicKey | None = Field(
        default=None,
        description="the public key of `offhook keys recordings`, offhook-public-...: recordings are encrypted, and the"
        " secret key opens them, which stays elsewhere (left out: they are WAV files)",
    )
    recordings_days: float | None = Field(
        default=None, gt=0, description="days that recordings are kept for, such as 30 (left out: for ever)"
    )
    journal: Journal = Field(
        default="memory",
        description="memory (of the calls in progress and the last ones), off, or a directory with a slash in it"
        " that keeps each call's, such as ./journals",
    )
    journal_days: float = Field(default=14, gt=0, description="days that journals are kept for, such as 14")
    transcripts: Annotated[Literal["on", "off"], Lower] = Field(
        default="on", description="one of: on, off (records and pages have who spoke when, and no words)"
    )
    hep: Server = Field(
        default=None,
        description="host:port of a Homer that is told of SIP messages and lines by HEP3 over UDP, such as"
        " homer.example:9060, or off",
    )
    hep_id: int = Field(default=1, ge=0, le=0xFFFFFFFF, description="our number as a capture agent, such as 2001")
    hep_password: SecretStr | None = Field(
        default=None,
        max_length=128,
        description="the capture server's password, of at most 128 characters, which HEP3 sends in clear",
    )
    prices: File | None = Field(
        default=None, description="the path of a table of prices (TOML) that exists (left out: the shipped one)"
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Lower] = Field(
        default="info", description="one of: debug, info, warning, error"
    )
    log_format: Annotated[Literal["auto", "json", "console"], Lower] = Field(
        default="auto", description="one of: auto, json, console"
    )

    redis_url: RedisUrl | None = Field(
        default=None,
        validation_alias="REDIS_URL",
        description="redis://, rediss:// or unix:// and the server's address, or redis+sentinel://HOST:PORT,.../MASTER"
        " (left out: an embedded Redis)",
    )
    digits_key: DigitsText | None = Field(
        default=None,
        description="a key of `offhook keys digits`, offhook-digits-..., the same for workers and tool workers: what"
        " callers type for a queued tool is sealed with it",
    )
    notify_url: SecretUrl | None = Field(
        default=None, description="an http:// or https:// URL that is told what tools end after their call"
    )
    notify_secret: SecretStr | None = Field(
        default=None, description="the secret that these messages are signed with (HMAC-SHA256)"
    )
    notify_hooks: Hooks = Field(
        default_factory=dict,
        description="a list with commas of channel=module:function, such as sms=shop.hooks:send_sms; the channels send"
        " and call_back are for what a caller was promised",
    )
    call_back_uri: CallBackUri | None = Field(
        default=None,
        description="a sip: URI with {caller} in its user part, such as sip:{caller}@trunk.example.com"
        " (left out: through the proxy or the registrar, where there is one)",
    )
    tool_secrets: Annotated[tuple[str, ...], NoDecode, Words] = Field(
        default=(), description="a list with commas of environment variables that tools may ask for by name"
    )

    otel_endpoint: HttpUrl | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="an http:// or https:// URL of an OTLP receiver, such as http://127.0.0.1:4318",
    )
    otel_traces_endpoint: HttpUrl | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        description="an http:// or https:// URL that takes traces, such as http://127.0.0.1:4318/v1/traces",
    )
    otel_headers: SecretStr | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_HEADERS",
        description="headers for that receiver as name=value, with commas",
    )
    otel_traces_headers: SecretStr | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        description="headers for the receiver of traces as name=value, with commas",
    )
    otel_protocol: Literal["http/protobuf"] = Field(
        default="http/protobuf",
        validation_alias="OTEL_EXPORTER_OTLP_PROTOCOL",
        description="http/protobuf alone",
    )
    otel_traces_protocol: Literal["http/protobuf"] = Field(
        default="http/protobuf",
        validation_alias="OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        description="http/protobuf alone",
    )
    otel_traces_exporter: str = Field(
        default="otlp", validation_alias="OTEL_TRACES_EXPORTER", description="otlp, or none for no traces"
    )
    otel_disabled: Annotated[Literal["true", "false"], Lower] = Field(
        default="false", validation_alias="OTEL_SDK_DISABLED", description="one of: true (no traces), false"
    )

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

    def price_table(self) -> Prices:
        """Return what models cost. Raises `SettingsError` for a table of the operator's that can't be used."""
        from worker.records.prices import PriceFileError, load_prices, shipped_prices

        if self.prices is None:
            return shipped_prices()
        try:
            return load_prices(self.prices)
        except PriceFileError as error:
            raise SettingsError(f"{variable_of('prices')}={self.prices}: {error}") from None

    def needs_embedded_redis(self) -> bool:
        """Tell whether an embedded Redis has to be started, since no REDIS_URL is set."""
        return self.redis_url is None

    def needs_local_realtime(self) -> bool:
        """Tell whether a local realtime server has to be started as a child process."""
        return self.realtime == "local" and self.realtime_url is None

    def sip_settings(self) -> SipSettings:
        """Return what `telephony` is configured with."""
        from telephony.settings import SipSettings

        return SipSettings(
            host=self.sip_host,
            port=self.sip_port,
            transports=self.sip_transports,
            tls=self.tls_settings(),
            public_address=self.sip_public_address,
            registrar=self.sip_registrar,
            username=self.sip_username,
            password=reveal(self.sip_password),
            proxy=self.sip_proxy,
            proxy_password=reveal(self.sip_proxy_password),
            allow=self.sip_allow,
            redirect_to=tuple(one for one in self.dial_to if one.lower().startswith(("sip:", "sips:"))),
            headers=self.sip_headers,
            codecs=self.sip_codecs,
            srtp=self.srtp,
            srtp_keys=self.srtp_keys,
            rtp_source=self.rtp_source,
            rtp_ports=self.rtp_ports,
            max_calls=self.max_calls,
            trace=self.journal != "off" or self.hep is not None,
            trace_heads=self.hep is not None,
        )

    def told(self) -> Told:
        """Return what of calls is kept."""
        return Told(journal=self.journal != "off", words=self.transcripts == "on")

    def traces(self) -> bool:
        """Tell whether calls and jobs are told as traces: where there is an endpoint, and nobody has put them off."""
        off = self.otel_disabled == "true" or self.otel_traces_exporter == "none"
        return not off and bool(self.otel_endpoint or self.otel_traces_endpoint)

    def journal_folder(self) -> Path | None:
        """Return where journals are kept: a folder of their own, or beside the recordings; None: in memory alone."""
        if self.journal == "off":
            return None
        return self.journal if isinstance(self.journal, Path) else self.recordings

    def own_url(self) -> str | None:
        """Return where a worker with these settings is asked from this machine; None where that can't be known."""
        if self.http is None or self.http.port == 0:
            return None
        host = "127.0.0.1" if self.http.host in ("0.0.0.0", "::") else self.http.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.http.port}"

    def records_folder(self) -> Path | None:
        """Return where records are kept: beside the recordings, else beside the journals; None: nowhere."""
        return self.recordings or self.journal_folder()

    def tls_settings(self) -> TlsSettings:
        """Return what SIP over TLS is configured with."""
        from telephony.tls import TlsSettings

        files = (self.sip_tls_cert, self.sip_tls_key, self.sip_tls_ca)
        certificate, key, authorities = (None if file is None else str(file) for file in files)
        return TlsSettings(
            certificate=certificate,
            key=key,
            authorities=authorities,
            port=self.sip_tls_port,
            verify=self.sip_tls_verify != "off",
            clients=self.sip_tls_verify == "all",
        )

    def queue_settings(self, url: str | None = None) -> QueueSettings:
        """Return what `tools` needs to reach the queue; `url` is that of the embedded Redis."""
        from tools.queue.queued import QueueSettings

        found = reveal(self.redis_url) or url
        if found is None:
            raise SettingsError("REDIS_URL is not set: set it to the Redis server's, such as redis://127.0.0.1:6379")
        return QueueSettings(url=found, digits=reveal(self.digits_key))

    def backlog(self) -> Backlog:
        """Return the limits of the tools' queue."""
        from tools.queue.backlog import Backlog

        return Backlog(tell_s=self.backlog_tell_seconds, refuse_s=self.backlog_refuse_seconds)

    def secrets_for_tools(self) -> dict[str, str]:
        """Return the secrets that tools may have, by name.

        Raises `SettingsError` when one that OFFHOOK_TOOL_SECRETS names is not set.
        """
        missing = [name for name in self.tool_secrets if name not in os.environ]
        if missing:
            raise SettingsError([f"{name} is not set: OFFHOOK_TOOL_SECRETS names it for the tools" for name in missing])
        return {name: os.environ[name] for name in self.tool_secrets}

    def secret_values(self) -> list[str]:
        """Return every secret there is, for the log to know them: the settings' own, and those for tools."""
        own = [value.get_secret_value() for _, value in self if isinstance(value, SecretStr)]
        own += headers_of(reveal(self.realtime_headers) or "").values()
        for headers in (self.otel_headers, self.otel_traces_headers):
            own += [pair.partition("=")[2] for pair in (reveal(headers) or "").split(",") if "=" in pair]
        return own + [os.environ[name] for name in self.tool_secrets if name in os.environ]

    def notify_settings(self) -> NotifySettings:
        """Return where a tool worker tells of what ended after its call."""
        from tools.worker.notify import NotifySettings

        return NotifySettings(
            url=reveal(self.notify_url), secret=reveal(self.notify_secret), hooks=dict(self.notify_hooks)
        )

    def later_ways(self) -> LaterWays:
        """Return by what ways a caller may hear later what a tool takes long for."""
        uri, hooks, webhook = self.call_back_uri, self.notify_hooks, self.notify_url and self.notify_secret
        server = self.sip_proxy or self.sip_registrar
        if uri is None and server is not None:
            scheme = "sips" if server.startswith("sips:") else "sip"
            uri = f"{scheme}:{CALLER}@{server.removeprefix(f'{scheme}:')}"
        send = "send" if "send" in hooks else "default" if "default" in hooks or webhook else None
        return LaterWays(send=send, hook="call_back" in hooks, uri=uri)

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


def reveal(secret: SecretStr | None) -> str | None:
    """Return the text of a secret, None where it is not set."""
    return secret.get_secret_value() if secret is not None else None


def named_secret(name: str) -> str | None:
    """Return a secret that a file names by its environment variable; None where that is not set, or empty."""
    return os.environ.get(name) or None


def without_password(url: str) -> str:
    """Return the URL as it may be logged: user and password taken out, and the query with them."""
    scheme, _, rest = url.partition("?")[0].partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def variable_of(field: str) -> str:
    """Return the name of the environment variable that a field of `Settings` is read from."""
    alias = Settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else PREFIX + field.upper()


def child_environment(*, keep_secrets: bool, **extra: str) -> dict[str, str]:
    """Return the environment for a child process, with `extra` put in.

    What is the worker's alone (`OUR_OWN`) never goes to a child; other secrets, and what OFFHOOK_TOOL_SECRETS names, go
    only with `keep_secrets` (a tool may need one).
    """
    secrets = {variable_of(name) for name in Settings.model_fields if is_secret(name)}
    for_tools = {word.strip() for word in os.environ.get(variable_of("tool_secrets"), "").split(",")}
    own = {f"OFFHOOK_{name}" for name in OUR_OWN}
    drop = own if keep_secrets else secrets
    named = set() if keep_secrets else for_tools
    # A setting may be written in small letters; a tool's secret is read as it is written.
    kept = {name: value for name, value in os.environ.items() if name.upper() not in drop and name not in named}
    return {**kept, **extra}


def tame_libraries() -> None:
    """Keep numpy's BLAS to one thread, also in children: more of them fight the audio threads for the core.

    To be called before numpy is imported, which reads it then.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def search_path() -> str:
    """Return PATH, in which programs are looked for."""
    return os.environ.get("PATH", os.defpath)


def is_secret(field: str) -> bool:
    """Whether a field of `Settings` is one that no log may have."""
    return "SecretStr" in str(Settings.model_fields[field].annotation)
