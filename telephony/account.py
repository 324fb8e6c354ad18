"""Our SIP identity: what takes INVITEs in, and what registers. On the pj thread only."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from telephony import announce
from telephony.accounts import AccountSettings
from telephony.binding import guarded, pj
from telephony.library import SRTP, EndpointInfo
from telephony.settings import SipSettings
from telephony.sip.uri import host_of, registrar_uri

log = structlog.get_logger(__name__)


class SipAccount(pj.Account):  # type: ignore[misc]
    """Hands what happens to it to two functions of the endpoint."""

    def __init__(
        self,
        on_invite: Callable[[SipAccount, pj.OnIncomingCallParam], None],
        on_registration: Callable[[pj.OnRegStateParam], None],
    ) -> None:
        super().__init__()
        self._on_invite = on_invite
        self._on_registration = on_registration

    @guarded
    def onIncomingCall(self, prm: pj.OnIncomingCallParam) -> None:
        """An INVITE that the library could make sense of."""
        self._on_invite(self, prm)

    @guarded
    def onRegState(self, prm: pj.OnRegStateParam) -> None:
        """An answer to a REGISTER, or the lack of one."""
        self._on_registration(prm)

    @guarded
    def onIncomingSubscribe(self, prm: pj.OnIncomingSubscribeParam) -> None:
        """Presence is no business of ours."""
        prm.code = 489


def configuration(settings: SipSettings, info: EndpointInfo, one: AccountSettings | None = None) -> pj.AccountConfig:
    """The configuration of an account for these settings. one: which, where there are several."""
    config = pj.AccountConfig()
    # Without a display name: the library would put it into our Contact too, and some peers take that whole for a URI.
    config.idUri = f"sip:{_name(settings, info, one)}"
    if one is not None:
        _carrier(config, settings, one)
    elif settings.proxy is not None:
        announce.configure(config, settings, info, settings.proxy)
    elif settings.registrar is not None:
        _register(config, settings, registrar_uri(settings.registrar), settings.register_expires_s)
    if one is None and settings.username and settings.password is not None:
        add_password(config, "*", settings.username, settings.password)
    _media(config.mediaConfig, settings)
    config.callConfig.timerUse = pj.PJSUA_SIP_TIMER_OPTIONAL
    return config


def add_password(config: pj.AccountConfig, realm: str, username: str, password: str) -> None:
    """Let an account answer the challenges of a realm."""
    config.sipConfig.authCreds.push_back(pj.AuthCredInfo("digest", realm, username, 0, password))


def sender(
    settings: SipSettings, info: EndpointInfo, caller_id: str | None = None, one: AccountSettings | None = None
) -> str:
    """Who we are in the From of an INVITE. caller_id: the number or name that we call from, in place of our own."""
    user, _, host = _name(settings, info, one).rpartition("@")
    own = None if one is None else one.number
    shown = settings.display_name if one is None or one.display_name is None else one.display_name
    return f'"{shown}" <sip:{caller_id or own or user}@{host}>'


def _name(settings: SipSettings, info: EndpointInfo, one: AccountSettings | None = None) -> str:
    if one is not None:
        return one.aor
    if settings.proxy is not None:
        return announce.name(settings.proxy)
    if settings.registrar is not None:
        return f"{settings.username}@{host_of(registrar_uri(settings.registrar))}"
    address = info.addresses[0].removeprefix("sip:").partition(";")[0]
    return f"{settings.username or 'agent'}@{address}"


def _carrier(config: pj.AccountConfig, settings: SipSettings, one: AccountSettings) -> None:
    if one.registers:
        _register(config, settings, one.registrar_uri, one.expires_s)
    if one.proxy_uri is not None:
        config.sipConfig.proxies.push_back(f"{one.proxy_uri};lr")
    for realm in one.realms if one.password is not None else ():
        add_password(config, realm, one.auth_username or one.username, one.password or "")


def _register(config: pj.AccountConfig, settings: SipSettings, registrar: str, expires_s: int) -> None:
    config.regConfig.registrarUri = registrar
    config.regConfig.registerOnAdd = True
    config.regConfig.timeoutSec = expires_s
    # Retries after a failure are ours, with our own back-off, and so are refreshes (`registering`): by its own rules
    # the library is late for a lifetime shorter than this delay (2.15), or comes each five seconds (2.17).
    config.regConfig.retryIntervalSec = 0
    config.regConfig.delayBeforeRefreshSec = 1
    config.regConfig.unregWaitMsec = 1000
    if settings.public_address is not None:
        config.natConfig.contactRewriteUse = 0  # we know better than the registrar what we are called outside


def _media(media: pj.AccountMediaConfig, settings: SipSettings) -> None:
    first, last = settings.rtp_ports
    media.transportConfig.port = first
    media.transportConfig.portRange = max(0, last - first - 1)
    media.transportConfig.boundAddress = "" if settings.host == "0.0.0.0" else settings.host
    if settings.proxy is None:
        media.transportConfig.publicAddress = settings.public_address or ""
    media.srtpUse = getattr(pj, SRTP[settings.srtp])
    # That keys travel over TLS alone is seen to at the door and where we dial: where SRTP is only possible, the library
    # would refuse calls without it, too.
    media.srtpSecureSignaling = 0
