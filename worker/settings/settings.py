"""Settings: environment variables in, frozen values for the lower packages out.

A wrong value raises `SettingsError` with one line per variable: its name, its value (never a secret's) and the
field's `description`, which says what is allowed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from worker.call_tools.later import CALLER, LaterWays
from worker.errors import SettingsError
from worker.settings.http import HttpValues
from worker.settings.jobs import JobValues
from worker.settings.kept import KeptValues
from worker.settings.realtime import RealtimeValues
from worker.settings.sip import SipValues
from worker.settings.values import File, Lower, headers_of, reveal

if TYPE_CHECKING:
    from telephony.settings import SipSettings
    from worker.records.prices import Prices

PREFIX = "OFFHOOK_"


class Settings(KeptValues, HttpValues, RealtimeValues, JobValues, SipValues, BaseSettings):
    """Everything that the environment configures. Build it with `load_settings()`, which words the errors.

    The `description` of each field says what is allowed; it is what the operator reads when a value is wrong.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True)

    agent: File | None = Field(default=None, description="the path of an agent file (TOML) that exists")
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Lower] = Field(
        default="info", description="one of: debug, info, warning, error"
    )
    log_format: Annotated[Literal["auto", "json", "console"], Lower] = Field(
        default="auto", description="one of: auto, json, console"
    )

    def price_table(self) -> Prices:
        """Return what models cost. Raises `SettingsError` for a table of the operator's that can't be used."""
        from worker.records.prices import PriceFileError, load_prices, shipped_prices

        if self.prices is None:
            return shipped_prices()
        try:
            return load_prices(self.prices)
        except PriceFileError as error:
            raise SettingsError(f"{variable_of('prices')}={self.prices}: {error}") from None

    def sip_settings(self) -> SipSettings:
        """Return what `telephony` is configured with."""
        from telephony.settings import SipSettings

        first, *others = self.sip_places()
        second = others[0] if others else None
        return SipSettings(
            host=first.host,
            second_host=None if second is None else second.host,
            second_public_address=None if second is None else second.public_address,
            keepalive_s=self.sip_keepalive_seconds,
            port=self.sip_port,
            transports=self.sip_transports,
            tls=self.tls_settings(),
            public_address=first.public_address,
            registrar=self.sip_registrar,
            username=self.sip_username,
            password=reveal(self.sip_password),
            accounts=self.account_settings(),
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

    def later_ways(self) -> LaterWays:
        """Return by what ways a caller may hear later what a tool takes long for."""
        uri, hooks, webhook = self.call_back_uri, self.notify_hooks, self.notify_url and self.notify_secret
        server = self.sip_proxy or self.sip_registrar
        if uri is None and server is not None:
            scheme = "sips" if server.startswith("sips:") else "sip"
            uri = f"{scheme}:{CALLER}@{server.removeprefix(f'{scheme}:')}"
        elif uri is None and (accounts := self.account_settings()):
            uri = accounts[0].uri_of(CALLER)
        send = "send" if "send" in hooks else "default" if "default" in hooks or webhook else None
        return LaterWays(send=send, hook="call_back" in hooks, uri=uri)

    def secret_values(self) -> list[str]:
        """Return every secret there is, for the log to know them: the settings' own, and those for tools."""
        own = [value.get_secret_value() for _, value in self if isinstance(value, SecretStr)]
        own += [one.password for one in self.account_settings() if one.password is not None]
        own += headers_of(reveal(self.realtime_headers) or "").values()
        for headers in (self.otel_headers, self.otel_traces_headers):
            own += [pair.partition("=")[2] for pair in (reveal(headers) or "").split(",") if "=" in pair]
        return own + [os.environ[name] for name in self.tool_secrets if name in os.environ]


def variable_of(field: str) -> str:
    """Return the name of the environment variable that a field of `Settings` is read from."""
    alias = Settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else PREFIX + field.upper()


def is_secret(field: str) -> bool:
    """Whether a field of `Settings` is one that no log may have."""
    return "SecretStr" in str(Settings.model_fields[field].annotation)
