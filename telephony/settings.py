"""Settings of the SIP endpoint. Values only: who reads them from the environment is not this package's business."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from telephony.accounts import AccountSettings, fault_of_accounts
from telephony.families import Place, version_of, version_of_host
from telephony.sip.facts import may_be_read
from telephony.sip.uri import host_of, registrar_uri
from telephony.tls import TlsSettings

Transport = Literal["udp", "tcp", "tls"]
Srtp = Literal["off", "optional", "required"]
SrtpKeys = Literal["tls", "plain"]
RtpSource = Literal["learn", "sdp", "follow"]
Codec = Literal["PCMU", "PCMA", "G722"]
CODECS: tuple[Codec, ...] = get_args(Codec)


@dataclass(frozen=True, slots=True, kw_only=True)
class SipSettings:
    """How the endpoint listens, registers and limits itself. Raises ValueError naming the field."""

    host: str = "127.0.0.1"
    """IP address that SIP and RTP are bound to; "0.0.0.0" for all of IPv4, "::" for all of IPv6 (no IPv4 with it)."""
    second_host: str | None = None
    """The same in the other family, for an endpoint that is reached by both. IPv6 needs our own build of pjsua2."""
    port: int = 5060
    """SIP port for every transport; 0 takes a free one."""
    transports: tuple[Transport, ...] = ("udp", "tcp")
    """SIP transports to listen on."""
    tls: TlsSettings = TlsSettings()
    """What goes for "tls" among them."""
    public_address: str | None = None
    """IP address to tell others in Contact and SDP, when a NAT hides `host`; of its family."""
    second_public_address: str | None = None
    """The same for `second_host`."""
    registrar: str | None = None
    """Where to REGISTER: "pbx.example.com", "sip:pbx.example.com:5080;transport=tcp"; None registers nowhere."""
    username: str | None = None
    """Name at the registrar, and the user part of our address."""
    password: str | None = field(default=None, repr=False)
    """Digest password."""
    accounts: tuple[AccountSettings, ...] = ()
    """Several accounts, each with a registrar of its own; in place of `registrar`, and not behind a proxy."""
    proxy: str | None = None
    """The proxy in front of several endpoints: we announce ourselves to it by REGISTER, with how many calls we carry,
    and all that we call goes through it (`telephony.announce`). Written like `registrar`, and in its place."""
    proxy_password: str | None = field(default=None, repr=False)
    """Digest password of those that may announce themselves."""
    takes_calls: bool = True
    """False: the proxy is told that we carry none, so that it sends none."""
    takes_second_lines: bool = False
    """Whether an INVITE is taken that an endpoint like us sends to whom it transfers a call (`telephony.transfer`): by
    default it is a loop, and refused with 482."""
    allow: tuple[str, ...] = ()
    """IP addresses, networks (CIDR) or host names whose INVITEs are taken, besides the registrar's or the proxy's. With
    none of these, everybody's are."""
    redirect_to: tuple[str, ...] = ()
    """Patterns of URIs, such as `sip:*@pbx.example.com`, that a 3xx may send a call of ours on to (RFC 3261 section
    8.1.3.4). With none of these no redirection is followed, and the call has failed with its status."""
    headers: tuple[str, ...] = ()
    """Names, or patterns such as "X-Shop-*", of further headers of an INVITE that are handed on (`InviteFacts`)."""
    codecs: tuple[Codec, ...] = CODECS
    """The codecs that we speak, as SDP names them. In our own offers this is their order; an offer of the other side is
    answered in its order (RFC 3264 section 6.1)."""
    srtp: Srtp = "off"
    """Media encryption with SDES keys in the SDP (RFC 4568)."""
    srtp_keys: SrtpKeys = "tls"
    """How these keys may travel: "tls": over TLS alone, and an offer of SRTP that came otherwise is refused (RFC 4568
    section 8.3: whoever reads the SDP hears the call); "plain": in any way, such as inside a VPN."""
    rtp_ports: tuple[int, int] = (10000, 10999)
    """First and last UDP port for RTP and RTCP, two to a call, taken in turn so that a closed call's ports rest
    as long as possible; (0, 0) takes free ones."""
    rtp_source: RtpSource = "learn"
    """Whose RTP is a call's. "learn": what comes from the address in the SDP, or, where a NAT hides that, from whoever
    sends first within `rtp_learn_s`; then nobody else's, until the other side makes a new offer. "sdp": the address in
    the SDP alone. "follow": whoever sends for two seconds while the source of before is silent, so a stranger too. The
    PyPI wheel follows, whatever stands here, and sooner."""
    rtp_learn_s: float = 4.0
    """How long a source behind a NAT may be learnt, in s from the answer or a new offer on."""
    drop_percent: int = 0
    """Per cent of RTP packets to lose on purpose, each way, by the library's own chance: a bad network, for trials."""
    max_calls: int | None = None
    """Calls at once; None is what the pjsua2 build can carry, more than that is cut to it."""
    register_expires_s: int = 300
    """Asked lifetime of a registration in seconds; refreshed before it ends."""
    keepalive_s: float = 30.0
    """How often a registration's TCP or TLS connection is pinged, in s (RFC 5626 section 4.4.1), with our own build;
    0 never. A registrar that asks for less (Flow-Timer) is pinged as it asks."""
    register_retry_s: tuple[float, float] = (5.0, 300.0)
    """First and longest wait in seconds after a failed registration; doubled each time between them."""
    media_timeout_s: float = 60.0
    """End a call that is not on hold after this long without any RTP or RTCP from the caller; 0 never does."""
    retry_after_s: int = 10
    """Retry-After of the 503 sent while the endpoint accepts no calls."""
    retry_full_s: int = 2
    """The same where all calls are in use: short, since a proxy may leave the whole endpoint alone for so long."""
    display_name: str = "offhook"
    """Display name in the From of our INVITEs, and the User-Agent."""
    trace: bool = False
    """Tell of each SIP message of a call, without body and headers, and every few seconds of its RTP (`SipMessage`,
    `RtpReport`)."""
    trace_heads: bool = False
    """Tell of each message's headers, too, but for what is confidential (`telephony.sip.head`)."""
    log_level: int = 1
    """Of the SIP library: 0 nothing, 1 errors, 2 warnings, 3 events. Higher ones print messages, which carry
    digits and credentials, and are not to be had."""

    def __post_init__(self) -> None:
        """Refuse what can't work, with the field's name."""
        _check(0 <= self.port <= 65535, "port", self.port, "0 to 65535")
        _check(bool(self.transports), "transports", self.transports, "udp, tcp, tls or several")
        _check(set(self.transports) <= {"udp", "tcp", "tls"}, "transports", self.transports, "udp, tcp, tls or several")
        known = bool(self.codecs) and set(self.codecs) <= set(CODECS) and len(set(self.codecs)) == len(self.codecs)
        _check(known, "codecs", self.codecs, f"some of {', '.join(CODECS)}, each once")
        plain = self.srtp != "off" and self.srtp_keys == "tls" and "tls" not in self.transports
        _check(not plain, "srtp", self.srtp, "off without TLS: its keys would go over the network for all to read")
        _check(0 <= self.tls.port <= 65535, "tls.port", self.tls.port, "0 to 65535")
        _check(self.srtp in ("off", "optional", "required"), "srtp", self.srtp, "off, optional or required")
        _check(self.rtp_source in ("learn", "sdp", "follow"), "rtp_source", self.rtp_source, "learn, sdp or follow")
        for name in self.headers:
            _check(
                may_be_read(name), "headers", name, "names of headers such as X-Account, or patterns such as X-Shop-*"
            )
        _check(0 < self.rtp_learn_s <= 60, "rtp_learn_s", self.rtp_learn_s, "over 0 to 60")
        _check(_rtp_range(self.rtp_ports), "rtp_ports", self.rtp_ports, "first-last from 1024 to 65535, or 0-0")
        _check(0 <= self.drop_percent <= 100, "drop_percent", self.drop_percent, "0 to 100")
        _check(self.max_calls is None or self.max_calls > 0, "max_calls", self.max_calls, "1 or more")
        _check(0 <= self.log_level <= 3, "log_level", self.log_level, "0 to 3")
        _check(self.register_expires_s >= 10, "register_expires_s", self.register_expires_s, "10 or more")
        first, longest = self.register_retry_s
        _check(0 < first <= longest, "register_retry_s", self.register_retry_s, "first and longest wait in s")
        _check(self.registrar is None or bool(self.username), "username", None, "a name when registrar is set")
        both = self.registrar is not None and self.proxy is not None
        _check(not both, "registrar", self.registrar, "none beside a proxy, which registers with the trunk")
        alone = not self.accounts or self.registers_with is None
        _check(alone, "accounts", [one.name for one in self.accounts], "none beside a registrar or a proxy")
        if fault := fault_of_accounts(self.accounts):
            raise ValueError(f"accounts: {fault}")
        self._check_places()
        _check(0 <= self.keepalive_s <= 600, "keepalive_s", self.keepalive_s, "0 to 600")

    def _check_places(self) -> None:
        """Refuse what has no address, or not the one of its family."""
        family = version_of(self.host)
        _check(family is not None, "host", self.host, "an IP address of this machine, 0.0.0.0 or ::")
        if self.second_host is not None:
            other = version_of(self.second_host) not in (None, family)
            _check(other, "second_host", self.second_host, "an IP address of the family that host is not of")
            _check(self.proxy is None, "second_host", self.second_host, "none behind a proxy, which is of one family")
        for name, host in (("public_address", self.host), ("second_public_address", self.second_host)):
            told = getattr(self, name)
            alike = told is None or (host is not None and version_of(told) == version_of(host))
            _check(alike, name, told, f"an IP address of the family of {host or 'second_host, which is not set'}")
        versions = {one.version for one in self.places}
        for server in (self.registers_with, *(one.registrar for one in self.accounts)):
            family = None if server is None else version_of_host(host_of(registrar_uri(server)))
            reached = family is None or family in versions
            _check(reached, "registrar", server, "one of a family that host, or second_host, is of")

    @property
    def places(self) -> tuple[Place, ...]:
        """Where we listen: one, or one of each family."""
        first = Place(self.host, self.public_address)
        return (first,) if self.second_host is None else (first, Place(self.second_host, self.second_public_address))

    @property
    def registers_with(self) -> str | None:
        """Where we REGISTER: the registrar, or the proxy that we announce ourselves to."""
        return self.proxy or self.registrar


def _check(good: bool, name: str, value: object, allowed: str) -> None:
    if not good:
        raise ValueError(f"{name}={value!r}: allowed is {allowed}")


def _rtp_range(ports: tuple[int, int]) -> bool:
    first, last = ports
    return (first, last) == (0, 0) or 1024 <= first < last <= 65535
