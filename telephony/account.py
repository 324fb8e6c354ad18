"""Our SIP identity: what takes INVITEs in, and what registers. On the pj thread only."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from telephony import announce, sip_text
from telephony.binding import guarded, pj
from telephony.library import SRTP, EndpointInfo
from telephony.settings import SipSettings

log = structlog.get_logger(__name__)


class SipAccount(pj.Account):  # type: ignore[misc]
    """Hands what happens to it to two functions of the endpoint."""

    def __init__(
        self,
        on_invite: Callable[[pj.OnIncomingCallParam], None],
        on_registration: Callable[[pj.OnRegStateParam], None],
    ) -> None:
        super().__init__()
        self._on_invite = on_invite
        self._on_registration = on_registration

    @guarded
    def onIncomingCall(self, prm: pj.OnIncomingCallParam) -> None:
        """An INVITE that the library could make sense of."""
        self._on_invite(prm)

    @guarded
    def onRegState(self, prm: pj.OnRegStateParam) -> None:
        """An answer to a REGISTER, or the lack of one."""
        self._on_registration(prm)

    @guarded
    def onIncomingSubscribe(self, prm: pj.OnIncomingSubscribeParam) -> None:
        """Presence is no business of ours."""
        prm.code = 489


def configuration(settings: SipSettings, info: EndpointInfo) -> pj.AccountConfig:
    """The account's configuration for these settings."""
    config = pj.AccountConfig()
    address = info.addresses[0].removeprefix("sip:").partition(";")[0]
    if settings.proxy is not None:
        announce.configure(config, settings, info, settings.proxy)
    elif settings.registrar is None:
        config.idUri = f'"{settings.display_name}" <sip:{settings.username or "agent"}@{address}>'
    else:
        _register(config, settings, settings.registrar)
    if settings.username and settings.password is not None:
        cred = pj.AuthCredInfo("digest", "*", settings.username, 0, settings.password)
        config.sipConfig.authCreds.push_back(cred)
    _media(config.mediaConfig, settings)
    config.callConfig.timerUse = pj.PJSUA_SIP_TIMER_OPTIONAL
    return config


def _register(config: pj.AccountConfig, settings: SipSettings, registrar: str) -> None:
    uri = sip_text.registrar_uri(registrar)
    config.idUri = f'"{settings.display_name}" <sip:{settings.username}@{sip_text.host_of(uri)}>'
    config.regConfig.registrarUri = uri
    config.regConfig.registerOnAdd = True
    config.regConfig.timeoutSec = settings.register_expires_s
    # Retries after a failure are the endpoint's, with its own back-off; refreshes are the library's.
    config.regConfig.retryIntervalSec = 0
    config.regConfig.delayBeforeRefreshSec = max(2, settings.register_expires_s // 10)
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
    media.srtpSecureSignaling = 0  # keys may travel over UDP and TCP: there is no TLS transport here
