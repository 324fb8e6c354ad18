"""How calls come and go: the settings of SIP, RTP and of how many calls there may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field, SecretStr
from pydantic_settings import NoDecode

from worker.errors import SettingsError
from worker.settings.values import CodecNames, File, HeaderNames, Hosts, Lower, Networks, PortRange, SipServer, Words

if TYPE_CHECKING:
    from telephony.accounts import AccountSettings
    from telephony.families import Place
    from telephony.tls import TlsSettings


class SipValues(BaseModel):
    """How calls come and go: our SIP identity, transports, codecs, RTP, and how many calls there may be."""

    sip_host: Hosts = Field(
        default=("127.0.0.1",),
        min_length=1,
        description="an IP address of this machine, 0.0.0.0 or :: for all of a family, or one of each with a comma",
    )
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
    sip_public_address: Hosts = Field(
        default=(),
        description="the IP address that callers reach this machine by, where it is not SIP_HOST; of each family one",
    )
    sip_keepalive_seconds: float = Field(
        default=30.0,
        ge=0,
        le=600,
        description="seconds, at most 600, between pings on a registration's TCP or TLS connection (0: none)",
    )
    sip_registrar: SipServer | None = Field(
        default=None, description="the registrar, such as pbx.example.com or sip:pbx.example.com:5080;transport=tcp"
    )
    sip_username: str | None = Field(default=None, description="the user name that the registrar knows")
    sip_password: SecretStr | None = Field(default=None, description="the password that the registrar knows")
    sip_accounts: File | None = Field(
        default=None,
        description="the path of a file (TOML) with a table [[account]] for each account, in place of a registrar",
    )
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

    def account_settings(self) -> tuple[AccountSettings, ...]:
        """Return the accounts of OFFHOOK_SIP_ACCOUNTS. Raises `SettingsError` for a file that can't be used."""
        from worker.settings.accounts import load_accounts

        return () if self.sip_accounts is None else load_accounts(self.sip_accounts)

    def sip_places(self) -> tuple[Place, ...]:
        """Return where SIP listens: one place, or one of each family. Raises SettingsError."""
        from telephony.families import Place, version_of

        told = {version_of(one): one for one in self.sip_public_address}
        places = tuple(Place(host, told.pop(version_of(host), None)) for host in self.sip_host)
        if told:
            where = ", ".join(self.sip_host)
            text = ",".join(str(one) for one in told.values())
            raise SettingsError(
                f"OFFHOOK_SIP_PUBLIC_ADDRESS={text}: OFFHOOK_SIP_HOST={where} is of no such family of IP; add one"
            )
        return places

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
