"""Starting and stopping the pjsua2 library: configuration, transports, codecs, its log. On the pj thread only."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import structlog

from telephony import binding, rtp_source
from telephony.binding import explain, guarded, pj
from telephony.errors import SipAddressError, SipStartError
from telephony.families import Place, bracketed
from telephony.port import NATIVE, PTIME_MS, RATE_HZ, lacks
from telephony.settings import SipSettings
from telephony.sip.uri import parse
from telephony.tls import check_files, trusted_file

log = structlog.get_logger(__name__)

CODECS = {"PCMU": "PCMU/8000", "PCMA": "PCMA/8000", "G722": "G722/16000"}
"""What the library calls the codecs that SDP names."""
GLADLY = 240
"""The priority of the first codec; the next ones have 10 less (0 is never; 254 and 255 mean something else). The order
is for our own offers: in an answer the caller's order counts. Letting ours count there
(PJMEDIA_SDP_NEG_PREFER_REMOTE_CODEC_ORDER 0) was tried, and one malformed payload type in an offer then ends the
process."""

IPV6 = hasattr(pj, "set_media_family")
"""Whether this build carries calls over IPv6."""
KINDS = {"udp": "PJSIP_TRANSPORT_UDP", "tcp": "PJSIP_TRANSPORT_TCP", "tls": "PJSIP_TRANSPORT_TLS"}
PLAIN_FIRST = ("udp", "tcp", "tls").index
"""The order in which they are opened: the port is that of the first."""
UNACKNOWLEDGED_MS = 20_000
"""A connection whose peer's machine acknowledges nothing for so long is closed by ours."""
CONNECTION_OPTIONS = [(socket.TCP_NODELAY, 1)]
"""A 200 that waits for the acknowledgement of the 180 before it comes 40 ms later (Nagle's algorithm)."""
if hasattr(socket, "TCP_USER_TIMEOUT"):  # RFC 5482; Linux
    CONNECTION_OPTIONS.append((socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS))
HANDSHAKE_MS = 5000
"""A peer that connects and says nothing is let go."""

SRTP = {"off": "PJMEDIA_SRTP_DISABLED", "optional": "PJMEDIA_SRTP_OPTIONAL", "required": "PJMEDIA_SRTP_MANDATORY"}

ADDRESS_IN_USE = "Address already in use"
SPARE_LINES = 32
"""A call that is turned away holds one of the library's until its ACK has come; with none left the library says 486."""
TOLD_OTHERWISE = "SIP registration error: No suitable credential"
"""A registrar's first challenge, whose realm is learnt from it; where it stays at that, RegistrationChanged says so."""
LINES_PER_S = 20
"""Of the library's log; a flood of malformed packets must not become a flood of lines."""


@dataclass(frozen=True, slots=True)
class EndpointInfo:
    """What was started."""

    build: str
    """Distribution of pjsua2, as pip knows it."""
    version: str
    """Of the library itself."""
    capacity: int
    """Calls at once that this build can carry."""
    limit: int
    """Calls at once that are accepted: the capacity, or less by the settings."""
    tls: str
    """TLS library of the build."""
    holds_source: bool
    """Whether RTP of strangers is kept away from calls (see `SipSettings.rtp_source`)."""
    host: str
    port: int
    addresses: tuple[str, ...]
    """One SIP URI to dial for each transport of each family, such as "sip:127.0.0.1:5060;transport=udp"."""


def limit_of(capacity: int, wanted: int | None) -> int:
    """Calls at once that are accepted: as many as wanted, but for the lines that refusals need on a large build."""
    most = capacity if capacity <= binding.WHEEL_CALLS else capacity - SPARE_LINES
    return most if wanted is None else min(most, wanted)


class LogWriter(pj.LogWriter):  # type: ignore[misc]
    """Takes the library's lines from any thread; the pj thread hands them on.

    Only a line's first row is kept: at level 1 the library prints a packet it could not parse, and packets carry
    digits and credentials.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[tuple[int, str]] = deque(maxlen=200)
        self._second = 0
        self._said = 0
        self._unsaid = 0

    def write(self, entry: pj.LogEntry) -> None:
        """Called by the library."""
        try:
            rows = entry.msg.strip().splitlines()
            if rows and TOLD_OTHERWISE not in rows[0]:
                self._lines.append((entry.level, rows[0][:300]))
        except Exception:  # below us are C++ frames, and there is nobody to tell
            return

    def hand_on(self) -> None:
        """Log what has gathered, up to the bound per second."""
        while self._lines:
            level, line = self._lines.popleft()
            second = int(time.monotonic())
            if second != self._second:
                if self._unsaid:
                    log.warning("sip_library_lines_dropped", lines=self._unsaid)
                self._second, self._said, self._unsaid = second, 0, 0
            if self._said >= LINES_PER_S:
                self._unsaid += 1
                continue
            self._said += 1
            (log.warning if level <= 2 else log.info)("sip_library", line=line)


class LibraryEndpoint(pj.Endpoint):  # type: ignore[misc]
    """pjsua2's endpoint, with what it says of INVITEs and connections handed to two functions."""

    def __init__(self) -> None:
        super().__init__()
        self.on_refused: Callable[[int, str, str], None] = lambda status, reason, source: None
        """(status, reason, source) of an INVITE that the library turned away by itself."""
        self.on_connection_lost: Callable[[], None] = lambda: None
        """A TCP connection ended."""
        self.on_select: Callable[[pj.OnSelectAccountParam], None] = lambda prm: None
        """Sets which account an INVITE is for."""

    @guarded
    def onSelectAccount(self, prm: pj.OnSelectAccountParam) -> None:
        """An INVITE, before anything is made of it. The library's own choice is by To."""
        self.on_select(prm)

    @guarded
    def onRejectedIncomingCall(self, prm: pj.OnRejectedIncomingCallParam) -> None:
        """Full, malformed, or no codec in common."""
        self.on_refused(prm.statusCode, prm.reason, prm.rdata.srcAddress)

    @guarded
    def onTransportState(self, prm: pj.OnTransportStateParam) -> None:
        """A connection came or went."""
        if prm.state != pj.PJSIP_TP_STATE_DISCONNECTED:
            return
        if prm.type.startswith("TLS") and (wrong := _untrusted(prm)):
            log.warning("tls_not_verified", reason=wrong)
        if prm.type.startswith(("TCP", "TLS")):
            self.on_connection_lost()


def _untrusted(prm: pj.OnTransportStateParam) -> str:
    """What was wrong with the certificate of a peer whose connection has ended; "" where nothing was."""
    told = prm.tlsInfo
    return "; ".join(told.verifyMsgs) if told.verifyStatus else ""


class Library:
    """The library from libCreate to libDestroy."""

    def __init__(self, settings: SipSettings) -> None:
        self.settings = settings
        self.endpoint = LibraryEndpoint()
        self.log = LogWriter()
        self._created = self._started = False
        binding.silence()  # until the configuration says otherwise the library prints at level 5

    def start(self) -> EndpointInfo:
        """Bring it up, listening. Raises SipStartError."""
        if NATIVE and (missing := lacks(pj.FrameQueue)):
            what = f"was made for an older offhook (its FrameQueue has no {', '.join(missing)})"
            raise SipStartError(f"this build of pjsua2 ({binding.build()}) {what}: build it anew, docker/build-pjsua2")
        if "tls" in self.settings.transports:
            if "OpenSSL 1.0" in binding.tls_library():  # as in the wheel: its handshakes end in a timeout
                mend = "take tls out of the SIP transports, or build pjsua2 with docker/build-pjsua2"
                raise SipStartError(f"this build of pjsua2 ({binding.tls_library()}) has no TLS to be used: {mend}")
            check_files(self.settings.tls)
        if any(place.version == 6 for place in self.settings.places) and not IPV6:
            mend = "listen on IPv4 alone, or build pjsua2 with docker/build-pjsua2"
            raise SipStartError(f"this build of pjsua2 ({binding.build()}) carries no calls over IPv6: {mend}")
        try:
            self.endpoint.libCreate()
            self._created = True
            self.endpoint.libInit(self._configuration())
            binding.srtp_by_openssl()
            capacity = binding.capacity()
            port, addresses = self._listen()
            self.endpoint.libStart()
            self.endpoint.audDevManager().setNullDev()
            self._started = True
            self._choose_codecs()
            version = str(self.endpoint.libVersion().full)
        except pj.Error as error:
            raise SipStartError(f"the SIP library doesn't start: {explain(error)}") from None
        wanted = self.settings.max_calls
        return EndpointInfo(
            build=binding.build(),
            version=version,
            capacity=capacity,
            limit=limit_of(capacity, wanted),
            tls=binding.tls_library(),
            holds_source=rtp_source.GUARDED,
            host=self.settings.host,
            port=port,
            addresses=addresses,
        )

    def stop_clock(self) -> None:
        """Stop the conference's clock: no port is called after this."""
        if self._started:
            self._started = False
            self.endpoint.audDevManager().setNoDev()

    def stop(self) -> None:
        """Take it down."""
        if self._created:
            self._created = False
            try:
                # Calls and registration have ended by now: without the flag it would wait a second for them again.
                self.endpoint.libDestroy(pj.PJSUA_DESTROY_NO_NETWORK)
            except pj.Error as error:
                log.warning("sip_library_stop_failed", error=explain(error))
        self.log.hand_on()
        # Its functions lead back to us: without this the collector would destroy it, on any thread, at any time.
        del self.endpoint

    def _configuration(self) -> pj.EpConfig:
        settings = self.settings
        config = pj.EpConfig()
        config.uaConfig.maxCalls = 1_000_000  # cut by the library to what the build carries
        config.uaConfig.threadCnt = 0
        config.uaConfig.mainThreadOnly = True
        config.uaConfig.userAgent = settings.display_name
        config.logConfig.level = config.logConfig.consoleLevel = settings.log_level
        config.logConfig.msgLogging = 0
        config.logConfig.decor = 0
        config.logConfig.writer = self.log
        self.log.__disown__()  # the library deletes it
        media = config.medConfig
        media.clockRate = media.sndClockRate = RATE_HZ
        media.channelCount = 1
        media.audioFramePtime = media.ptime = PTIME_MS
        media.noVad = True
        media.ecTailLen = 0
        media.threadCnt = 1
        media.txDropPct = media.rxDropPct = settings.drop_percent
        media.sndAutoCloseTime = -1  # the clock keeps running between calls: the first frame is never late
        return config

    def _listen(self) -> tuple[int, tuple[str, ...]]:
        """Open the transports, all on one port. Returns the port and the addresses to dial."""
        tries = 10 if self.settings.port == 0 else 1  # a port free for UDP may be taken for TCP
        while True:
            tries -= 1
            opened: list[int] = []
            port = self.settings.port
            try:
                addresses: list[str] = []
                for place, transport in product(
                    self.settings.places, sorted(self.settings.transports, key=PLAIN_FIRST)
                ):
                    wanted = self._tls_port(addresses) if transport == "tls" else port
                    opened.append(self._open(place, transport, wanted))
                    port = port or self._port_of(opened[0])
                    here = f"sip:{place.reached_at}:{self._port_of(opened[-1])};transport={transport}"
                    addresses.append(here)
                return port, tuple(addresses)
            except pj.Error as error:
                for number in opened:
                    self.endpoint.transportClose(number)
                if not tries:
                    raise self._unable(place, transport, wanted, error) from None

    def _tls_port(self, addresses: list[str]) -> int:
        """One port for both families, also where any will do."""
        taken = (found.port for one in addresses if one.endswith("=tls") and (found := parse(one)) is not None)
        return self.settings.tls.port or next(taken, None) or 0

    def _open(self, place: Place, transport: str, port: int) -> int:
        config = pj.TransportConfig()
        config.port = port
        config.boundAddress = place.host
        config.publicAddress = place.public_address or ""
        if transport == "tls":
            self._secure(config.tlsConfig)
        if transport != "udp":
            connection = config.tlsConfig if transport == "tls" else config
            for option, value in CONNECTION_OPTIONS:
                connection.sockOptParams.sockOpts.push_back(pj.SockOpt(socket.IPPROTO_TCP, option, value))
        kind = KINDS[transport] + ("6" if place.version == 6 else "")
        return int(self.endpoint.transportCreate(getattr(pj, kind), config))

    def _secure(self, config: pj.TlsConfig) -> None:
        tls = self.settings.tls
        config.certFile, config.privKeyFile = tls.certificate or "", tls.key or tls.certificate or ""
        config.CaListFile = trusted_file(tls)
        config.verifyServer, config.verifyClient, config.requireClientCert = tls.verify, tls.clients, tls.clients
        config.proto = pj.PJ_SSL_SOCK_PROTO_TLS1_2 | getattr(pj, "PJ_SSL_SOCK_PROTO_TLS1_3", 0)
        config.msecTimeout = HANDSHAKE_MS

    def _port_of(self, number: int) -> int:
        return int(self.endpoint.transportGetInfo(number).localAddress.rpartition(":")[2])

    def _unable(self, place: Place, transport: str, port: int, error: pj.Error) -> SipAddressError:
        where = f"{bracketed(place.host)}:{port} ({transport})"
        if ADDRESS_IN_USE in error.reason:
            return SipAddressError(
                f"can't listen on {where}: another program has that port. Stop it, or give this one another SIP "
                "port (0 takes a free one)"
            )
        return SipAddressError(
            f"can't listen on {where}: {error.reason or error.status}. The SIP host must be an address of this "
            "machine (or 0.0.0.0, or ::), and ports below 1024 need privileges"
        )

    def _choose_codecs(self) -> None:
        codecs = self.endpoint.codecEnum2()
        gladly = {CODECS[name]: GLADLY - 10 * place for place, name in enumerate(self.settings.codecs)}
        for codec in codecs:
            name = codec.codecId
            priority = next((value for known, value in gladly.items() if name.startswith(known)), 0)
            self.endpoint.codecSetPriority(name, priority)
