"""How an endpoint announces itself to the proxy in front of several: a REGISTER behind digest (RFC 3261 section 10).

The registration is the announcement: it says where we are reached and how many calls we carry. The proxy sends calls
while it stands; un-REGISTER drains us, and the loss of its TCP connection tells the proxy that we are gone. After each
REGISTER an OPTIONS says how many calls we have: a proxy that has restarted knows nothing of those that are up.
"""

from __future__ import annotations

import contextlib
import socket
import uuid

from telephony.binding import pj
from telephony.families import bracketed
from telephony.library import EndpointInfo
from telephony.settings import SipSettings
from telephony.sip.uri import host_of, registrar_uri

MAX_CALLS = "X-Max-Calls"
"""Header of the REGISTER: how many calls we carry at once."""
PROCESS = "X-Process"
"""Header of the REGISTER: who is at this address. Another one there tells that our predecessor's calls are over."""
CALLS = "X-Calls"
"""Header of the OPTIONS after it: how many calls we have."""
REFUSED = "X-Offhook-Refused"
"""Header of a 503 that is meant for the caller: another endpoint would say the same, since the queue is shared."""
USER = "worker"
"""Our user part towards the proxy; its digest asks for the password alone."""
EXPIRES_S = 20
"""Where the connection says nothing (UDP, a machine that is gone) this is how soon a restarted proxy knows us again."""
RETRY_S = (1.0, 5.0)
"""First and longest wait after a failed announcement: whoever waits takes no calls."""


def configure(config: pj.AccountConfig, settings: SipSettings, info: EndpointInfo, proxy: str) -> None:
    """Set the account up to announce itself, and to send what it calls through the proxy."""
    uri = registrar_uri(proxy)
    registration = config.regConfig
    registration.registrarUri = uri
    registration.registerOnAdd = True
    registration.timeoutSec = EXPIRES_S
    registration.retryIntervalSec = 0  # retries and refreshes are the endpoint's
    registration.delayBeforeRefreshSec = 1
    registration.unregWaitMsec = 1000
    registration.proxyUse = 0
    registration.headers.push_back(_header(MAX_CALLS, str(info.limit if settings.takes_calls else 0)))
    registration.headers.push_back(_header(PROCESS, uuid.uuid4().hex))
    # Where we listen, not the connection's own port: calls that are up outlive the connection when the proxy restarts.
    # The library's choice would be the address of another interface, where there are several.
    transport = ";transport=tcp" if "transport=tcp" in uri.lower() else ""
    config.sipConfig.contactForced = f"<sip:{USER}@{bracketed(address(settings, uri))}:{info.port}{transport}>"
    config.natConfig.contactRewriteUse = 0
    config.natConfig.sipOutboundUse = 0  # RFC 5626 would tie us to the connection
    config.mediaConfig.transportConfig.publicAddress = address(settings, uri)
    config.sipConfig.proxies.push_back(f"{uri};lr")
    credentials = pj.AuthCredInfo("digest", "*", USER, 0, settings.proxy_password or "")
    config.sipConfig.authCreds.push_back(credentials)


def report(proxy: str, calls: int) -> pj.SendRequestParam:
    """What to send by `Account.sendRequest` to tell the proxy how many calls we have."""
    request = pj.SendRequestParam()
    request.method = "OPTIONS"
    request.txOption.targetUri = registrar_uri(proxy)
    request.txOption.headers.push_back(_header(CALLS, str(calls)))
    return request


def _header(name: str, value: str) -> pj.SipHeader:
    header = pj.SipHeader()
    header.hName, header.hValue = name, value
    return header


def name(proxy: str) -> str:
    """Who we are towards the proxy: user and host."""
    return f"{USER}@{host_of(registrar_uri(proxy))}"


def address(settings: SipSettings, uri: str) -> str:
    """The address that the proxy reaches us at: what was set, else that of the interface on the way to it."""
    place = settings.places[0]
    if found := place.public_address or place.bound:
        return found
    family = socket.AF_INET6 if place.version == 6 else socket.AF_INET
    with contextlib.closing(socket.socket(family, socket.SOCK_DGRAM)) as probe:
        try:
            probe.connect((host_of(uri).strip("[]"), 5060))  # sends nothing: only the route is looked up
        except OSError:  # not up yet, or no such name: without a proxy it doesn't matter what we are called
            return place.hosts[-1]
        return str(probe.getsockname()[0])
