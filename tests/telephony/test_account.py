from __future__ import annotations

from typing import Any

from telephony.account import configuration, sender
from telephony.binding import pj
from telephony.library import EndpointInfo
from telephony.settings import SipSettings

INFO = EndpointInfo(
    build="b",
    version="2",
    capacity=4,
    limit=4,
    tls="t",
    holds_source=False,
    host="127.0.0.1",
    port=5070,
    addresses=("sip:127.0.0.1:5070;transport=udp",),
)


def made(**settings: Any) -> Any:
    return configuration(SipSettings(**settings), INFO)


def test_without_a_registrar() -> None:
    config = made()
    assert config.idUri == "sip:agent@127.0.0.1:5070", "no display name: it would stand in our Contact"
    assert config.regConfig.registrarUri == "" and config.sipConfig.authCreds.size() == 0


def test_with_a_registrar() -> None:
    config = made(registrar="pbx.example.com:5080", username="line7", password="sesame", register_expires_s=60)
    assert config.idUri == "sip:line7@pbx.example.com"
    reg = config.regConfig
    assert (reg.registrarUri, reg.timeoutSec, reg.retryIntervalSec) == ("sip:pbx.example.com:5080", 60, 0)
    assert config.natConfig.contactRewriteUse
    assert sender(SipSettings(registrar="pbx:5080", username="line7"), INFO) == '"offhook" <sip:line7@pbx>'
    assert sender(SipSettings(), INFO) == '"offhook" <sip:agent@127.0.0.1:5070>'
    assert config.sipConfig.authCreds.size() == 1


def test_media() -> None:
    config = made(rtp_ports=(20000, 20099), public_address="203.0.113.5", srtp="required", srtp_keys="plain")
    media = config.mediaConfig
    rtp = media.transportConfig
    assert (rtp.port, rtp.portRange, rtp.boundAddress, rtp.publicAddress) == (20000, 98, "127.0.0.1", "203.0.113.5")
    assert media.srtpUse == pj.PJMEDIA_SRTP_MANDATORY
    free = made(rtp_ports=(0, 0), host="0.0.0.0")
    rtp = free.mediaConfig.transportConfig
    assert (rtp.port, rtp.portRange, rtp.boundAddress) == (0, 0, "")


def test_a_public_address_stays() -> None:
    config = made(registrar="pbx", username="line7", public_address="203.0.113.5")
    assert not config.natConfig.contactRewriteUse
