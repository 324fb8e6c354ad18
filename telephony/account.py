"""Our SIP identity: what takes INVITEs in, and what registers. On the pj thread only."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from telephony import announce
from telephony.accounts import AccountSettings
from telephony.binding import guarded, pj
from telephony.families import Place, Version
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
    config.sipConfig.ipv6Use, config.mediaConfig.ipv6Use = _families(settings)
    _media(config.mediaConfig, settings)
    config.callConfig.timerUse = pj.PJSUA_SIP_TIMER_OPTIONAL
    return config


def add_password(config: pj.AccountConfig, realm: str, username: str, password: str) -> None:
    """Let an account answer the challenges of a realm."""
    config.sipConfig.authCreds.push_back(pj.AuthCredInfo("digest", realm, username, 0, password))


def set_family(account: int, place: Place) -> None:
    """Let an account's next call have its media there: for an endpoint of two families, before the call is made."""
    pj.set_media_family(account, place.version == 6, place.bound, place.public_address or "")


def sender(
    settings: SipSettings,
    info: EndpointInfo,
    caller_id: str | None = None,
    one: AccountSettings | None = None,
    place: Place | None = None,
) -> str:
    """Who we are in the From of an INVITE. caller_id: the number or name that we call from, in place of our own. place:
    where the call has its media, where there are several.
    """
    user, _, host = _name(settings, info, one, place).rpartition("@")
    own = None if one is None else one.number
    shown = settings.display_name if one is None or one.display_name is None else one.display_name
    return f'"{shown}" <sip:{caller_id or own or user}@{host}>'


def _name(
    settings: SipSettings, info: EndpointInfo, one: AccountSettings | None = None, place: Place | None = None
) -> str:
    if one is not None:
        return one.aor
    if settings.proxy is not None:
        return announce.name(settings.proxy)
    if settings.registrar is not None:
        return f"{settings.username}@{host_of(registrar_uri(settings.registrar))}"
    ours = (one for one in info.addresses if place is not None and one.startswith(f"sip:{place.reached_at}:"))
    address = next(ours, info.addresses[0]).removeprefix("sip:").partition(";")[0]
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


def _families(settings: SipSettings) -> tuple[int, int]:
    """Of SIP and of media. By default the library of an own build asks for the machine's addresses at each call."""
    versions: set[Version] = {place.version for place in settings.places}
    if versions == {4, 6}:
        return pj.PJSUA_IPV6_ENABLED_PREFER_IPV4, pj.PJSUA_IPV6_DISABLED  # each call says its own: `set_family`
    return (pj.PJSUA_IPV6_ENABLED_USE_IPV6_ONLY,) * 2 if versions == {6} else (pj.PJSUA_IPV6_DISABLED,) * 2


def _media(media: pj.AccountMediaConfig, settings: SipSettings) -> None:
    first, last = settings.rtp_ports
    media.transportConfig.port = first
    media.transportConfig.portRange = max(0, last - first - 1)
    media.transportConfig.boundAddress = settings.places[0].bound
    if settings.proxy is None:
        media.transportConfig.publicAddress = settings.public_address or ""
    media.srtpUse = getattr(pj, SRTP[settings.srtp])
    # That keys travel over TLS alone is seen to at the door and where we dial: where SRTP is only possible, the library
    # would refuse calls without it, too.
    media.srtpSecureSignaling = 0
